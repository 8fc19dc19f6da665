"""The names under which values are logged: ``{stage}/{group}/{metric}``, built in this one place."""

# The group and the prefix of each metric's keys. Others are logged as a group of their own name.
_PREFIXES = {
    "box_answers": "grounding/",
    "bleu": "text/",
    "rouge": "text/",
    "meteor": "text/",
    "chrf": "text/",
    "cider": "text/",
    "bertscore": "text/bertscore_",
}

TRAIN_LOSS = "train/loss"
VAL_LOSS = "val/loss"
OVERFITTING_FLAG = "overfitting/flag"
OVERFITTING_SEVERITY = "overfitting/severity"


def metric_key(metric: str, key: str) -> str:
    """A metric's key without its stage.

    Args:
        metric: The metric's name.
        key: One of its scores.

    Example:
        >>> metric_key("grounding", "f1"), metric_key("bleu", "bleu"), metric_key("bertscore", "f1")
        ('grounding/f1', 'text/bleu', 'text/bertscore_f1')
    """
    return _PREFIXES.get(metric, f"{metric}/") + key


def log_key(stage: str, key: str, dataloader: str | None = None) -> str:
    """The name in the logs.

    Args:
        stage: ``val`` or ``test``.
        key: What `metric_key` gave.
        dataloader: The name of the dataloader, where there are several.

    Example:
        >>> log_key("val", "grounding/f1"), log_key("val", "grounding/f1", "shelf")
        ('val/grounding/f1', 'val/shelf/grounding/f1')
    """
    return "/".join([stage, *([dataloader] if dataloader is not None else []), key])


def interval_keys(key: str) -> tuple[str, str]:
    """The names of the two ends of a value's interval: a group of their own, beside the values.

    Args:
        key: What `log_key` gave.

    Example:
        >>> interval_keys("val/grounding/f1")
        ('val_ci/grounding/f1_low', 'val_ci/grounding/f1_high')
    """
    stage, _, rest = key.partition("/")
    return f"{stage}_ci/{rest}_low", f"{stage}_ci/{rest}_high"


def healthy_key(key: str) -> str:
    """The name of a value over the healthy answers alone: a group of its own, beside the values.

    Args:
        key: What `log_key` gave.

    Example:
        >>> healthy_key("val/text/bleu")
        'val_healthy/text/bleu'
    """
    stage, _, rest = key.partition("/")
    return f"{stage}_healthy/{rest}"

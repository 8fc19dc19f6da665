"""TensorBoard's custom-scalars page: losses in one chart, precision, recall and F1 in another."""

import re
from collections.abc import Sequence

from lightning_vlmeval.keys import interval_keys
from lightning_vlmeval.reporting.console import HEADLINES

Layout = dict[str, dict[str, list[str | list[str]]]]

# Each chart with the endings of the tags that it shows.
_CHARTS = {
    "training and validation loss": (r"train/loss", r"val/loss", r"val_loss"),
    "precision, recall, F1": (r"grounding/precision", r"grounding/recall", r"grounding/f1"),
    "meaning and wording": (r"text/bertscore_f1", r"text/meteor", r"text/bleu"),
    "structured output": (r"structured/format_compliance", r"structured/field_f1"),
}

# Values that show, where samples of the training set are evaluated too, whether the model memorises.
_LEARNT = ("grounding/f1", "structured/field_f1", "text/bertscore_f1", "answers/exact_match")


def custom_scalars(tags: Sequence[str], monitor: str = "val_loss") -> Layout:
    """The layout for `add_custom_scalars`, of charts whose tags exist.

    Args:
        tags: The tags that are logged, as the logger spells them.
        monitor: The validation loss that the module logs itself.

    Example:
        >>> custom_scalars(["val_loss", "val/grounding/f1", "train/loss"])["vlmeval"].keys()
        dict_keys(['training and validation loss', 'precision, recall, F1'])
    """
    charts: dict[str, list[str | list[str]]] = {}
    trained = [tag for tag in tags if any(_ends(tag, f"train/{key}") for key in _LEARNT)]
    validated = [tag for tag in tags if _ends(tag, "train/loss") or not _is_of_training(tag)]
    for title, endings in _CHARTS.items():
        wanted = (*endings, monitor) if "loss" in title else endings
        chosen = [tag for tag in validated if any(_ends(tag, ending) for ending in wanted)]
        if chosen:
            # A tag is a regular expression that TensorBoard matches at the start only.
            charts[title] = ["Multiline", [f"^{re.escape(tag)}$" for tag in chosen]]
    for tag in trained:
        other = "val/".join(tag.rsplit("train/", 1))
        title = f"{other.rpartition('val/')[2]}: training samples and validation"
        charts[title] = ["Multiline", [f"^{re.escape(one)}$" for one in (tag, other)]]
    for tag in sorted(tags, key=_place, reverse=True):  # TensorBoard shows the last one first
        low, high = interval_keys(tag)
        if low in tags:
            charts[f"{tag}, 95 % interval"] = ["Margin", [tag, low, high]]
    return {"vlmeval": charts} if charts else {}


def _place(tag: str) -> int:
    """Where a value's own chart stands: in the order of the main values, others at the end."""
    main = [f"{group}/{name}" for group, names in HEADLINES.items() for name in names]
    return next((place for place, key in enumerate(main) if _ends(tag, key)), len(main))


def _is_of_training(tag: str) -> bool:
    return tag.startswith("train/") or "/train/" in tag or "-train/" in tag


def _ends(tag: str, ending: str) -> bool:
    """Whether a tag is this one, perhaps below a stage, a dataloader's name or a logger's prefix."""
    return tag == ending or tag.endswith((f"/{ending}", f"-{ending}"))

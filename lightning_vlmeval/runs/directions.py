"""Which way is better, by the names of scores: most of them are better higher."""

from typing import Literal

Better = Literal["higher", "lower", "neither"]

_LOWER = {
    "grounding": {"fp", "fn", "repaired", "truncated", "malformed"},
    "answers": {"cer"},
    "structured": {
        "duplicate_keys",
        "missing_rate",
        "hallucinated_rate",
        "swapped_rate",
        "wrong_unit_rate",
        "structure_entropy",
    },
}
_NEITHER = {"grounding": {"said_none"}, "answers": {"yes_rate"}}


def better(key: str) -> Better:
    """Whether a score is better higher or lower, or whether neither can be said.

    Args:
        key: Its name in the logs, with or without stage and dataloader.

    Example:
        >>> better("val/grounding/f1"), better("health/empty"), better("answers/yes_rate")
        ('higher', 'lower', 'neither')
    """
    group, _, name = key.rpartition("/")
    group = group.rpartition("/")[2]
    if name in _NEITHER.get(group, ()) or group == "error_budget":
        return "neither"
    lower = (
        name in _LOWER.get(group, ())
        or name in {"loss", "nonfinite"}
        or (group == "health" and name != "healthy")
        or (group == "structured" and name.startswith(("cause_", "schema_")))
    )
    return "lower" if lower and name != "schema_adherence" else "higher"

"""Whether two evaluations can be compared honestly."""

from lightning_vlmeval.errors import ComparisonError
from lightning_vlmeval.functional.losses import LossScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.signature import Signature
from lightning_vlmeval.table import Table


def check_comparable(
    scorer: Scorer,
    table_a: Table,
    table_b: Table,
    signatures: tuple[str, str] | None = None,
    fingerprints: tuple[str, str] | None = None,
    architectures: tuple[str, str] | None = None,
) -> None:
    """Raise unless the difference of two scores would mean something.

    Args:
        scorer: The scorer that made both tables.
        table_a: The one evaluation.
        table_b: The other.
        signatures: The recipes of their scores.
        fingerprints: Of their validation sets.
        architectures: Of their models; needed where the scores are losses.

    Raises:
        ComparisonError: The message names what differs.
    """
    if signatures is not None:
        first, second = (Signature.parse(text) for text in signatures)
        if lines := first.differences(second):
            raise ComparisonError(
                f"Expected scores made in the same way, but they differ in {'; '.join(lines)}"
            )
    for name, table in (("A", table_a), ("B", table_b)):
        if tuple(table.columns) != tuple(scorer.columns):
            raise ComparisonError(
                f"Expected the columns of `{scorer.name}`, {', '.join(scorer.columns)}, but "
                f"table {name} has {', '.join(table.columns)}"
            )
    if fingerprints is not None and fingerprints[0] != fingerprints[1]:
        raise ComparisonError(
            "Expected the same validation set, but the fingerprints of ids and targets are "
            f"{fingerprints[0]} and {fingerprints[1]}"
        )
    if isinstance(scorer, LossScorer):
        check_losses(architectures)


def check_losses(architectures: tuple[str, str] | None) -> None:
    """Raise unless two models are of one architecture, so that their losses compare.

    A loss depends on the tokenizer and on what the model predicts; F1, IoU and BERTScore do not.

    Args:
        architectures: Of the two models; None where they are not known.

    Raises:
        ComparisonError: They differ, or are not known.
    """
    if architectures is None:
        raise ComparisonError(
            "Losses compare only within one architecture: give `architectures`, or compare scores"
        )
    if architectures[0] != architectures[1]:
        raise ComparisonError(
            f"Losses do not compare across architectures, but these are {architectures[0]} and "
            f"{architectures[1]}: compare scores instead"
        )

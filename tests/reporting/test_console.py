"""The lines printed after an evaluation."""

from lightning_vlmeval.reporting.console import (
    evaluation_lines,
    history_lines,
    is_headline,
    metric_lines,
)

NAN = float("nan")


def entry(**changes: object) -> dict[str, object]:
    return {
        "index": 2,
        "step": 40,
        "train_loss": 0.25,
        "val_loss": 0.5,
        "values": {"val/grounding/f1": 0.5},
        "intervals": {"val/grounding/f1": [0.25, 0.75]},
        "accounting": {"": "5 of 5 samples"},
        **changes,
    }


def test_an_evaluation() -> None:
    lines = evaluation_lines(entry(), entry(values={"val/grounding/f1": 0.75}), ["3.0 s"])
    assert lines == [
        "evaluation 2, step 40, training loss 0.25, validation loss 0.5",
        "  val/grounding  f1 0.500 ±0.250 (-0.250)",
        "  5 of 5 samples",
        "  3.0 s",
    ]


def test_what_is_not_known_is_left_out() -> None:
    (first, *_) = evaluation_lines(entry(train_loss=NAN, val_loss=None), None)
    assert first == "evaluation 2, step 40"


def test_undefined_values_and_changes() -> None:
    assert metric_lines({"g/a": NAN, "g/b": 1.0}, {"g/a": 1.0, "g/b": NAN}) == [
        "  g  a undefined   b 1.000"
    ]


def test_long_groups_are_broken_between_values() -> None:
    values = {f"val/text/{name}": 0.5 for name in ("bertscore_f1", "bleu", "meteor")}
    values |= {"val/text/rougeL_fmeasure": 0.5, "val/text/rougeL_recall": 0.5, "val/text/odd": 1.0}
    lines = metric_lines(values, values)
    assert len(lines) == 2
    assert all(len(line) <= 100 for line in lines)
    assert lines[1].strip().startswith("rougeL_fmeasure 0.500 (+0.000)")
    assert "odd" not in "".join(lines)


def test_no_values() -> None:
    assert metric_lines({}) == []


def test_values_over_healthy_answers_are_in_the_logs_and_not_on_the_screen() -> None:
    key = "val_healthy/grounding/f1"
    assert not is_headline(key)
    assert metric_lines({"val/grounding/f1": 0.5, key: 0.6}) == ["  val/grounding  f1 0.500"]
    head, _ = history_lines([entry(state=None, values={"val/grounding/f1": 0.25, key: 0.5})])
    assert "healthy" not in head

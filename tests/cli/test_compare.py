"""``compare``: two runs, the gate on a regression, and what does not compare."""

import json
from pathlib import Path

import pytest

from lightning_vlmeval import compare
from lightning_vlmeval.cli.main import DATA, GATE, OK, USAGE, main
from lightning_vlmeval.functional.grounding import GroundingScorer
from tests.runs.made_runs import grounding_run
from tests.runs.test_comparison import GOOD, POOR


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    a = grounding_run(tmp_path / "a", [GOOD, POOR], name="poor\x1b[2J")
    b = grounding_run(tmp_path / "b", [POOR, GOOD], name="good")
    return str(a), str(b)


def test_the_table(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *runs]) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "A  poor\\x1b[2J, evaluation 1, step 10",
        "B  good, evaluation 1, step 10",
    ]
    f1 = compare(*runs).differences["grounding/f1"]
    row = next(line for line in lines if line.startswith("grounding/f1 *")).split()
    assert row[2:5] == [f"{f1.value_a:.4f}", f"{f1.value_b:.4f}", f"{f1.difference:+.4f}"]
    assert row[5:7] == [f"[{f1.low:+.4f},", f"{f1.high:+.4f}]"]
    assert row[7:] == [f"{f1.adjusted_p_value:.3g}", "10", "0", "better"]
    assert "grounding: 12 samples in common, 0 only in A, 0 only in B, 6 independent ones" in lines
    assert "grounding/f1: fixed scene-0000, scene-0001, scene-0003 and 7 more" in lines
    assert "grounding/f1: never solved scene-0007" in lines
    assert (
        f"grounding/f1: a true difference of {f1.detectable:.3f} would be found in 80 % of such "
        "comparisons"
    ) in lines
    assert not any(line.startswith("grounding/rejection_accuracy") for line in lines)
    assert main(["compare", *runs, "--all"]) == OK
    assert "\ngrounding/rejection_accuracy" in capsys.readouterr().out


def test_values_as_json(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *runs, "--format", "json", "--level", "0.9"]) == OK
    found = json.loads(capsys.readouterr().out)
    truth = compare(*runs, level=0.9)
    assert found["a"] == {"run": "poor\x1b[2J", "index": 1, "step": 10}
    f1 = truth.differences["grounding/f1"]
    one = found["differences"]["grounding/f1"]
    assert (one["difference"], one["low"], one["verdict"]) == (f1.difference, f1.low, "better")
    assert one["flips"]["never_solved"] == ["scene-0007"]
    assert found["differences"]["grounding/rejection_accuracy"]["difference"] is None
    assert found["samples"]["grounding"] == {
        "compared": 12,
        "only_a": 0,
        "only_b": 0,
        "clusters": 6,
    }
    assert found["regressions"] == found["notes"] == []


def test_p_values_from_random_swaps(
    runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for test in ("delta", "randomisation"):
        assert main(["compare", *runs, "--format", "json", "--test", test]) == OK
        found[test] = json.loads(capsys.readouterr().out)["differences"]["grounding/f1"]
    assert found["randomisation"]["p_value"] != found["delta"]["p_value"]
    truth = compare(*runs, method="randomisation").differences["grounding/f1"]
    assert found["randomisation"]["p_value"] == truth.p_value


def test_a_gate_on_a_regression(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = runs
    gate = ["--fail-on-regression", "--format", "json"]
    assert main(["compare", a, b, *gate]) == OK
    assert main(["compare", b, a]) == OK
    capsys.readouterr()
    assert main(["compare", b, a, "--fail-on-regression"]) == GATE
    assert "\nfailed: grounding/f1 is worse in B\n" in capsys.readouterr().out
    assert main(["compare", b, a, *gate]) == GATE
    found = json.loads(capsys.readouterr().out)
    assert found["regressions"] == ["grounding/f1", "grounding/mean_iou"]
    assert main(["compare", b, a, *gate, "--primary", "grounding/rejection_accuracy"]) == OK
    evaluations = ["--evaluation-a", "1", "--evaluation-b", "0"]
    assert main(["compare", b, b, *gate, *evaluations]) == GATE


def test_what_does_not_compare(
    runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = grounding_run(tmp_path / "c", [GOOD], scorer=GroundingScorer(iou_threshold=0.75))
    assert main(["compare", runs[0], str(other)]) == DATA
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "lightning-vlmeval: grounding: Expected scores made in the same way, but they differ in "
        "iou_threshold: 0.5 and 0.75\n"
    )


def test_notes_stand_beside_the_result(
    runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = grounding_run(tmp_path / "c", [GOOD], model="Other\x1b[2J")
    assert main(["compare", runs[0], str(other)]) == OK
    assert capsys.readouterr().err == (
        "note: Losses do not compare across architectures, but these are Tiny of 10 parameters and "
        "Other\\x1b[2J of 10 parameters: compare scores instead\n"
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--metrics", "bleu"], USAGE, "Expected a metric of both runs, but: no metric 'bleu'"),
        (["--primary", "f1"], USAGE, "Expected `primary` among grounding/precision, "),
        (["--level", "1.5"], USAGE, "Expected `level` "),
        (
            ["--evaluation-a", "9"],
            DATA,
            "RUN: expected one of its evaluations, but got 9: there ar",
        ),
    ],
)
def test_options_that_cannot_work(
    runs: tuple[str, str],
    options: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compare", *runs, *options]) == code
    said = capsys.readouterr().err
    assert said.startswith(f"lightning-vlmeval: {message.replace('RUN', runs[0])}")


def test_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path)]) == DATA
    message = f"lightning-vlmeval: {tmp_path}: expected the folder of a run, with 'run.json' or "
    assert capsys.readouterr().err.startswith(message)

"""The examples run, and print what a reader can count by hand."""

import importlib.util
import json
import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", minversion="5.6", reason="the demo's model needs 5.6")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLES.parent)}


def test_receipts(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 36 answers 25 are JSON as a whole, and 8 more can be read: 11 have faults of form.

    Those are two in fences and two with sentences, and one each: cut off, a comma too many, quotes,
    reasoning (read); no JSON, a loop, nothing (not read). Four of the 36 are ill as texts: cut off,
    the loop, the reasoning, the empty one. 33 of 36 have a shop, and it is always right.
    """
    runpy.run_path(str(EXAMPLES / "receipts.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "36 receipts"
    assert f"format_compliance {25 / 36:.3f}" in lines[1]
    assert f"healthy {32 / 36:.3f}" in lines[2]
    assert f"  repairs         +{8 / 36:.3f}" in lines
    assert f"  fence            {2 / 36:.3f}" in lines
    shop = next(line.split() for line in lines if line.startswith("  shop "))
    assert shop[1:] == ["36", f"{33 / 36:.3f}", f"{3 / 36:.3f}", "0.000", "0.000", "0.000"]
    total = next(line.split() for line in lines if line.startswith("  total "))
    assert total[-2:] == [f"{1 / 32:.3f}", f"{1 / 32:.3f}"], "one is the tax, one in dollars"
    assert "  receipt-17  field_f1 0.000  nothing" in lines


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints; it leaves nothing behind."""
    before = sorted(folder.iterdir())
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert sorted(folder.iterdir()) == before
    return ran.stdout


@pytest.mark.parametrize(
    ("name", "answered"), [("paligemma", ["8 of 8", "4 of 4"]), ("qwen2_5_vl", ["4 of 4"] * 2)]
)
def test_fine_tuning(name: str, answered: list[str], tmp_path: Path) -> None:
    """Twelve epochs of two steps: the untrained model is evaluated, and the one of step 24."""
    lines = run(EXAMPLES / f"{name}.py", "12", folder=tmp_path).splitlines()
    accounts = [line.strip() for line in lines if "duplicates dropped" in line]
    assert accounts == [f"{n} samples, 0 duplicates dropped, 0 missing" for n in answered]
    head, first, last = (line.split() for line in lines[-3:])
    assert "val/grounding/f1" in head
    assert "train/grounding/f1" in head
    assert first[:3] == ["0", "0", "-"]
    assert last[:2] == ["1", "24"]
    assert float(last[3]) < float(first[3]) - 1, "the validation loss"
    assert all(0 <= float(value) <= 1 for row in (first, last) for value in row[4:6])


def test_compare_runs(tmp_path: Path) -> None:
    """The larger learning rate lowers the loss more in ten steps."""
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "compare_runs.py", "runs", "10"],
        cwd=tmp_path,
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    _, compared = ran.stdout.split("$ lightning-vlmeval compare runs/version_0 runs/version_1\n")
    lines = compared.splitlines()
    assert lines[0].split() == ["A", "version_0,", "evaluation", "1,", "step", "10"]
    assert lines[1].split() == ["B", "version_1,", "evaluation", "1,", "step", "10"]
    loss = next(line.split() for line in lines if line.startswith("loss/loss"))
    assert float(loss[3]) < 0
    assert loss[-1] == "better"
    assert lines[-2] == (
        "$ lightning-vlmeval report runs/version_0 runs/version_1 -o runs/report.html"
    )
    page = (tmp_path / "runs" / "report.html").read_text(encoding="utf-8")
    assert "version_0" in page
    assert "version_1" in page


@pytest.mark.parametrize(
    ("name", "package", "key"),
    [("lora", "peft", "val/grounding/f1"), ("vqa", "datasets", "val/answers/token_f1")],
)
def test_fine_tuning_with_another_package(
    name: str, package: str, key: str, tmp_path: Path
) -> None:
    """Four steps: the untrained model and every step are evaluated, on 32 samples each."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    lines = run(EXAMPLES / f"{name}.py", "4", folder=tmp_path).splitlines()
    accounts = [line.strip() for line in lines if "duplicates dropped" in line]
    assert accounts == ["32 of 32 samples, 0 duplicates dropped, 0 missing"] * 5
    head, first, *_, last = (line.split() for line in lines[-6:])
    assert key in head
    assert first[:2] == ["0", "0"]
    assert last[:2] == ["4", "4"]
    assert float(last[3]) < float(first[3]) - 1, "the validation loss"
    if name == "lora":
        assert "18432 of 328000 weights trained" in lines


def test_without_lightning(tmp_path: Path) -> None:
    """Ten epochs of one step, evaluated after every fifth."""
    first, second, reason = run(EXAMPLES / "plain_torch.py", "10", folder=tmp_path).splitlines()
    for line, epoch in ((first, "5"), (second, "10")):
        number, _, train_loss, val_loss, _, f1, _, mean_iou, state = line.split()
        assert number == epoch
        assert 0 < float(train_loss) < float(val_loss)
        assert 0 < float(mean_iou) <= 1
        assert 0 < float(f1) <= 1
        assert state == "ok"
    assert reason.startswith("2 of the 4 evaluations that a verdict needs")


def test_ranks_score_a_file_as_one_process_does(tmp_path: Path) -> None:
    """101 answers, and a blank line, over two processes; to the last bit."""
    rows = [
        {
            "id": f"sample{n}",
            "prediction": f"a red car and {n % 7} {'blue ' * (n % 4)}bicycles",
            "reference": [f"a red car and {n % 5} blue bicycles", "cars"][: 1 + n % 2],
        }
        for n in range(101)
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "answers.jsonl").write_text("\n".join([*lines[:50], "", *lines[50:]]))
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    ranks = json.loads(
        run(*launch, EXAMPLES / "torchrun_scoring.py", "answers.jsonl", folder=tmp_path)
    )
    options = ("--task", "vqa", "--metrics", "bleu,answers,health", "--format", "json")
    one = run("-m", "lightning_vlmeval", "score", "answers.jsonl", *options, folder=tmp_path)
    scores = json.loads(one)["scores"]
    assert list(ranks) == list(scores)
    for key, value in scores.items():
        assert ranks[key] == value or (value is None and math.isnan(ranks[key])), key
    assert 0 < scores["text/bleu"] < 1

"""The command as a process: quick to start, without torch; its exit codes; its pages of help."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lightning_vlmeval import __version__
from lightning_vlmeval.cli.main import DATA, OK, USAGE, main
from lightning_vlmeval.cli.output import shown
from tests.runs.made_runs import BOX, grounding_run

HEAVY = {"torch", "torchmetrics", "pytorch_lightning", "lightning", "transformers"}


def process(*arguments: str, code: int = 0, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "lightning_vlmeval", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **kwargs,
    )
    assert done.returncode == code, done.stderr
    return done


def modules_of(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        "import sys\n"
        "from lightning_vlmeval.cli.main import main\n"
        "try:\n"
        f"    assert main({list(arguments)!r}) == 0\n"
        "except SystemExit as stopped:\n"
        "    assert stopped.code == 0\n"
        "print('MODULES', *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    grounding_run(tmp_path / "version_0")
    boxes = [{"prediction": [BOX], "target": [BOX]}]
    texts = [{"prediction": "a red dog", "reference": "a red dog"}]
    for name, rows in (("boxes", boxes), ("texts", texts)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "others"),
    [
        (["--help"], {"numpy"}),
        (["score", "--help"], {"numpy"}),
        (["runs", "FOLDER"], {"scipy", "sacrebleu", "PIL"}),
        (["score", "FOLDER/boxes.jsonl", "--task", "phrase_grounding"], {"sacrebleu", "PIL"}),
        (["score", "FOLDER/texts.jsonl", "--task", "vqa", "--metrics", "bleu"], {"PIL"}),
        (["score", "FOLDER/version_0"], {"PIL"}),
        (["compare", "FOLDER/version_0", "FOLDER/version_0"], {"PIL"}),
    ],
)
def test_no_command_loads_torch(arguments: list[str], others: set[str], folder: Path) -> None:
    loaded = modules_of(*(part.replace("FOLDER", str(folder)) for part in arguments))
    assert "argparse" in loaded
    assert not loaded & (HEAVY | others)


def test_a_process_of_its_own(folder: Path) -> None:
    done = process("score", str(folder / "boxes.jsonl"), "--task", "phrase_grounding")
    assert re.search(r"\ngrounding/f1 +1\.0000  \[", done.stdout)
    assert done.stderr == ""
    gate = ["--fail-under", "grounding/fp=1"]
    process("score", str(folder / "boxes.jsonl"), "--task", "phrase_grounding", *gate, code=1)
    assert "the following arguments are required: FILE" in process("score", code=2).stderr
    done = process("runs", str(folder / "none"), code=3)
    assert done.stderr.endswith("none: expected a folder, but there is none\n")
    assert process("--version").stdout == f"{__version__}\n"


def test_a_terminal_that_cannot_show_a_sign(folder: Path) -> None:
    (folder / "caf\u00e9").mkdir()
    (folder / "version_0").rename(folder / "caf\u00e9" / "version_0")
    done = process("runs", str(folder), env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert "caf\\xe9/version_0/vlmeval" in done.stdout


def test_a_reader_that_has_seen_enough(folder: Path) -> None:
    command = [sys.executable, "-m", "lightning_vlmeval", "runs", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


def test_the_help_says_what_the_exit_codes_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == OK
    said = capsys.readouterr().out
    assert "exit codes: 0 fine, 1 a gate failed" in said
    for command in ("score", "compare", "report", "runs"):
        assert f"\n    {command}  " in said


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == USAGE
    assert "the following arguments are required: COMMAND" in capsys.readouterr().err


def test_an_interrupt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_vlmeval.cli.runs._find", interrupted)
    assert main(["runs", str(folder)]) == 130


def test_control_characters_are_shown() -> None:
    assert shown("a\tb\x00\x1b\x7f\x9b\u200b\u202e\u2028\ud800\ue000 \u00e9\U0001f600") == (
        "a\\tb\\x00\\x1b\\x7f\\x9b\\u200b\\u202e\\u2028\\ud800\\ue000 \u00e9\U0001f600"
    )


# ------------------------------------------------------------------------------------ report


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A writer of reports that tells what it was given."""
    calls: list[Any] = []
    module = ModuleType("lightning_vlmeval.reporting.report")

    def write_report(runs: Any, path: Path) -> None:
        calls.append(([run.name for run in runs], path))
        path.write_bytes(b"x" * 250_000)

    module.write_report = write_report  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning_vlmeval.reporting.report", module)
    return calls


def test_a_report_of_several_runs(
    folder: Path, page: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    grounding_run(folder / "version_1", name="second")
    target = folder / "my report.html"
    runs = [str(folder / "version_0"), str(folder / "version_1" / "vlmeval")]
    assert main(["report", *runs, "-o", str(target)]) == OK
    assert page == [(["first", "second"], target)]
    assert capsys.readouterr().out == f"{target}: 0.2 MB\n"


def test_a_report_that_cannot_be_written(
    folder: Path, page: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", str(folder / "version_0"), "-o", str(folder)]
    assert main(arguments) == USAGE
    message = f"lightning-vlmeval: {folder}: cannot be written: Is a directory\n"
    assert capsys.readouterr().err == message


def test_a_report_of_no_run(
    folder: Path, page: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder)]) == DATA
    assert "expected the folder of a run" in capsys.readouterr().err
    assert page == []

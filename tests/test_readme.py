"""The README's code blocks run, and its commands are those of the continuous integration."""

import re
from pathlib import Path

import pytest

from lightning_vlmeval.parsing import box_format_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


# What the PaliGemma processor of transformers says.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_blocks_run_and_print_what_they_say(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "lightning_vlmeval.demo" in block:
        pytest.importorskip("transformers", minversion="5.6", reason="the demo's model needs 5.6")
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    for said in re.findall(r"^(?:print\(.*\)  )?# (.+)$", block, flags=re.MULTILINE):
        assert said in printed


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    commands = re.findall(r"```bash\n(.*?)\n```", README, flags=re.DOTALL)
    (test_command,) = [command for command in commands if command.endswith("&& pytest")]
    assert "\n" not in test_command, "one line to paste"
    assert "grep -m1 '&& pytest$' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_logged_key_is_in_the_table() -> None:
    from lightning_vlmeval.metrics import AnswerScore, GroundingScore, OutputHealth  # noqa: PLC0415

    for metric in (GroundingScore(), AnswerScore(), OutputHealth()):
        for key in metric.scorer.keys:
            assert re.search(rf"[`/]{key}`", README), key


def test_every_box_format_is_in_the_table() -> None:
    for name in box_format_names():
        assert f"`{name}`" in README, name

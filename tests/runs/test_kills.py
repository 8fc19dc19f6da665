"""A writer that ends at any moment leaves no torn file, and loses no finished evaluation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="needs a system with fork and SIGKILL"
)


def said_by(*arguments: str) -> dict[str, Any]:
    """What a script says, in a process that has no threads to be forked."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_twenty_kills_at_random_times() -> None:
    found = said_by("tests.runs.kills", "20")
    assert found["kills"] == 20
    assert found["finished"] > 0
    assert (found["torn"], found["lost"]) == ([], 0)


def test_an_end_at_every_step() -> None:
    found = said_by("tests.runs.interruptions")
    assert found["steps"] > 50
    assert found["faults"] == []

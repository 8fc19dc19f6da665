"""A writer that is killed at any moment leaves no torn file, and loses no finished evaluation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork and SIGKILL")
def test_twenty_kills() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.kills", "20"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 20
    assert found["finished"] > 0
    assert (found["torn"], found["lost"]) == ([], 0)

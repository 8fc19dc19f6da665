"""What a person sees in a terminal: whole lines, beside either progress bar."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

pyte = pytest.importorskip("pyte", reason="pyte, which shows what a terminal would, is missing")

ROOT = Path(__file__).resolve().parents[2]


def shown(bar: str) -> list[str]:
    """The lines on a terminal, those that were scrolled out of sight too, after a fit."""
    screen = pyte.HistoryScreen(120, 200, history=1000)
    stream = pyte.ByteStream(screen)
    main, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 120, 0, 0))  # else no bar shows
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.callback.console_app", bar],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "200"},
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    with os.fdopen(main, "rb", buffering=0) as terminal:
        while True:
            try:
                data = terminal.read(65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not data:
                break
            stream.feed(data)
    assert process.wait() == 0
    return [line.rstrip() for line in screen.display]


@pytest.mark.parametrize("bar", ["tqdm", "rich"])
def test_no_bar_tears_a_line(bar: str) -> None:
    if bar == "rich":
        pytest.importorskip("rich", reason="rich is not installed")
    lines = shown(bar)
    heads = [line for line in lines if "samples," in line]
    assert heads == ["  4 of 4 samples, 0 duplicates dropped, 0 missing"] * 7, "\n".join(lines)
    values = [line for line in lines if line.startswith("  val/grounding  f1 0.667")]
    assert len(values) == 7
    starts = [line for line in lines if line.startswith("evaluation ")]
    assert [line.split(",")[0] for line in starts] == [f"evaluation {i}" for i in range(7)]
    for line in [*values, *starts]:
        assert not re.search(r"it/s|Epoch|━|\d+%\|", line)

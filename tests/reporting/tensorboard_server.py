"""A TensorBoard with the tab, in a process of its own."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType

_PROGRAM = """
import sys, time
from tensorboard import default, program
from lightning_vlmeval.reporting.tensorboard_plugin import VLMEvalLoader
server = program.TensorBoard([*default.get_static_plugins(), VLMEvalLoader])
server.configure(("", *sys.argv[1:], "--port=0", "--load_fast=false", "--reload_interval=1"))
print(server.launch(), flush=True)
time.sleep(600)
"""


class TensorBoard:
    """A server; it is gone after the block.

    Attributes:
        url: Its address, which ends with "/".
    """

    def __init__(self, *arguments: str, log: Path) -> None:
        self._log = log
        with log.open("w", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _PROGRAM, *arguments],
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, log.read_text(encoding="utf-8")

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

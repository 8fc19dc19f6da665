"""The folders of runs as TensorBoard sees them: read through its own file layer, and nothing else."""

import hashlib
import json
import os
import re
from typing import Any

from tensorboard.compat import tf

_FOLDER = re.compile(r"vlmeval(?:-[^/\\\x00]{1,100})?")
_LINES = re.compile(r"([0-9]{9})\.jsonl\.gz", re.ASCII)
_IMAGE = re.compile(r"[0-9a-f]{32}\.jpg", re.ASCII)
_MAGIC = {".gz": b"\x1f\x8b", ".jpg": b"\xff\xd8\xff"}
_MOST = 10**8  # bytes of one file


class RefusedError(Exception):
    """A request that gets no answer.

    Args:
        code: What HTTP calls it.
        text: Why, without a word of the request.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class RunFolder:
    """A folder ``vlmeval`` in a run of TensorBoard's, whose files are read by number or by hash.

    Args:
        run: The folder of TensorBoard's run: a path, or an address of remote files.
        name: The name of the folder in it; it must be there.

    Raises:
        RefusedError: There is no such folder.
    """

    def __init__(self, run: str, name: str) -> None:
        if name not in run_folders(run):
            raise RefusedError(404, "no such folder")
        self._run, self._name = run, name

    def indices(self, kind: str) -> list[int]:
        """The numbers of the evaluations, or of the files of what does not change.

        Args:
            kind: ``evals`` or ``samples``.
        """
        names = set(_names(_joined(self._run, self._name, kind)))
        whole = [match[1] for match in map(_LINES.fullmatch, names) if match]
        if kind == "evals":
            whole = [stem for stem in whole if f"{stem}.summary.json" in names]
        return sorted(map(int, whole))

    def lines(self, kind: str, index: str) -> bytes:
        """A file of compressed lines, as it lies on disk.

        Args:
            kind: ``evals`` or ``samples``.
            index: Its number, as the request has it.

        Raises:
            RefusedError: There is no such file, or it is something else.
        """
        if kind not in ("evals", "samples") or not re.fullmatch("[0-9]{1,9}", index):
            raise RefusedError(400, "expected evals or samples, and a number")
        return self._read(kind, f"{int(index):09d}.jsonl.gz")

    def image(self, name: str) -> bytes:
        """A thumbnail.

        Args:
            name: Its name.

        Raises:
            RefusedError: There is none, or it is something else.
        """
        if not _IMAGE.fullmatch(name):
            raise RefusedError(400, "expected the name of a picture")
        return self._read("images", name)

    def version(self, indices: list[int]) -> str:
        """What changes when an evaluation comes, or comes again in a resumed run.

        Args:
            indices: The numbers of the evaluations.
        """
        last = self._object("evals", f"{indices[-1]:09d}.summary.json") if indices else {}
        parts = [self._object("run.json").get("created"), last.get("time"), indices]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def summaries(self) -> list[dict[str, Any]]:
        """The summaries of the whole evaluations, in order."""
        found = []
        for index in self.indices("evals"):
            summary = self._object("evals", f"{index:09d}.summary.json")
            if summary:
                found.append({**summary, "index": index})
        return found

    def _object(self, *parts: str) -> dict[str, Any]:
        try:
            value = json.loads(self._read(*parts).decode("utf-8"))
        except (RefusedError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def _read(self, *parts: str) -> bytes:
        """A file's bytes, if it is that file and not a link to another, and of its kind."""
        path = _joined(self._run, self._name, *parts)
        if "://" not in path:
            real = os.path.join(os.path.realpath(self._run), self._name, *parts)
            if os.path.realpath(path) != real or not os.path.isfile(path):
                raise RefusedError(404, "no such file")
        elif not tf.io.gfile.exists(path):
            raise RefusedError(404, "no such file")
        with tf.io.gfile.GFile(path, "rb") as file:
            data: bytes = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise RefusedError(413, "the file is too large")
        if not data.startswith(_MAGIC.get(os.path.splitext(path)[1], b"")):
            raise RefusedError(404, "not a file of its kind")
        return data


def run_folders(run: str) -> list[str]:
    """The names of the folders that a run of TensorBoard's holds of ours.

    Args:
        run: Its folder.
    """
    return [
        name
        for name in sorted(_names(run))
        if _FOLDER.fullmatch(name) and not os.path.islink(_joined(run, name))
    ]


def _names(folder: str) -> list[str]:
    """What is in a folder; nothing where there is none."""
    try:
        return [name.rstrip("/").rpartition("/")[2] for name in tf.io.gfile.listdir(folder)]
    except (tf.errors.NotFoundError, OSError):
        return []


def _joined(*parts: str) -> str:
    return "/".join([parts[0].rstrip("/"), *parts[1:]])

"""Loggers with the names of well-known ones, which remember what they are given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytorch_lightning.loggers.logger import Logger


class Recording(Logger):
    """Remembers every call, as the method's name, its arguments and its keywords."""

    def __init__(self, folder: Path, broken: bool = False) -> None:
        super().__init__()
        self.folder, self.broken = folder, broken
        self.scalars: list[dict[str, float]] = []
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    @property
    def name(self) -> str:
        return "project"

    @property
    def version(self) -> str:
        return "run1"

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.scalars.append(dict(metrics))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass

    def method(self, name: str) -> Any:
        def called(*args: Any, **kwargs: Any) -> None:
            if self.broken:
                raise OSError("no connection")
            self.calls.append((name, args, kwargs))

        return called

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """The calls of a method."""
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


class WandbLogger(Recording):
    """As far as one looks: recognised by its name."""

    def __getattr__(self, name: str) -> Any:
        if name in ("log_image", "log_table"):
            return self.method(name)
        raise AttributeError(name)

    @property
    def experiment(self) -> Any:
        return SimpleNamespace(
            id="run1", log=self.method("log"), log_artifact=self.method("log_artifact")
        )


class MLFlowLogger(Recording):
    """As far as one looks: recognised by its name."""

    run_id = "run1"

    @property
    def experiment(self) -> Any:
        names = ("log_image", "log_text", "log_artifact")
        return SimpleNamespace(**{name: self.method(name) for name in names})


class Unknown(Recording):
    """A logger that nobody knows."""

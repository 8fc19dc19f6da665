"""The import rule: a module imports only from layers below its own, or from its own package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "lightning_vlmeval"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

# Bottom first. Packages of one layer never import each other, but for the foundation's.
LAYERS = [
    {"errors", "signature", "sample", "table", "keys"},
    {"parsing"},
    {"functional"},
    {"analysis"},
    {"runs"},
    {"metrics", "reporting"},
    {"session"},
    {"callback"},
    {"demo", "cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Heavy packages, and the only layers that may name them.
TORCH = {"metrics", "session", "callback", "demo"}
ALLOWED = {
    "torch": TORCH | {"functional/encoder.py"},
    "transformers": {"functional/encoder.py", "demo"},
    "torchmetrics": TORCH,
    "lightning": {"callback", "demo"},
    "pytorch_lightning": {"callback", "demo"},
    "scipy": {"functional", "analysis"},
}

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def imported(source: str) -> Iterator[str]:
    """Every module that the source imports, by its whole name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError("write absolute imports")
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def faults(name: str, source: str) -> list[str]:
    """What is wrong with the imports of the module of this name."""
    own = Path(name).with_suffix("").parts[0]
    found = []
    for target in imported(source):
        head, *rest = target.split(".")
        if head == PACKAGE and rest and rest[0] != own and rest[0] != "__version__":
            if rest[0] not in RANK:
                found.append(f"{rest[0]} has no layer: give it one in {Path(__file__).name}")
            elif not (RANK[rest[0]] < RANK[own] or RANK[rest[0]] == RANK[own] == 0):
                found.append(f"{own} must not import {target}")
        elif head in ALLOWED and not ALLOWED[head] & {own, name}:
            found.append(f"{name} must not import {head}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    assert faults(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("analysis/trend.py", "import lightning_vlmeval.callback"),
        ("analysis/trend.py", "from lightning_vlmeval import callback"),
        ("analysis/trend.py", "import torch"),
        ("functional/bleu.py", "from torch import Tensor"),
        ("session/trainer.py", "import pytorch_lightning as pl"),
        ("metrics/text.py", "from lightning_vlmeval.reporting.console import metric_lines"),
    ],
)
def test_the_test_can_fail(name: str, source: str) -> None:
    assert faults(name, source)


def modules_after(statement: str) -> set[str]:
    """The heavy modules loaded in a new process after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    heavy = {"torch", "torchmetrics", "pytorch_lightning", "lightning", "transformers"}
    return heavy & set(done.stdout.split())


LIGHT = [
    "import lightning_vlmeval",
    "import lightning_vlmeval.analysis.overfitting",
    "import lightning_vlmeval.reporting.console",
    "import lightning_vlmeval.parsing",
    "import lightning_vlmeval.functional.grounding, lightning_vlmeval.functional.bertscore",
    "from lightning_vlmeval import Run, compare",
    "import lightning_vlmeval.cli.main, lightning_vlmeval.cli.score, lightning_vlmeval.cli.runs",
]


@pytest.mark.parametrize("statement", LIGHT)
def test_starts_without_torch(statement: str) -> None:
    assert modules_after(statement) == set()


def test_the_search_for_heavy_modules_can_find_one() -> None:
    assert "torch" in modules_after("import torch")

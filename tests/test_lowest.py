"""The lowest versions that are tested are those that are declared."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
LOWEST = (ROOT / "lowest.txt").read_text(encoding="utf-8")

PINNED = dict(re.findall(r"^([\w-]+)\S*==([\d.]+)", LOWEST, flags=re.MULTILINE))
DEPENDENCIES = PROJECT.split("dependencies = [", 1)[1].split("\n]", 1)[0]
EXTRAS = PROJECT.split("[project.optional-dependencies]", 1)[1].split("[project.scripts]", 1)[0]
NOT_RUN = {"mypy", "ruff", "transformers"}  # tools; what the demo asks for, whose tests skip


def lowest(text: str) -> dict[str, str]:
    return dict(re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)', text))


def test_the_lowest_versions_are_those_declared() -> None:
    declared = lowest(DEPENDENCIES)
    assert declared.pop("torch")
    declared |= {k: v for k, v in lowest(EXTRAS).items() if k not in NOT_RUN}
    assert set(declared) == set(PINNED)
    for name, version in declared.items():
        assert f"{PINNED[name]}.".startswith(f"{version}."), name

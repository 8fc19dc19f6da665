"""Evaluation of vision-language models while they are being fine-tuned with PyTorch Lightning.

Names are imported on first use, so that importing the package costs nothing: the command line, the
report and TensorBoard must start without torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers and editors read
    from lightning_vlmeval.analysis.overfitting import OverfittingDetector
    from lightning_vlmeval.callback import VLMEvalCallback
    from lightning_vlmeval.functional.response import validate_response
    from lightning_vlmeval.runs.comparison import compare
    from lightning_vlmeval.runs.run import Run
    from lightning_vlmeval.sample import Sample
    from lightning_vlmeval.session.generation import Generator

__version__ = "0.1.0"
__all__ = [
    "Generator",
    "OverfittingDetector",
    "Run",
    "Sample",
    "VLMEvalCallback",
    "compare",
    "validate_response",
]

_HOMES = {
    "Generator": "lightning_vlmeval.session.generation",
    "OverfittingDetector": "lightning_vlmeval.analysis.overfitting",
    "Run": "lightning_vlmeval.runs.run",
    "Sample": "lightning_vlmeval.sample",
    "VLMEvalCallback": "lightning_vlmeval.callback",
    "compare": "lightning_vlmeval.runs.comparison",
    "validate_response": "lightning_vlmeval.functional.response",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *__all__])

"""Two runs are trained and compared, sample by sample.

    python examples/compare_runs.py [FOLDER [STEPS]]

The demo's tiny model learns, on a CPU and without a network, with a small learning rate (A) and with
a larger one (B). What is said at the end is said by the command line; with runs of your own:

    lightning-vlmeval compare A B --fail-on-regression
    lightning-vlmeval report A B -o report.html
"""

import logging
import sys
import warnings
from pathlib import Path

import torch

from lightning_vlmeval.cli.main import main
from lightning_vlmeval.demo.__main__ import Recipe, fit


def train(folder: Path, steps: int, learning_rate: float) -> str:
    """The folder of a run that is evaluated before its first step and after its last."""
    recipe = Recipe(steps=steps, evaluations=1, learning_rate=learning_rate)
    trainer, _ = fit(recipe, folder)
    return str(trainer.loggers[0].log_dir)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "compare_runs")
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 120
    torch.set_num_threads(1)  # more only wait for each other in so small a model
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    a, b = train(folder, steps, 1e-4), train(folder, steps, 1e-3)
    for arguments in (["compare", a, b], ["report", a, b, "-o", str(folder / "report.html")]):
        print(f"\n$ lightning-vlmeval {' '.join(arguments)}", flush=True)
        main(arguments)

"""A program with LightningCLI, of the Lightning package that its first argument names.

The second is a configuration file. It prints the whole configuration, fits, and fits again from the
configuration that was saved, and writes a line of JSON about each to the file `told`.
"""

import contextlib
import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

ANSWERS = ['{"count": %d}', "count: %d.", "%d"]


def answer(pl_module: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """What a configuration file names by its dotted path."""
    return {"preds": batch["text"]}


def collate(numbers: list[int]) -> dict[str, Any]:
    ids = torch.tensor([[2, 10 + n % 3, 20, 1] for n in numbers])
    labels = ids.clone()
    labels[:, :2] = -100
    return {
        "x": torch.tensor([[float(n)] for n in numbers]),
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "id": [str(n) for n in numbers],
        "text": [ANSWERS[n % 3] % n for n in numbers],
        "target": [{"count": n} for n in numbers],
    }


def classes(package: str) -> tuple[type, type]:
    pl = importlib.import_module(package)

    class Model(pl.LightningModule):
        def __init__(self, learning_rate: float = 0.001) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.learning_rate = learning_rate

        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            return (self.layer(batch["x"]) ** 2).mean()

        validation_step = training_step

        def answers(self, batch: dict[str, Any]) -> list[str]:
            return list(batch["text"])

        def generate(self, input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
            return torch.cat([input_ids, input_ids[:, -1:], input_ids[:, :1] * 0 + 1], dim=1)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), self.learning_rate)

    class Data(pl.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return DataLoader(list(range(6)), 2, collate_fn=collate)

        val_dataloader = train_dataloader

    return Model, Data


def fit(package: str, config: str) -> dict[str, Any]:
    cli = importlib.import_module(f"{package}.cli").LightningCLI(
        *classes(package), seed_everything_default=1, args=["fit", "--config", config]
    )
    (callback,) = (one for one in cli.trainer.callbacks if hasattr(one, "history"))
    (parsed,) = cli.config.fit.trainer.callbacks
    return {
        "options": {name: repr(value) for name, value in vars(parsed.init_args).items()},
        "metrics": list(callback.metrics),
        "signatures": [str(one.signature()) for one in callback.metrics.values()],
        "history": callback.history,
        "verdict": repr(callback.verdict),
    }


def printed(package: str, config: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        importlib.import_module(f"{package}.cli").LightningCLI(
            *classes(package),
            seed_everything_default=1,
            args=["fit", "--config", config, "--print_config"],
        )
    return out.getvalue()


def main() -> None:
    package, config, told = sys.argv[1:]
    sys.argv[1:] = []
    shown = Path("printed.yaml")
    shown.write_text(printed(package, config), encoding="utf-8")
    lines = [json.dumps(fit(package, config))]
    saved = Path("config.yaml").rename("saved.yaml")
    lines.append(json.dumps(fit(package, str(saved))))
    Path("config.yaml").rename("again.yaml")
    Path(told).write_text("\n".join(lines), encoding="utf-8")
    other = {"lightning.pytorch", "pytorch_lightning"} - {package}
    assert not other & set(sys.modules), "each package on its own"


if __name__ == "__main__":
    main()

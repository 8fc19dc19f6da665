"""A small module of either Lightning package, whose boxes get better as it learns."""

import importlib
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

QUIET = {
    "accelerator": "cpu",
    "devices": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
}


class Scenes(Dataset):
    """Inputs for a linear model, and a box to find for each."""

    def __init__(self, size: int, ids: bool = True, first: int = 0) -> None:
        self.size, self.ids, self.first = size, ids, first

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        index += self.first
        x = torch.randn(4, generator=torch.Generator().manual_seed(index), dtype=torch.float32)
        item = {"x": x, "index": index}
        return {**item, "id": f"scene{index}"} if self.ids else item


def loader(size: int, batch_size: int = 2, **kwargs: Any) -> DataLoader:
    return DataLoader(Scenes(size, **kwargs), batch_size=batch_size)


def target_boxes(index: int) -> list[list[float]]:
    """What scene `index` shows: one box, or two."""
    return [[10.0 * k, 0.0, 10.0 * k + 8, 8.0] for k in range(1 + index % 2)]


def module_class(package: str = "pytorch_lightning") -> type:
    pl = importlib.import_module(package)

    class Finder(pl.LightningModule):
        """Its boxes are off to the right by the size of its loss."""

        def __init__(self, log_val_loss: bool = False, return_loss: bool = True) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(4, 1)
            self.log_val_loss, self.return_loss = log_val_loss, return_loss

        def loss(self, batch: dict[str, Any]) -> torch.Tensor:
            return (self.layer(batch["x"]) ** 2).mean(dim=1)

        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            return self.loss(batch).mean()

        def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
            losses = self.loss(batch)
            preds, target = [], []
            for index, loss in zip(batch["index"].tolist(), losses.tolist(), strict=True):
                boxes = target_boxes(index)
                shift = 8 * loss / (1 + loss)
                preds.append([[a + shift, b, c + shift, d] for a, b, c, d in boxes])
                target.append(boxes)
            return {"preds": preds, "target": target}

        def validation_step(
            self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0
        ) -> dict[str, Any]:
            loss = self.loss(batch).mean()
            if self.log_val_loss:
                self.log("val_loss", loss)
            return {**({"loss": loss} if self.return_loss else {}), **self.answers(batch)}

        def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
            return self.answers(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    return Finder


Finder = module_class()

"""The metrics and the overfitting rule in a training loop of plain torch, without Lightning.

    python examples/plain_torch.py [EPOCHS]

The demo's model learns 8 pictures by heart, on a CPU and without a network, in under a minute: it
gets better on them and worse on others. What the rule makes of the losses is printed beside them.
"""

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader

from lightning_vlmeval import Generator, OverfittingDetector
from lightning_vlmeval.demo.data import Collator, SceneDataset
from lightning_vlmeval.demo.model import load_checkpoint
from lightning_vlmeval.demo.scenes import Mix
from lightning_vlmeval.metrics import GroundingScore
from lightning_vlmeval.parsing import box_format

FORMAT = box_format("paligemma")


def loss_of(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    return model(**{name: value for name, value in batch.items() if torch.is_tensor(value)}).loss


def evaluate(
    model: Any, generate: Generator, batches: Iterable[dict[str, Any]]
) -> tuple[float, dict[str, float]]:
    """The mean loss of the batches, and how good the boxes are that the model writes."""
    model.eval()
    metric, losses = GroundingScore(), []
    for batch in batches:
        with torch.no_grad():
            losses.append(float(loss_of(model, batch)))
        answers = generate(model, batch)["preds"]
        read = [FORMAT.parse(text, size) for text, size in zip(answers, batch["size"], strict=True)]
        metric.update(
            [[box.xyxy for box in answer.boxes] for answer in read],
            [[box.xyxy for box in boxes] for boxes in batch["target"]],
            batch["id"],
        )
    return sum(losses) / len(losses), {key: float(value) for key, value in metric.compute().items()}


def main(epochs: int) -> None:
    torch.manual_seed(0)
    processor, model = load_checkpoint()
    mix = Mix(("colour",), questions=0.0)
    collate = Collator(processor)
    training = DataLoader(SceneDataset(0, 8, mix), batch_size=8, collate_fn=collate)
    validation = DataLoader(SceneDataset(1, 32, mix), batch_size=16, collate_fn=collate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generate, detector = Generator(processor), OverfittingDetector()
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in training:
            loss = loss_of(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 5:
            continue
        val_loss, scores = evaluate(model, generate, validation)
        verdict = detector.update(step=epoch, train_loss=loss.item(), val_loss=val_loss)
        told = "  ".join(f"{key} {scores[key]:.3f}" for key in ("f1", "mean_iou"))
        print(f"{epoch:3}  loss {loss.item():.3f}  {val_loss:.3f}  {told}  {verdict.state}")
    print(verdict.reason)


if __name__ == "__main__":
    main(int((sys.argv[1:] or [50])[0]))

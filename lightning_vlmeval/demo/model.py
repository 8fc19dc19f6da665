"""The model of the demo, and the Lightning module that fine-tunes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    get_linear_schedule_with_warmup,
)

CHECKPOINT = Path(__file__).parent / "checkpoint"
"""The model that `train_checkpoint` made, with its processor."""

MAX_NEW_TOKENS = 32
"""Enough for three boxes or a sentence."""

IGNORED = -100  # the label of a token that the loss passes over


def load_checkpoint(
    path: Path = CHECKPOINT,
) -> tuple[PaliGemmaProcessor, PaliGemmaForConditionalGeneration]:
    """The processor and the model of a folder, in float32, without a network.

    Args:
        path: A folder that `save_pretrained` wrote.
    """
    processor = AutoProcessor.from_pretrained(path, local_files_only=True)
    model = AutoModelForImageTextToText.from_pretrained(
        path, local_files_only=True, dtype=torch.float32
    )
    return processor, model


def run_model(
    model: PaliGemmaForConditionalGeneration, inputs: Mapping[str, Tensor], **options: Any
) -> tuple[Any, Tensor]:
    """The model's output, and the loss of each answer: the mean over its tokens, shape (n,).

    Logits are computed for the answers only: the image and the prompt are most of the tokens.

    Args:
        model: The model.
        inputs: What the processor made of prompts with answers, padded on the right.
        **options: More arguments of the model.
    """
    inputs = dict(inputs)
    labels = inputs.pop("labels")
    first = int((labels != IGNORED).int().argmax(dim=1).min())
    labels = labels[:, first:]
    # A token is predicted at the position before it.
    output = model(**inputs, logits_to_keep=labels.shape[1] + 1, **options)
    logits = output.logits[:, :-1].transpose(1, 2)
    losses = nn.functional.cross_entropy(logits, labels, reduction="none", ignore_index=IGNORED)
    return output, losses.sum(1) / (labels != IGNORED).sum(1)


def generate_answers(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    prompts: Mapping[str, Tensor],
) -> tuple[list[str], list[bool]]:
    """The model's answers, each its likeliest, and whether each was cut at the token limit.

    Args:
        model: The model.
        processor: Its processor.
        prompts: What the processor made of prompts, padded on the left.
    """
    tokens = model.generate(**prompts, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
    new = tokens[:, prompts["input_ids"].shape[1] :]
    ended = (new == model.generation_config.eos_token_id).any(dim=1)
    return processor.batch_decode(new, skip_special_tokens=True), (~ended).tolist()


class TinyVLM(pl.LightningModule):
    """Fine-tunes the checkpoint: what one writes for any model of `transformers`.

    Args:
        learning_rate: The largest of the schedule.
        constant: Keep the learning rate, instead of lowering it to 0 towards the end.
        path: The folder of the checkpoint.
    """

    def __init__(
        self, learning_rate: float, constant: bool = False, path: Path = CHECKPOINT
    ) -> None:
        super().__init__()
        self.learning_rate = learning_rate
        self.constant = constant
        self.processor, self.model = load_checkpoint(path)
        self.model.train()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        _, losses = run_model(self.model, batch["inputs"])
        loss = losses.mean()
        self.log("loss", loss, prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """The losses, and the model's answers with what they should have been."""
        answers, truncated = generate_answers(self.model, self.processor, batch["prompts"])
        return {
            "losses": run_model(self.model, batch["inputs"])[1],
            "preds": answers,
            "target": batch["target"],
            "id": batch["id"],
            "prompt": batch["prompt"],
            "task": batch["task"],
            "size": batch["size"],
            "truncated": truncated,
        }

    def configure_optimizers(self) -> Any:
        """AdamW with a warm-up."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        end = 10**9 if self.constant else steps
        schedule = get_linear_schedule_with_warmup(optimizer, steps // 20, end)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

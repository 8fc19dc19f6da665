"""Examples as a data set, and batches of them as the model takes them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset
from transformers import PaliGemmaProcessor

from lightning_vlmeval.demo.scenes import Example, Mix, draw_example
from lightning_vlmeval.parsing import Box


@dataclass(frozen=True)
class SceneDataset(Dataset[Example]):
    """The first `count` examples of a seed, drawn when they are asked for.

    Args:
        seed: Data sets of different seeds share no example.
        count: How many.
        mix: Which examples.

    Example:
        >>> scenes = SceneDataset(0, 2, Mix(("colour and shape",), questions=0.0))
        >>> [example.prompt for example in scenes]
        ['detect purple square', 'detect orange circle']
    """

    seed: int
    count: int
    mix: Mix

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.count:
            raise IndexError(f"Expected an index below {self.count}, but got {index}")
        rng = random.Random(f"{self.seed}/{index}")
        return draw_example(rng, self.mix, f"scene-{index:04d}")


@dataclass(frozen=True)
class Collator:
    """Examples to a batch, through the model's own processor.

    The batch has `inputs`, the prompts with their answers, padded on the right, to compute a loss.
    For an evaluation it has also `prompts`, padded on the left, to generate from, and what the
    answers are scored against.

    Args:
        processor: The model's processor.
        evaluation: Whether the batch is for an evaluation.
    """

    processor: PaliGemmaProcessor
    evaluation: bool = False

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """A batch of these examples."""
        batch: dict[str, Any] = {"inputs": self._encode(examples, "right", answers=True)}
        if self.evaluation:
            batch["prompts"] = self._encode(examples, "left", answers=False)
            batch["target"] = [_target(example) for example in examples]
            batch["size"] = [example.scene.image.size for example in examples]
            for key in ("id", "task", "prompt"):
                batch[key] = [getattr(example, key) for example in examples]
        return batch

    def _encode(self, examples: Sequence[Example], side: str, *, answers: bool) -> dict[str, Any]:
        encoded = self.processor(
            images=[[example.scene.image] for example in examples],
            text=["<image>" + example.prompt for example in examples],
            suffix=[example.answer for example in examples] if answers else None,
            padding="longest",
            padding_side=side,
            return_tensors="pt",
        )
        tensors = dict(encoded)
        if not answers:
            tensors.pop("labels", None)
        return tensors


def _target(example: Example) -> str | list[Box]:
    """What an answer is scored against."""
    return example.answer if example.task == "vqa" else list(example.boxes)

"""Examples as a data set, and batches of them as the model takes them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset
from transformers import PaliGemmaProcessor

from lightning_vlmeval.demo.scenes import Example, Mix, draw_example


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
    """Examples to a batch: the tensors of the model's own processor, and what they were made from.

    Args:
        processor: The model's processor.
    """

    processor: PaliGemmaProcessor

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """A batch of these examples.

        Args:
            examples: The examples.
        """
        encoded = self.processor(
            images=[[example.scene.image] for example in examples],
            text=["<image>" + example.prompt for example in examples],
            suffix=[example.answer for example in examples],
            padding="longest",
            padding_side="right",
            return_tensors="pt",
        )
        return {
            **encoded,
            "id": [example.id for example in examples],
            "prompt": [example.prompt for example in examples],
            "task": [example.task for example in examples],
            "target": [example.boxes or example.answer for example in examples],
            "size": [example.scene.image.size for example in examples],
            "image": [example.scene.image for example in examples],
        }

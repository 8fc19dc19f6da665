"""Boxes in pixels of the resized image: its size comes from the batch's `image_grid_thw`."""

import random
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing import Box, BoxFormat, Frame, JSONGrammar, box_format
from lightning_vlmeval.parsing.box import Size
from tests.callback.modules import QUIET

try:
    from transformers import Qwen2VLImageProcessorPil as Processor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize
except ImportError:  # transformers 4 has one without torchvision by the plain name
    from transformers import Qwen2VLImageProcessor as Processor
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

try:
    Processor()
except ImportError:  # of older transformers, which want torchvision for it
    pytest.skip("transformers needs torchvision for this processor", allow_module_level=True)

FORMAT = box_format("qwen2.5-vl")
# In pixels of the original, which is the mistake that is most often made.
UNRESIZED = BoxFormat("unresized", JSONGrammar(), Frame("original"))
SIZES = [(640, 428), (100, 64), (64, 100), (333, 500), (1280, 720), (57, 57)]
MAX_PIXELS = 112 * 112  # so that large images are made much smaller, and none is left as it is


def boxes_in(size: tuple[int, int]) -> list[Box]:
    """Three boxes of a third of the image's width and height or more, anywhere."""
    rng = random.Random(str(size))
    found = []
    for label in ("cat", "dog", "bird"):
        sides = [rng.uniform(side / 3, side) for side in size]
        left, top = (rng.uniform(0, full - side) for full, side in zip(size, sides, strict=True))
        found.append(Box(label, (left, top, left + sides[0], top + sides[1])))
    return found


def resized(size: tuple[int, int]) -> Size:
    """What the processor makes of an image of this size, said by its own rule."""
    height, width = smart_resize(size[1], size[0], 28, 56 * 56, MAX_PIXELS)
    return width, height


def collate(sizes: list[tuple[int, int]]) -> dict[str, Any]:
    processor = Processor(min_pixels=56 * 56, max_pixels=MAX_PIXELS)
    images = [Image.new("RGB", size) for size in sizes]
    return {
        **processor(images=images, return_tensors="pt"),
        "size": sizes,
        "target": [boxes_in(size) for size in sizes],
        "id": [str(size) for size in sizes],
    }


def without_grid(sizes: list[tuple[int, int]]) -> dict[str, Any]:
    return {key: value for key, value in collate(sizes).items() if key != "image_grid_thw"}


def echo(pl_module: Any, batch: dict[str, Any]) -> list[str]:
    """The targets, written as the family writes boxes."""
    pairs = zip(batch["target"], batch["size"], strict=True)
    return [FORMAT.render(boxes, size, resized(size)) for boxes, size in pairs]


def in_original_pixels(pl_module: Any, batch: dict[str, Any]) -> list[str]:
    return [UNRESIZED.render(*pair) for pair in zip(batch["target"], batch["size"], strict=True)]


class LossOnly(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.layer(batch["pixel_values"][:1, :1]).sum() ** 2

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(
    generate: Any, collate_fn: Any = collate, module: Any = None, **options: Any
) -> VLMEvalCallback:
    callback = VLMEvalCallback(
        box_format=FORMAT, generate=generate, training_samples=4, print_results=False, **options
    )
    loader = DataLoader(SIZES, batch_size=2, collate_fn=collate_fn)  # type: ignore[arg-type]
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.fit(module or LossOnly(), loader, loader)
    return callback


def test_the_grid_is_that_of_the_resized_image() -> None:
    """640 x 428 at most 112 x 112 pixels: shrunk 4.67 times, 5 x 3 (4.89 x 3.27) units of 28."""
    grid = collate([(640, 428)])["image_grid_thw"]
    assert grid.tolist() == [[1, 6, 8]]
    assert resized((640, 428)) == (112, 84)
    assert all(resized(size) != size for size in SIZES)


def test_answers_that_are_the_targets_are_right_in_pixels_of_the_originals() -> None:
    """What is lost is what rounding to pixels of the small image loses, and no more."""
    for entry in fit(echo).history:
        for stage in ("val", "train"):
            assert entry["values"][f"{stage}/grounding/f1"] == 1.0
            assert entry["values"][f"{stage}/grounding/parse_rate"] == 1.0
    ceilings = [FORMAT.ceiling(boxes_in(size), size, resized(size)) for size in SIZES]
    mean = sum(ceilings) / len(SIZES)
    assert entry["values"]["val/grounding/mean_iou"] == pytest.approx(mean, rel=1e-6)
    assert 0.9 < mean < 1


def test_pixels_of_the_originals_are_wrong_and_it_is_said_what_they_are() -> None:
    """Three of the images are made four times smaller or more: all of their boxes are wrong."""
    callback = fit(in_original_pixels)
    assert callback.history[-1]["values"]["val/grounding/f1"] == 0.5
    assert "would be 0.99 if read as pixels of the original image" in callback.summary()


def test_a_size_that_is_given_counts_more_than_the_grid() -> None:
    def collated(sizes: list[tuple[int, int]]) -> dict[str, Any]:
        return {**collate(sizes), "fed_size": sizes}

    assert fit(in_original_pixels, collated).history[-1]["values"]["val/grounding/f1"] == 1.0


def test_without_any_size_nothing_is_trained() -> None:
    module = LossOnly()
    before = module.layer.weight.clone()
    message = "Expected 'fed_size', .* or the processor's 'image_grid_thw'"
    with pytest.raises(ConfigurationError, match=message):
        fit(echo, without_grid, module)
    assert torch.equal(module.layer.weight, before)


def test_the_grids_of_several_images_a_sample_are_not_taken_for_the_samples() -> None:
    def two_images(sizes: list[tuple[int, int]]) -> dict[str, Any]:
        batch = collate(sizes)
        return {**batch, "image_grid_thw": batch["image_grid_thw"].repeat_interleave(2, 0)}

    with pytest.raises(ConfigurationError, match="'image_grid_thw' with one row a sample"):
        fit(echo, two_images)

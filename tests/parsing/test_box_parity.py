"""The families' own code in `transformers` gives the same numbers, boxes and entities."""

import numpy as np
import pytest
import torch
from transformers.models.florence2.processing_florence2 import Florence2PostProcessor
from transformers.models.fuyu.processing_fuyu import scale_bbox_to_transformed_image
from transformers.models.kosmos2.processing_kosmos2 import (
    clean_text_and_extract_entities_with_bboxes,
    coordinate_to_patch_index,
    patch_index_to_coordinate,
)

from lightning_vlmeval.parsing import Box, box_format


def boxes_in(width, height, n=200, seed=0):
    """Boxes with sides of at least a thousandth of the image, as floats."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 0.95, (n, 2))
    end = np.minimum(1, start + rng.uniform(0.001, 0.9, (n, 2)))
    corners = np.hstack([start, end]) * [width, height, width, height]
    return [Box("cat", tuple(row)) for row in corners.tolist()]


def test_kosmos_indices_of_200_boxes():
    boxes = boxes_in(640, 480)
    for box in boxes:
        fractions = tuple(np.array(box.xyxy) / [640, 480, 640, 480])
        first, last = coordinate_to_patch_index(fractions, 32)
        assert box_format("kosmos-2").render([box], (640, 480)) == (
            f"<phrase> cat</phrase><object><patch_index_{first:04d}><patch_index_{last:04d}></object>"
        )


def test_kosmos_boxes_of_2000_pairs_of_indices():
    rng = np.random.default_rng(0)
    for top, left, below, right in rng.integers(0, 32, (2000, 4)).tolist():
        (top, bottom), (left, right) = sorted((top, below)), sorted((left, right))
        first, last = top * 32 + left, bottom * 32 + right
        text = f"<object><patch_index_{first:04d}><patch_index_{last:04d}></object>"
        (box,) = box_format("kosmos-2").parse(text, (640, 480)).boxes
        wanted = np.array(patch_index_to_coordinate(first, last, 32)) * [640, 480, 640, 480]
        assert box.xyxy == pytest.approx(wanted)


def test_kosmos_entities_of_a_text():
    text = (
        "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044>"
        "<patch_index_0863></object> warming himself by<phrase> a fire</phrase><object>"
        "<patch_index_0005><patch_index_0911></delimiter_of_multi_objects/><patch_index_0000>"
        "<patch_index_0033></object>."
    )
    entities = clean_text_and_extract_entities_with_bboxes(text)[1]
    wanted = [(name, corners) for name, _, boxes in entities for corners in boxes]
    parsed = box_format("kosmos-2").parse(text, (1, 1))
    assert [box.label for box in parsed.boxes] == [name for name, _ in wanted]
    for box, (_, corners) in zip(parsed.boxes, wanted, strict=True):
        assert box.xyxy == pytest.approx(corners)


def test_florence_bins_of_200_boxes():
    processor = Florence2PostProcessor.__new__(Florence2PostProcessor)
    processor.quantize_bins = (1000, 1000)
    fmt, size = box_format("florence-2"), (641, 479)
    for box in boxes_in(*size, seed=1):
        bins = processor.quantize(torch.tensor([box.xyxy], dtype=torch.float64), size)
        text = fmt.render([box], size)
        assert text == "cat" + "".join(f"<loc_{index}>" for index in bins[0].tolist())
        # Theirs are cut to whole pixels.
        wanted = processor.dequantize(bins, size)[0].tolist()
        assert [int(corner) for corner in fmt.parse(text, size).boxes[0].xyxy] == wanted


def test_fuyu_numbers_of_200_boxes():
    """The processor scales both sides by one factor, and writes top, left, bottom, right."""
    size, scale = (640, 480), 1.75
    fed_size = (size[0] * scale, size[1] * scale)
    for box in boxes_in(*size, seed=2):
        x1, y1, x2, y2 = box.xyxy
        numbers = scale_bbox_to_transformed_image(y1, x1, y2, x2, scale)
        if numbers[0] == numbers[2] or numbers[1] == numbers[3]:
            continue  # we write a box that rounding leaves without an area one unit wide
        wanted = ", ".join(str(int(number)) for number in numbers)
        text = box_format("fuyu").render([box], size, fed_size)
        assert text == f"<ref>cat</ref><box>{wanted}</box>"

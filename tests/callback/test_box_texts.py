"""Boxes that come as text, in a model family's format."""

from typing import Any

import pytest
import pytorch_lightning as pl

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing import Box, BoxFormat, Frame, JSONGrammar, box_format
from tests.callback.modules import QUIET, Finder, loader, target_boxes

SIZE = (100, 100)


class Writer(Finder):
    """Writes the boxes of its scenes as text, `style` its fault."""

    def __init__(self, name: str = "qwen3-vl", style: str = "right", **extra: Any) -> None:
        super().__init__()
        self.format, self.style, self.extra = box_format(name), style, extra

    def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
        scenes = [
            [Box(f"shape {k}", tuple(map(float, box))) for k, box in enumerate(target_boxes(index))]
            for index in batch["index"].tolist()
        ]
        fed = self.extra.get("fed_size")
        texts = [self.format.render(boxes, SIZE, fed) for boxes in scenes]
        if self.style == "cut":
            texts = [text[:-20] for text in texts]
        elif self.style == "prose":
            texts = ["I would rather not say."] * len(texts)
        elif self.style == "pixels":
            texts = [_pixels(boxes) for boxes in scenes]
        several = {key: [value] * len(texts) for key, value in self.extra.items()}
        target = [self.format.render(boxes, SIZE, fed) for boxes in scenes]
        return {"preds": texts, "target": target, "size": [SIZE] * len(texts), **several}


def _pixels(boxes: list[Box]) -> str:
    return BoxFormat("pixels", JSONGrammar("bbox_2d"), Frame("original")).render(boxes, SIZE)


def values(module: Any, **kwargs: Any) -> tuple[dict[str, float], str]:
    callback = VLMEvalCallback(print_results=False, **kwargs)
    trainer = pl.Trainer(**QUIET, callbacks=[callback])
    (found,) = trainer.validate(module, loader(6), verbose=False)
    return found, callback.summary()


@pytest.mark.parametrize("name", ["qwen3-vl", "paligemma", "internvl", "florence-2"])
def test_the_users_line_is_all_there_is(name: str) -> None:
    found, _ = values(Writer(name), box_format=name)
    assert found["val/grounding/f1"] == 1
    assert found["val/grounding/parse_rate"] == 1
    assert found["val/health/healthy"] == 1


def test_answers_that_cannot_be_read_are_misses_and_are_told() -> None:
    found, _ = values(Writer(style="prose"), box_format="qwen3-vl")
    assert found["val/grounding/f1"] == 0
    assert found["val/grounding/fn"] == 9
    assert found["val/grounding/fp"] == 0
    assert found["val/grounding/parse_rate"] == 0


def test_what_is_whole_in_a_cut_answer_counts() -> None:
    found, _ = values(Writer(style="cut"), box_format="qwen3-vl")
    assert found["val/grounding/tp"] == 3, "the first of two boxes"
    assert found["val/grounding/truncated"] == 1


def test_a_wrong_coordinate_space_is_found_and_nothing_is_rescaled() -> None:
    found, summary = values(Writer(style="pixels"), box_format="qwen3-vl")
    assert found["val/grounding/mean_iou"] < 0.1
    assert "would be 1.00 if read as pixels of the original image" in summary


def test_a_format_of_the_fed_image_needs_its_size() -> None:
    with pytest.raises(ConfigurationError, match="Expected 'fed_size'"):
        values(Writer("qwen3-vl"), box_format="qwen2.5-vl")
    found, _ = values(Writer("qwen2.5-vl", fed_size=(140, 140)), box_format="qwen2.5-vl")
    assert found["val/grounding/mean_iou"] > 0.95


def test_the_image_size_is_needed() -> None:
    class Sizeless(Writer):
        def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
            return {**super().answers(batch), "size": None}

    with pytest.raises(ConfigurationError, match="Expected 'size'"):
        values(Sizeless(), box_format="qwen3-vl")


def test_an_unknown_family() -> None:
    with pytest.raises(ConfigurationError, match="qwen3-vl"):
        VLMEvalCallback(box_format="qwen9")


def test_boxes_and_questions_together() -> None:
    class Both(Writer):
        def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
            found = super().answers(batch)
            n = len(found["preds"])
            asked = [i % 2 == 1 for i in batch["index"].tolist()]
            return {
                **found,
                "preds": ["two" if asked[i] else found["preds"][i] for i in range(n)],
                "target": ["two" if asked[i] else found["target"][i] for i in range(n)],
                "task": ["vqa" if one else "phrase_grounding" for one in asked],
            }

    found, _ = values(
        Both(),
        task=["phrase_grounding", "vqa"],
        metrics=["grounding", "bleu", "answers"],
        box_format="qwen3-vl",
    )
    assert found["val/grounding/tp"] == 3
    assert found["val/grounding/f1"] == 1
    assert found["val/answers/exact_match"] == 1

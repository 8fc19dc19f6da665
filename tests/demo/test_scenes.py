"""The demo's data: what is written about a picture is what is drawn in it."""

import random

import numpy as np
import pytest

from lightning_vlmeval.demo.data import SceneDataset
from lightning_vlmeval.demo.scenes import SIDE, Mix, draw_example, draw_scene
from lightning_vlmeval.parsing import box_format

MIX = Mix(("colour and shape", "colour", "shape"), absent=0.2, questions=0.4, sentences=True)


@pytest.mark.parametrize("night", [False, True])
def test_a_box_is_exactly_as_large_as_what_is_drawn(night: bool) -> None:
    for seed in range(50):
        scene = draw_scene(random.Random(seed), night=night)
        pixels = np.asarray(scene.image, dtype=int)
        colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
        drawn = (pixels != colours[counts.argmax()]).any(axis=2)
        for figure in scene.figures:
            left, top, right, bottom = figure.box
            inside = np.zeros_like(drawn)
            inside[top:bottom, left:right] = drawn[top:bottom, left:right]
            rows, columns = np.nonzero(inside)
            assert (columns.min(), columns.max() + 1) == (left, right)
            assert (rows.min(), rows.max() + 1) == (top, bottom)
            drawn[top:bottom, left:right] = False
        assert not drawn.any()


def test_a_phrase_names_every_figure_that_it_fits_and_no_other() -> None:
    for seed in range(300):
        example = draw_example(random.Random(seed), MIX, "x")
        if example.task != "phrase_grounding":
            continue
        phrase = example.prompt.removeprefix("detect ")
        words = set(phrase.split()) - {"shape"}
        fitting = {
            figure.box for figure in example.scene.figures if words <= {figure.colour, figure.shape}
        }
        assert {box.xyxy for box in example.boxes} == fitting
        parsed = box_format(MIX.box_format).parse(example.answer, (SIDE, SIDE))
        assert parsed.said_none == (not fitting)
        read = {tuple(round(edge) for edge in box.xyxy) for box in parsed.boxes}
        assert read == fitting  # within the rounding of the format's 1024 steps


def test_a_question_is_answered_by_the_picture() -> None:
    kinds = set()
    for seed in range(300):
        example = draw_example(random.Random(seed), MIX, "x")
        if example.task != "vqa":
            continue
        names = [f"{figure.colour} {figure.shape}" for figure in example.scene.figures]
        question = example.prompt.removeprefix("answer en ").rstrip("?")
        kinds.add(question.split()[0])
        if question.startswith("how many"):
            shape = question.split()[2].removesuffix("s")
            count = sum(name.endswith(shape) for name in names)
            assert example.answer.split()[2] == ("no", "one", "two", "three")[count]
        elif question.startswith("what colour"):
            assert f"{example.answer.split()[-1]} {question.split()[-1]}" in names
        else:
            phrase = " ".join(question.split()[3:])
            assert example.answer.startswith("yes" if phrase in names else "no")
    assert kinds == {"how", "what", "is"}


def test_data_sets_are_the_same_in_every_process_and_share_no_example() -> None:
    first, again, other = (SceneDataset(seed, 50, MIX) for seed in (0, 0, 1))
    pictures = [
        [dataset[i].scene.image.tobytes() for i in range(50)] for dataset in (first, again, other)
    ]
    assert pictures[0] == pictures[1]
    assert not set(pictures[0]) & set(pictures[2])
    with pytest.raises(IndexError, match="Expected an index below 50, but got 50"):
        first[50]

"""Pictures of coloured shapes, with phrases to find and questions to answer: the demo's data.

Every example is drawn from a seed, so a data set is its seed and its size: nothing is stored, and
any process draws the same examples.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

from lightning_vlmeval.parsing import Box, box_format

SIDE = 64
"""Width and height of a scene, in pixels."""

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 205, 40),
    "purple": (150, 60, 190),
    "orange": (240, 140, 30),
}
SHAPES = ("circle", "square", "triangle")
NUMBERS = ("no", "one", "two", "three")

_VERBS = {"paligemma": "detect", "qwen3-vl": "locate", "internvl": "find"}
_STEP = 4  # positions and sizes are multiples of it
_GAP = 2  # pixels at least between two shapes
_SIZES = (12, 16, 24, 28)
_NOISE = 12  # largest change of a colour channel

PhraseKind = Literal["colour and shape", "colour", "shape"]
Task = Literal["phrase_grounding", "vqa"]
Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class Figure:
    """One shape in a scene.

    Args:
        colour: A key of `COLOURS`.
        shape: One of `SHAPES`.
        box: Left, top, right, bottom in pixels; right and bottom are exclusive.
    """

    colour: str
    shape: str
    box: Corners


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Args:
        image: RGB, `SIDE` by `SIDE`.
        figures: What was drawn; no two overlap.
    """

    image: Image.Image
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Mix:
    """Which examples a data set holds.

    Args:
        phrases: The kinds of phrases to find, equally often: "red circle", "red shape", "circle".
        absent: The share of phrases for something that is not in the picture.
        questions: The share of examples that ask a question.
        sentences: Whether a question is answered in a sentence, or in a word.
        figures: The largest number of shapes in a picture; the smallest is 1.
        night: Whether the pictures are dark.
        box_format: The model family in whose way boxes are written: ``paligemma``, ``qwen3-vl`` or
            ``internvl``.
    """

    phrases: tuple[PhraseKind, ...]
    absent: float = 0.0
    questions: float = 0.2
    sentences: bool = False
    figures: int = 3
    night: bool = False
    box_format: str = "paligemma"


@dataclass(frozen=True)
class Example:
    """One picture with a prompt and the right answer.

    Args:
        id: Unique in its data set.
        task: Whether the answer is boxes or a text.
        scene: The picture, and what is in it.
        prompt: What the model is asked.
        answer: What it should say.
        boxes: The boxes that the answer names; none for a question.
    """

    id: str
    task: Task
    scene: Scene
    prompt: str
    answer: str
    boxes: tuple[Box, ...] = ()


def draw_scene(rng: random.Random, figures: int = 3, night: bool = False) -> Scene:
    """A scene of 1 to `figures` shapes that do not overlap.

    Args:
        rng: Where every choice comes from.
        figures: The largest number of shapes.
        night: Whether it is dark.

    Example:
        >>> scene = draw_scene(random.Random(0), figures=1)
        >>> scene.image.size, len(scene.figures)
        ((64, 64), 1)
    """
    placed: list[Figure] = []
    for _ in range(rng.randint(1, figures)):
        box = _free_place(rng, [figure.box for figure in placed])
        if box is not None:
            placed.append(Figure(rng.choice(list(COLOURS)), rng.choice(SHAPES), box))
    grey = rng.randint(10, 50) if night else rng.randint(225, 255)
    image = Image.new("RGB", (SIDE, SIDE), (grey, grey, grey))
    canvas = ImageDraw.Draw(image)
    for figure in placed:
        fill = _jittered(rng, COLOURS[figure.colour])
        _draw(canvas, figure, tuple(level // 2 for level in fill) if night else fill)
    return Scene(image, tuple(placed))


def _free_place(rng: random.Random, taken: Sequence[Corners]) -> Corners | None:
    """A box that keeps its distance from those taken; None where 60 tries found none."""
    for _ in range(60):
        size = rng.choice(_SIZES)
        x, y = (rng.randrange(0, SIDE - size + 1, _STEP) for _ in range(2))
        if not any(
            x < right + _GAP and left < x + size + _GAP and y < low + _GAP and top < y + size + _GAP
            for left, top, right, low in taken
        ):
            return (x, y, x + size, y + size)
    return None


def _jittered(rng: random.Random, colour: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(min(255, max(0, level + rng.randint(-_NOISE, _NOISE))) for level in colour)


def _draw(canvas: ImageDraw.ImageDraw, figure: Figure, fill: tuple[int, ...]) -> None:
    """Fill the shape, so that it touches all four sides of its box."""
    left, top, right, bottom = figure.box
    inclusive = (left, top, right - 1, bottom - 1)
    if figure.shape == "circle":
        canvas.ellipse(inclusive, fill=fill)
    elif figure.shape == "square":
        canvas.rectangle(inclusive, fill=fill)
    else:
        apex = ((left + right - 1) / 2, top)
        canvas.polygon([apex, (left, bottom - 1), (right - 1, bottom - 1)], fill=fill)


def name_figures(
    rng: random.Random, scene: Scene, kind: PhraseKind, absent: bool = False
) -> tuple[str, list[Corners]]:
    """A phrase and the boxes of all shapes that it names, from top to bottom.

    Args:
        rng: Where every choice comes from.
        scene: The scene.
        kind: What the phrase tells of a shape.
        absent: Whether to name something that is not there.

    Example:
        >>> figures = (Figure("red", "circle", (0, 0, 12, 12)), Figure("red", "square", (40, 0, 64, 24)))
        >>> scene = Scene(Image.new("RGB", (64, 64)), figures)
        >>> name_figures(random.Random(0), scene, "colour")
        ('red shape', [(0, 0, 12, 12), (40, 0, 64, 24)])
    """
    there = {_phrase(figure.colour, figure.shape, kind) for figure in scene.figures}
    every = {_phrase(colour, shape, kind) for colour in COLOURS for shape in SHAPES}
    choices = sorted(every - there if absent else there)
    phrase = rng.choice(choices or sorted(there))
    found = [
        figure.box
        for figure in scene.figures
        if _phrase(figure.colour, figure.shape, kind) == phrase
    ]
    return phrase, sorted(found, key=lambda box: (box[1], box[0]))


def _phrase(colour: str, shape: str, kind: PhraseKind) -> str:
    return {"colour and shape": f"{colour} {shape}", "colour": f"{colour} shape", "shape": shape}[
        kind
    ]


def ask(rng: random.Random, scene: Scene, sentences: bool = False) -> tuple[str, str]:
    """A question about the scene and its answer.

    Args:
        rng: Where every choice comes from.
        scene: The scene.
        sentences: Whether to answer in a sentence.

    Example:
        >>> scene = Scene(Image.new("RGB", (64, 64)), (Figure("red", "circle", (0, 0, 12, 12)),))
        >>> ask(random.Random(2), scene, sentences=True)
        ('how many circles are there?', 'there is one circle')
    """
    kind = rng.choice(("count", "colour", "presence"))
    if kind == "count":
        question, word, sentence = _count(rng.choice(SHAPES), scene)
    elif kind == "colour" and (alone := _only_ones(scene)):
        figure = rng.choice(alone)
        question, word = f"what colour is the {figure.shape}?", figure.colour
        sentence = f"the {figure.shape} is {figure.colour}"
    else:
        question, word, sentence = _presence(rng, scene)
    return question, sentence if sentences else word


def _only_ones(scene: Scene) -> list[Figure]:
    shapes = [figure.shape for figure in scene.figures]
    return [figure for figure in scene.figures if shapes.count(figure.shape) == 1]


def _count(shape: str, scene: Scene) -> tuple[str, str, str]:
    number = sum(figure.shape == shape for figure in scene.figures)
    said = "is one " + shape if number == 1 else f"are {NUMBERS[number]} {shape}s"
    return f"how many {shape}s are there?", NUMBERS[number], f"there {said}"


def _presence(rng: random.Random, scene: Scene) -> tuple[str, str, str]:
    absent = rng.random() < 0.5
    phrase, boxes = name_figures(rng, scene, "colour and shape", absent)
    article = "an" if phrase.startswith("o") else "a"
    if boxes:
        return f"is there {article} {phrase}?", "yes", f"yes, there is {article} {phrase}"
    return f"is there {article} {phrase}?", "no", f"no, there is no {phrase}"


def draw_example(rng: random.Random, mix: Mix, example_id: str) -> Example:
    """One example of a mix.

    Args:
        rng: Where every choice comes from.
        mix: What to choose from.
        example_id: Its id.
    """
    scene = draw_scene(rng, mix.figures, mix.night)
    if rng.random() < mix.questions:
        question, answer = ask(rng, scene, mix.sentences)
        return Example(example_id, "vqa", scene, f"answer en {question}", answer)
    kind, absent = rng.choice(mix.phrases), rng.random() < mix.absent
    phrase, corners = name_figures(rng, scene, kind, absent)
    boxes = tuple(Box(phrase, (float(a), float(b), float(c), float(d))) for a, b, c, d in corners)
    answer = box_format(mix.box_format).render(boxes, (SIDE, SIDE)) if boxes else "none"
    prompt = f"{_VERBS[mix.box_format]} {phrase}"
    return Example(example_id, "phrase_grounding", scene, prompt, answer, boxes)

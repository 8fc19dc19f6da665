"""An answer's boxes drawn on its picture: ground truth dashed, predictions solid."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw

from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.run import Run

# Told apart under every kind of colour blindness, and on dark, bright and busy pictures, since each
# line lies on a black casing.
FOUND, MISSED, CORRECT, FALSE_ALARM = "#ffffff", "#ffd400", "#00b4ff", "#e8308a"

_SMALLEST = 320  # pixels of the longest side: lines of a few pixels need that much
_DASH, _GAP = 6, 4


def pictured(run: Run, most: int) -> Iterator[tuple[Image.Image, dict[str, Any]]]:
    """The last answers of a few samples, each with its thumbnail; the same ones at each evaluation.

    Those with boxes come before others. A thumbnail that cannot be read is passed over.

    Args:
        run: The run.
        most: How many at most.

    Raises:
        StoreError: The run cannot be read.
    """
    samples = run.samples(-1) if most > 0 else []
    samples = [one for one in samples if isinstance(one.get("image"), str)]
    for sample in sorted(samples, key=lambda one: not isinstance(one.get("target"), Mapping)):
        if most <= 0:
            return
        if sample["image"].startswith("path:"):
            continue
        try:
            with Image.open(io.BytesIO(run.image(sample["image"]))) as picture:
                picture.load()
                yield picture, sample
        except (StoreError, OSError, Image.DecompressionBombError):
            continue
        most -= 1


def draw_answer(picture: Image.Image, sample: Mapping[str, Any]) -> Image.Image:
    """A picture with the boxes of an answer.

    Args:
        picture: The picture, or a thumbnail of it.
        sample: A stored sample; its boxes are pixels of a picture of its `size`.

    Example:
        >>> drawn = draw_answer(Image.new("RGB", (32, 32)), {"boxes": [[8, 8, 24, 24]], "size": [32, 32]})
        >>> drawn.size, drawn.getpixel((80, 160))
        ((320, 320), (232, 48, 138))
    """
    scale = max(1.0, _SMALLEST / max(picture.size))
    shown = picture.convert("RGB").resize([round(side * scale) for side in picture.size])
    size = sample.get("size") or picture.size
    fit = (shown.width / size[0], shown.height / size[1])
    canvas = ImageDraw.Draw(shown)
    matches = sample.get("matches") or []
    correct, found = {match[0] for match in matches}, {match[1] for match in matches}
    target = sample.get("target")
    targets = target.get("boxes") or [] if isinstance(target, Mapping) else []
    for i, box in enumerate(targets):
        _box(canvas, box, fit, FOUND if i in found else MISSED, dashed=True)
    for i, box in enumerate(sample.get("boxes") or []):
        _box(canvas, box, fit, CORRECT if i in correct else FALSE_ALARM, dashed=False)
    return shown


def jpeg(picture: Image.Image) -> bytes:
    """A picture as a JPEG file.

    Args:
        picture: The picture.
    """
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def _box(
    canvas: ImageDraw.ImageDraw,
    box: Sequence[float],
    fit: tuple[float, float],
    colour: str,
    dashed: bool,
) -> None:
    x0, x1 = sorted((_within(box[0] * fit[0]), _within(box[2] * fit[0])))
    y0, y1 = sorted((_within(box[1] * fit[1]), _within(box[3] * fit[1])))
    canvas.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline="black", width=4)
    if not dashed:
        canvas.rectangle((x0, y0, x1, y1), outline=colour, width=2)
        return
    for start in range(int(x0), int(x1), _DASH + _GAP):
        for y in (y0, y1 - 1):
            canvas.line((start, y, min(start + _DASH, x1), y), fill=colour, width=2)
    for start in range(int(y0), int(y1), _DASH + _GAP):
        for x in (x0, x1 - 1):
            canvas.line((x, start, x, min(start + _DASH, y1)), fill=colour, width=2)


def _within(place: float) -> float:
    """A place that can be drawn: a model may answer with any number, or none."""
    return min(max(place, -10.0), 10_000.0) if place == place else 0.0

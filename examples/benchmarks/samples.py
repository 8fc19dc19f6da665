"""Made-up answers, captions, reports, scenes and documents, with fixed seeds; numpy alone."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]

_COMMON = """a the red blue green white black car truck bus dog cat man woman child street field stands
runs rides holds looks sits small large wooden old young tall behind near under over beside two three
four people table window door tree house wall road river bridge boat plane bird horse umbrella phone
laptop cup plate with and in of at on is are there yes no left right front"""
WORDS = _COMMON.split()
LENGTHS = {"answers": (1, 3), "captions": (6, 16), "reports": (90, 190)}
"""Words of a text, from and up to."""

SCHEMA = {
    "part": str,
    "passed": bool,
    "defects": [{"type": str, "place": str, "size_mm": float}],
    "note": str,
}


def texts(shape: str, count: int, epoch: int = 0) -> tuple[list[str], list[str]]:
    """Answers of a model, and references; the answers are others at each epoch.

    An answer has most of its reference's words, some of them replaced or in another order.
    """
    rng = np.random.default_rng(1)
    target = [_text(rng, shape) for _ in range(count)]
    rng = np.random.default_rng(100 + epoch)
    return [_answer(rng, text, shape) for text in target], target


def _text(rng: np.random.Generator, shape: str) -> str:
    low, high = LENGTHS[shape]
    # Common words are common: a power of a uniform number prefers the first ones. Answers to
    # questions are mostly one word, and the same few ones.
    answers = shape == "answers"
    length = 1 + rng.binomial(2, 0.15) if answers else rng.integers(low, high + 1)
    chosen = (rng.random(length) ** (4 if answers else 2) * len(WORDS)).astype(int)
    words = [WORDS[i] for i in chosen]
    if shape == "reports":
        words[15::16] = [f"{word}." for word in words[15::16]]
    text = " ".join(words)
    return text if answers else text.capitalize() + "."


def _answer(rng: np.random.Generator, text: str, shape: str) -> str:
    if rng.random() < 0.2:
        return _text(rng, shape)
    words = text.split()
    for i in np.flatnonzero(rng.random(len(words)) < 0.25):
        words[i] = WORDS[rng.integers(len(WORDS))]
    if len(words) > 4 and rng.random() < 0.5:
        cut = int(rng.integers(1, len(words)))
        words = words[cut:] + words[:cut]
    return " ".join(words)


def scenes(shape: str, count: int) -> tuple[list[Boxes], list[Boxes]]:
    """Predicted and annotated boxes; about five on an image, or a hundred where it is crowded."""
    rng = np.random.default_rng(0)
    low, high, size = (2, 8, 150) if shape == "small" else (80, 120, 60)
    preds, target = [], []
    for n in rng.integers(low, high + 1, count):
        corner = rng.uniform(0, 400, (n, 2))
        boxes = np.hstack([corner, corner + rng.uniform(15, size, (n, 2))])
        kept = boxes[rng.random(n) < 0.9]
        moved = kept + rng.normal(0, 6, kept.shape)
        extra = np.sort(rng.uniform(0, 400, (rng.integers(0, 1 + n // 5), 2, 2)), axis=1)
        target.append(boxes)
        preds.append(np.vstack([moved, extra.reshape(-1, 4)]))
    return preds, target


def documents(count: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Defect reports of about 300 characters as JSON, a third of them with a fault."""
    rng = np.random.default_rng(0)
    preds, target = [], []
    for i in range(count):
        defects = [
            {"type": WORDS[a], "place": f"{WORDS[b]} {WORDS[c]}", "size_mm": round(a / 7, 1)}
            for a, b, c in rng.integers(0, len(WORDS), (rng.integers(2, 6), 3)).tolist()
        ]
        note = " ".join(rng.choice(WORDS, 10))
        record = {"part": f"A-{i}", "passed": bool(i % 2), "defects": defects, "note": note}
        text = json.dumps(record)
        faults = [
            text[:-40],
            f"```json\n{text}\n```",
            text[:-1] + ",}",
            json.dumps({**record, "passed": "yes", "defects": defects[::-1]}),
        ]
        preds.append(faults[i // 3 % 4] if i % 3 == 0 else text)
        target.append(record)
    return preds, target

"""A sheet of samples for a person to check by hand: stratified, and drawn from a seed."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_vlmeval.reporting.markup import escaped, said
from lightning_vlmeval.reporting.selection import Answers, Key, main_score

QUESTIONS = ("format", "schema", "fields", "consistency")
"""What a person says of each answer."""

_CHOICES = ("", "right", "wrong", "unsure")


def draw_sheet(answers: Answers, size: int = 25, seed: int = 0) -> list[Key]:
    """The samples to check by hand.

    Strata are the task together with the thirds of the main score, and answers that could not be
    parsed. Each has a share of the sheet as large as its share of the set, and at least one place
    while there are places.

    Args:
        answers: The samples of an evaluation.
        size: How many samples.
        seed: Where the draw comes from.

    Example:
        >>> answers = {("", str(i)): {"scores": {"text/bleu": i / 30}} for i in range(30)}
        >>> [int(name) // 10 for _, name in draw_sheet(answers, size=6)]
        [0, 0, 1, 1, 2, 2]
    """
    strata = _strata(answers)
    rng = random.Random(seed)
    for keys in strata.values():
        rng.shuffle(keys)
    places = _places([len(keys) for keys in strata.values()], size)
    drawn = [keys[:count] for keys, count in zip(strata.values(), places, strict=True)]
    return sorted((key for keys in drawn for key in keys), key=lambda key: (_number(key[1]), key))


def sheet_html(name: str, answers: Answers, size: int = 25, seed: int = 0) -> str:
    """The sheet as a table to fill in, on the screen or printed.

    Args:
        name: What the run is called.
        answers: The samples of its last evaluation.
        size: How many samples.
        seed: Where the draw comes from.
    """
    keys = draw_sheet(answers, size, seed)
    heads = ("sample", "prompt", "target", "answer", "score", *QUESTIONS, "note")
    rows = "".join(_row(key, answers[key]) for key in keys)
    return (
        '<details class="sheet" id="sheet"><summary>Check by hand: '
        f"{len(keys)} of {len(answers)} samples</summary>"
        f"<p>Last evaluation of {escaped(name)}. Drawn with seed {seed}, stratified by task, by "
        "thirds of the score, and by whether the answer could be parsed. The values in the "
        "tables cannot see what nobody told them: read these answers yourself. "
        '<button type="button" id="export" hidden>Export CSV</button></p>'
        f'<div class="scroll"><table id="sheet-table"><thead><tr>'
        f"{''.join(f'<th scope=col>{escaped(head)}</th>' for head in heads)}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _strata(answers: Answers) -> dict[tuple[str, int], list[Key]]:
    tasks: dict[str, list[Key]] = {}
    found: dict[tuple[str, int], list[Key]] = {}
    for key in sorted(answers):
        task = str(answers[key].get("task", ""))
        if answers[key].get("unparsable"):
            found.setdefault((task, -1), []).append(key)
        else:
            tasks.setdefault(task, []).append(key)
    for task, keys in tasks.items():
        scores = {key: main_score(answers[key]) for key in keys}
        ordered = sorted(
            keys,
            key=lambda key: (-1.0 if math.isnan(scores[key]) else scores[key], _number(key[1])),
        )
        for i, key in enumerate(ordered):
            found.setdefault((task, 3 * i // len(ordered)), []).append(key)
    return found


def _places(sizes: Sequence[int], total: int) -> list[int]:
    """How many places each stratum has: one each, then to the one that is furthest behind."""
    places = [0] * len(sizes)
    for _ in range(min(total, sum(sizes))):
        open_ = [i for i, size in enumerate(sizes) if places[i] < size]
        places[min(open_, key=lambda i: (places[i] > 0, (places[i] + 0.5) / sizes[i]))] += 1
    return places


def _number(name: str) -> tuple[int, str]:
    """Ids that are numbers in their own order."""
    return (int(name), "") if name.isascii() and name.isdigit() and len(name) < 18 else (-1, name)


def _row(key: Key, sample: Mapping[str, Any]) -> str:
    name = "/".join(part for part in key if part)
    score = main_score(sample)
    cells = [
        said(name),
        said(sample.get("prompt", "")),
        said(as_text(sample.get("target", ""))),
        said(as_text(sample.get("prediction", ""))),
        "" if math.isnan(score) else f"{score:.3f}",
    ]
    options = "".join(f"<option>{choice}</option>" for choice in _CHOICES)
    cells += [
        f'<select aria-label="{question} of {escaped(name)}">{options}</select>'
        for question in QUESTIONS
    ]
    cells.append(f'<input aria-label="note on {escaped(name)}">')
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def as_text(value: Any) -> str:
    """A target or an answer as a line of text.

    Args:
        value: A text, several texts, boxes or an object.

    Example:
        >>> as_text(["a", "b"]), as_text({"total": 5})
        ('a | b', '{"total": 5}')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " | ".join(value)
    return json.dumps(value, ensure_ascii=False)

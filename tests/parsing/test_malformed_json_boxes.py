"""JSON answers with the faults that models make, and what becomes of each."""

import pytest

from tests.parsing.box_answers import check

A, B = ("a", 1, 4, 3, 8), ("b", 5, 12, 7, 16)
AX, BX = '{"bbox_2d": [1, 2, 3, 4], "label": "a"}', '{"bbox_2d": [5, 6, 7, 8], "label": "b"}'

MALFORMED = {
    "cut": ("qwen3-vl", f'[{AX}, {{"bbox_2d": [5, 6', [A], "truncated"),
    "cut in a label": (
        "qwen3-vl",
        f'[{AX}, {{"bbox_2d": [5, 6, 7, 8], "label": "b',
        [A],
        "truncated",
    ),
    "cut after a label": ("qwen3-vl", f"[{AX}, {BX[:-1]}", [A, B], "truncated"),
    "cut after a box": ("qwen3-vl", f'[{AX}, {{"bbox_2d": [5, 6, 7, 8]', [A], "truncated"),
    "cut between objects": ("qwen3-vl", f"[{AX},", [A], "truncated"),
    "cut, single quotes": (
        "qwen3-vl",
        "[{'bbox_2d': [1, 2, 3, 4], 'label': 'a'}, {'bbox_2d': [5, 6",
        [A],
        "truncated",
    ),
    "cut in a wrapper": ("qwen3-vl", f'{{"boxes": [{AX}, {{"bbox_2d": [1', [A], "truncated"),
    "missing comma": ("qwen3-vl", f"[{AX} {BX}]", [A, B], ""),
    "trailing comma": ("qwen3-vl", f"[{AX}, {BX},]", [A, B], ""),
    "missing bracket": (
        "qwen3-vl",
        f'[{{"bbox_2d": [1, 2, 3, 4, "label": "a"}}, {BX}]',
        [B],
        "malformed",
    ),
    "extra bracket": ("qwen3-vl", '[{"bbox_2d": [1, 2, 3, 4]], "label": "a"}]', [A], ""),
    "two lists": ("qwen3-vl", f"[{AX}]\n[{BX}]", [A, B], ""),
    "JSON lines": ("qwen3-vl", f"{AX}\n{BX}", [A, B], ""),
    "one object": ("qwen3-vl", AX, [A], ""),
    "objects in an object": ("qwen3-vl", f'{{"objects": [{AX}, {BX}]}}', [A, B], ""),
    "three numbers": (
        "qwen3-vl",
        f'[{{"bbox_2d": [1, 2, 3], "label": "x"}}, {BX}]',
        [B],
        "malformed",
    ),
    "five numbers": (
        "qwen3-vl",
        f'[{{"bbox_2d": [1, 2, 3, 4, 5], "label": "x"}}, {BX}]',
        [B],
        "malformed",
    ),
    "words for numbers": ("qwen3-vl", f'[{{"bbox_2d": [1, 2, x, 4]}}, {BX}]', [B], "malformed"),
    "null and a box": ("qwen3-vl", f'[{{"bbox_2d": null, "label": "x"}}, {BX}]', [B], ""),
    "NaN": ("qwen3-vl", f'[{{"bbox_2d": [NaN, 2, 3, 4], "label": "x"}}, {BX}]', [B], "malformed"),
    "infinity": ("qwen3-vl", f'[{{"bbox_2d": [1, 2, 1e999, 4]}}, {BX}]', [B], "malformed"),
    "minus infinity": (
        "qwen3-vl",
        f'[{{"bbox_2d": [-Infinity, 2, 3, 4]}}, {BX}]',
        [B],
        "malformed",
    ),
    "several boxes under one key": (
        "qwen3-vl",
        '[{"bbox_2d": [[1, 2, 3, 4], [5, 6, 7, 8]], "label": "a"}]',
        [A, ("a", *B[1:])],
        "",
    ),
    "a good and a bad box under one key": (
        "qwen3-vl",
        '[{"bbox_2d": [[1, 2, 3, 4], [5, 6, 7]], "label": "a"}]',
        [A],
        "malformed",
    ),
    "an object in an object": (
        "qwen3-vl",
        f'[{AX[:-1]}, "parts": [{BX}]}}]',
        [A, B],
        "",
    ),
    "box in a string": ("qwen3-vl", '{"bbox_2d": "[1, 2, 3, 4]", "label": "a"}', [A], ""),
    "numbers in strings": ("qwen3-vl", '{"bbox_2d": ["1", "2", "3", "4"], "label": "a"}', [A], ""),
    "reasoning first": ("qwen3-vl", f"<think>maybe [10, 20, 30, 40]</think>[{AX}]", [A], ""),
    "reasoning from the prompt": ("qwen3-vl", f"[10, 20, 30, 40]? No.</think>[{AX}]", [A], ""),
    "fence": ("qwen3-vl", f"```json\n[\n\t{AX},\n\t{BX}\n]\n```", [A, B], ""),
    "prose around": (
        "qwen3-vl",
        f"Here's what I see (2 objects): [{AX}, {BX}] It's all.",
        [A, B],
        "",
    ),
    "single quotes": ("qwen3-vl", "[{'bbox_2d': [1, 2, 3, 4], 'label': 'a'}]", [A], ""),
    "apostrophe in single quotes": (
        "qwen3-vl",
        "[{'bbox_2d': [1, 2, 3, 4], 'label': 'man's {hat}'}]",
        [("man's {hat}", *A[1:])],
        "",
    ),
    "braces in a label": (
        "qwen3-vl",
        '[{"bbox_2d": [1,2,3,4], "label": "it\'s {odd}: [\\"x\\"]"}]',
        [('it\'s {odd}: ["x"]', *A[1:])],
        "",
    ),
    "half of a surrogate pair": (
        "qwen3-vl",
        '{"bbox_2d": [1, 2, 3, 4], "label": "\\ud83d"}',
        [("?", *A[1:])],
        "",
    ),
    "another key": ("qwen3-vl", '{"bbox": [1, 2, 3, 4], "class": "a"}', [A], ""),
    "keys without quotes": ("qwen3-vl", "{bbox_2d: [1, 2, 3, 4], label: a}", [A], ""),
    "bare list": ("qwen3-vl", "[1, 2, 3, 4]", [("", *A[1:])], ""),
    "schema echo": (
        "lfm2.5-vl",
        '[{"label":"object","bbox":[0,0,0,0]}]\n[{"label": "statue", "bbox": [0.3, 0.25, 0.4, 0.65]}]',
        [("statue", 300, 500, 400, 1300)],
        "degenerate",
    ),
    "inverted": ("qwen3-vl", '[{"bbox_2d": [3, 4, 1, 2], "label": "a"}]', [A], "inverted"),
    "beyond the image": (
        "qwen3-vl",
        '[{"bbox_2d": [-1, 2, 1001, 1400], "label": "a"}]',
        [("a", 0, 4, 1000, 2000)],
        "clipped",
    ),
    "outside the image": (
        "qwen3-vl",
        f'[{{"bbox_2d": [1001, 2, 1200, 14], "label": "x"}}, {BX}]',
        [B],
        "clipped degenerate",
    ),
    "repeated": ("qwen3-vl", f"[{AX}, {AX}, {BX}]", [A, A, B], "duplicate"),
    "same box, other label": (
        "qwen3-vl",
        f"[{AX}, {AX.replace('a', 'b').replace('lbbel', 'label')}]",
        [A, ("b", *A[1:])],
        "",
    ),
}


@pytest.mark.parametrize(("name", "text", "boxes", "issues"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(name, text, boxes, issues):
    check(name, text, boxes, issues)

"""Answers in tags, tokens and running text with the faults that models make, and answers without boxes."""

import pytest

from tests.parsing.box_answers import check

A, B = ("a", 1, 4, 3, 8), ("b", 5, 12, 7, 16)
AX, BX = '{"bbox_2d": [1, 2, 3, 4], "label": "a"}', '{"bbox_2d": [5, 6, 7, 8], "label": "b"}'
CAT = ("cat", 256, 512, 768, 1536)
CAT_TOKENS = "<loc0256><loc0256><loc0768><loc0768>"
FIRE = ("a fire", 55, 10, 155, 570)

MALFORMED = {
    "ref and det counts differ": (
        "deepseek-vl2",
        "<|ref|>a<|/ref|><|ref|>b<|/ref|><|det|>[[5, 6, 7, 8]]<|/det|>",
        [B],
        "",
    ),
    "number beside a box": (
        "deepseek-vl2",
        "<|ref|>b<|/ref|><|det|>[245, [5, 6, 7, 8]]<|/det|>",
        [B],
        "malformed",
    ),
    "tags stripped, pairs": (
        "qwen2-vl",
        "a dog(221,423),(569,886) and a woman(451,381),(733,793)",
        [("a dog", 221, 846, 569, 1772), ("and a woman", 451, 762, 733, 1586)],
        "untagged",
    ),
    "JSON from a tagged model": ("internvl", f"[{AX}, {BX}]", [A, B], "untagged"),
    "point": (
        "locate-anything",
        "<ref>x</ref><box><1><2></box><ref>b</ref><box><5><6><7><8></box>",
        [B],
        "malformed",
    ),
    "none and a box": (
        "locate-anything",
        "<ref>x</ref><box>none</box><ref>b</ref><box><5><6><7><8></box>",
        [B],
        "",
    ),
    "cut in numbers": ("internvl", "<ref>a</ref><box>[[1, 2, 3, 4], [5, 6", [A], "truncated"),
    "cut in the tag": ("minicpm-v", "<ref>a</ref><box>1 2 3 4</bo", [A], "truncated"),
    "cut after angle brackets": (
        "locate-anything",
        "<ref>a</ref><box><1><2><3><4>",
        [A],
        "truncated",
    ),
    "cut in a ref": ("qwen-vl", "<ref>a</ref><box>(1,2),(3,4)</box><ref>b", [A], "truncated"),
    "ref without an end": ("internvl", "<ref>a<box>[[1, 2, 3, 4]]</box>", [A], ""),
    "five tokens": ("paligemma", f"{CAT_TOKENS}<loc0768> x ; {CAT_TOKENS} cat", [CAT], "malformed"),
    "three tokens": (
        "paligemma",
        f"<loc0001><loc0002><loc0003> x ; {CAT_TOKENS} cat",
        [CAT],
        "malformed",
    ),
    "apostrophe": ("paligemma", f"{CAT_TOKENS} man's hat", [("man's hat", *CAT[1:])], ""),
    "comma": ("paligemma", f"{CAT_TOKENS} red, small cat", [("red, small cat", *CAT[1:])], ""),
    "segmentation": ("paligemma", CAT_TOKENS + "<seg001><seg127>" * 8 + " cat", [CAT], ""),
    "cut segmentation": ("paligemma", f"{CAT_TOKENS}<seg001><seg0", [("", *CAT[1:])], "truncated"),
    "segmentation without a box": ("paligemma", "<seg001> x ; " + CAT_TOKENS + " cat", [CAT], ""),
    "a label that is a word for boxes": ("ferret", "box [5, 6, 7, 8]", [("box", *B[1:])], ""),
    "JSON in tags, cut": (
        "glm-v",
        f"<|begin_of_box|>[{AX}, {BX[:20]}",
        [A],
        "truncated",
    ),
    "JSON in tags, broken": (
        "glm-v",
        f"<|begin_of_box|>[{AX}<|end_of_box|>",
        [A],
        "malformed",
    ),
    "spaces": ("paligemma", "<loc0256> <loc0256> <loc0768> <loc0768> cat", [CAT], ""),
    "end of text": ("paligemma", f"{CAT_TOKENS} cat<eos><pad><pad>", [CAT], ""),
    "cut token": ("paligemma", f"{CAT_TOKENS} cat ; <loc0001><loc0", [CAT], "truncated"),
    "inverted tokens": ("paligemma", "<loc0768><loc0768><loc0256><loc0256> cat", [CAT], "inverted"),
    "not ASCII": (
        "florence-2",
        "größe 猫<loc_1><loc_2><loc_3><loc_4>",
        [("größe 猫", 1.5, 5, 3.5, 9)],
        "",
    ),
    "five bins": (
        "florence-2",
        "a<loc_1><loc_2><loc_3><loc_4><loc_9>",
        [("a", 1.5, 5, 3.5, 9)],
        "malformed",
    ),
    "bins with spaces": (
        "florence-2",
        "a <loc_1> <loc_2> <loc_3> <loc_4>",
        [("a", 1.5, 5, 3.5, 9)],
        "",
    ),
    "cut bins": (
        "florence-2",
        "a<loc_1><loc_2><loc_3><loc_4>b<loc_5><lo",
        [("a", 1.5, 5, 3.5, 9)],
        "truncated",
    ),
    "words between bins": (
        "florence-2",
        "a<loc_1><loc_2><loc_3><loc_4> and dog<loc_1><loc_2><loc_3><loc_4>",
        [("a", 1.5, 5, 3.5, 9), ("and dog", 1.5, 5, 3.5, 9)],
        "",
    ),
    "spaces between patches": (
        "kosmos-2",
        "<phrase> a fire </phrase> <object> <patch_index_0005> <patch_index_0911> </object>",
        [FIRE],
        "",
    ),
    "patches reversed": (
        "kosmos-2",
        "<phrase>a fire</phrase><object><patch_index_0911><patch_index_0005></object>",
        [FIRE],
        "inverted",
    ),
    "no such patch": (
        "kosmos-2",
        "<object><patch_index_0005><patch_index_1024></object><phrase>a fire</phrase>"
        "<object><patch_index_0005><patch_index_0911></object>",
        [FIRE],
        "malformed",
    ),
    "one patch": (  # row 1, column 2: the whole cell
        "kosmos-2",
        "<object><patch_index_0034><patch_index_0034></object>",
        [("", 20, 20, 30, 40)],
        "",
    ),
    "cut patches": (
        "kosmos-2",
        "<phrase>a fire</phrase><object><patch_index_0005><patch_index_0911>"
        "</delimiter_of_multi_objects/><patch_index_0005>",
        [FIRE],
        "truncated",
    ),
    "words in one of two boxes": (
        "internvl",
        "<ref>b</ref><box>[[1, x, 3, 4], [5, 6, 7, 8]]</box>",
        [B],
        "malformed",
    ),
    "reasoning that began in the prompt": (
        "ferret",
        "x [1, 2, 3, 4]</think>b [5, 6, 7, 8]",
        [B],
        "",
    ),
    "two blocks of reasoning": (
        "ferret",
        "<think>x [1, 2, 3, 4]</think>b <think>[1, 2, 3, 4]</think> [5, 6, 7, 8]",
        [B],
        "",
    ),
    "inline cut": ("ferret", "a [1, 2, 3, 4] b [5, 6, 7", [A], "truncated"),
    "inline, three numbers": ("ferret", "x [1, 2, 3]. b [5, 6, 7, 8]", [B], "malformed"),
    "prose in brackets": ("ferret", "b (2 of 3) [5, 6, 7, 8] [sic]", [("b (2 of 3)", *B[1:])], ""),
    "bold": ("ferret", "**b**: [5, 6, 7, 8]", [B], ""),
    "lead-in": ("ferret", "Sure. The answer is: [5, 6, 7, 8].", [("", *B[1:])], ""),
}


@pytest.mark.parametrize(("name", "text", "boxes", "issues"), MALFORMED.values(), ids=MALFORMED)
def test_malformed(name, text, boxes, issues):
    check(name, text, boxes, issues)


STATES = [
    ("qwen3-vl", "[]", "", "none"),
    ("qwen3-vl", "```json\n[]\n```", "", "none"),
    ("qwen3-vl", "[ ]<|im_end|>", "", "none"),
    ("qwen3-vl", '{"bbox_2d": null}', "", "none"),
    ("qwen3-vl", '{"bbox_2d": [], "label": "cat"}', "", "none"),
    ("qwen3-vl", '{"objects": []}', "", "none"),
    ("qwen3-vl", "There are no cats in the image.", "", "none"),
    ("qwen3-vl", "No object detected.", "", "none"),
    ("qwen3-vl", "None", "", "none"),
    ("qwen3-vl", "No red cars are visible in the image.", "", "none"),
    ("paligemma", "", "", "none"),
    ("paligemma", "<eos>", "", "none"),
    ("glm-v", '<|begin_of_box|>{"bbox_2d": null}<|end_of_box|>', "", "none"),
    ("qwen3-vl", "There's no cat.", "", "none"),
    ("deepseek-vl2", "<|ref|>a<|/ref|><|det|>[]<|/det|>", "", "none"),
    ("deepseek-vl2", "<|ref|>a<|/ref|><|det|>[[]]<|/det|>", "", "none"),
    ("locate-anything", "<ref>cat</ref><box>none</box>", "", "none"),
    ("locate-anything", "<ref>cat</ref><box>None</box>", "", "none"),
    ("florence-2", "</s><s>No object detected.</s>", "", "none"),
    ("qwen3-vl", "", "", "unparsable"),
    ("qwen3-vl", "```json", "", "unparsable"),
    ("qwen3-vl", "I cannot help with that.", "", "unparsable"),
    ("qwen3-vl", "Nonetheless I see a cat.", "", "unparsable"),
    ("qwen3-vl", '{"label": "cat"}', "", "unparsable"),
    ("qwen3-vl", '{"label": "cat", "parts": []}', "", "unparsable"),
    ("qwen3-vl", "{{}}", "", "unparsable"),
    ("qwen3-vl", '[{"bbox_2d": [1, 2, 3]}]', "malformed", "unparsable"),
    ("qwen3-vl", '[{"bbox_2d": [0, 0, 0, 0]}]', "degenerate", "unparsable"),
    ("qwen3-vl", '[{"bbox_2d": null}, {"bbox_2d": [1, 2, 3]}]', "malformed", "unparsable"),
    ("qwen3-vl", '[{"bbox_2d": null}, {"bbox_2d": [1', "truncated", "unparsable"),
    ("qwen3-vl", "<think>The cat is at [1, 2, 3, 4]", "truncated", "unparsable"),
    ("paligemma", "<think>", "truncated", "unparsable"),
    ("paligemma", "cat", "", "unparsable"),
    ("paligemma", "<seg001>", "", "unparsable"),
    ("qwen3-vl", "No idea.", "", "unparsable"),
    ("florence-2", "</s><s></s>", "", "unparsable"),
    (
        "glm-v",
        "<think> ... bounding box大概是[[110,147,193,823]]。...</think> ...",
        "",
        "unparsable",
    ),
]


@pytest.mark.parametrize(("name", "text", "issues", "state"), STATES)
def test_state_without_boxes(name, text, issues, state):
    check(name, text, [], issues, state)

"""The registry of box formats, rendering, sizes and errors."""

import re

import pytest

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.parsing import (
    Box,
    BoxFormat,
    Frame,
    JSONGrammar,
    Parsed,
    box_format,
    box_format_names,
    fed_size_from_grid,
)


def test_pixels_of_the_resized_image():
    """On 368 x 434 pixels, fed as 364 x 448, with a bottom beyond both."""
    parsed = box_format("qwen2.5-vl").parse("[182, 224, 364, 476]", (368, 434), (364, 448))
    assert parsed.boxes == [Box("", (184.0, 217.0, 368.0, 434.0))]
    assert parsed.issues == {"clipped": 1}
    assert parsed.numbers == [(182.0, 224.0, 364.0, 476.0)]


def test_image_padded_to_a_square():
    """640 x 480 is padded by 80 above and below: 0.125 is the upper edge, 0.875 the lower one."""
    parsed = box_format("shikra").parse("Answer: [0.25,0.125,0.5,0.875] .", (640, 480))
    assert parsed.boxes == [Box("", (160.0, 0.0, 320.0, 480.0))]
    upright = box_format("llava").parse("[0.125, 0, 0.5, 0.25]", (480, 640))
    assert upright.boxes == [Box("", (0.0, 0.0, 240.0, 160.0))]
    assert box_format("shikra").parse("[0.25,0.0,0.5,0.5]", (640, 480)).issues == {"clipped": 1}


def test_rounding_on_the_edge_of_a_padded_image_is_no_fault():
    """The upper edge of 1000 x 667 lies at 0.1665, written as 0.17 or, by a model, 0.16."""
    parsed = box_format("llava").parse("[0, 0.1665, 1, 0.8335]", (1000, 667))
    assert parsed.issues == {}
    assert box_format("llava").parse("[0, 0.162, 1, 0.8335]", (1000, 667)).issues == {}
    assert box_format("llava").parse("[0, 0.161, 1, 0.83]", (1000, 667)).issues == {"clipped": 1}


def test_the_space_is_never_guessed():
    """Small numbers stay what the format says, whatever would fit better."""
    text = '[{"bbox_2d": [0.1, 0.2, 0.5, 0.5], "label": "a"}]'
    assert box_format("qwen3-vl").parse(text, (1000, 1000)).boxes[0].xyxy == (0.1, 0.2, 0.5, 0.5)


RENDERED = {
    "paligemma": "<loc0102><loc0102><loc0512><loc0512> cat ; <loc0000><loc0000><loc1023><loc1023> dog",
    "florence-2": "cat<loc_100><loc_100><loc_500><loc_500>dog<loc_0><loc_0><loc_999><loc_999>",
    "kosmos-2": "<phrase> cat</phrase><object><patch_index_0099><patch_index_0495></object>"
    "<phrase> dog</phrase><object><patch_index_0000><patch_index_1023></object>",
    "qwen-vl": "<ref>cat</ref><box>(100,100),(500,500)</box><ref>dog</ref><box>(0,0),(999,999)</box>",
    "qwen2-vl": "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(100,100),(500,500)<|box_end|>"
    "<|object_ref_start|>dog<|object_ref_end|><|box_start|>(0,0),(1000,1000)<|box_end|>",
    "qwen2.5-vl": '```json\n[\n\t{"bbox_2d": [64, 42, 322, 210], "label": "cat"},\n'
    '\t{"bbox_2d": [0, 0, 644, 420], "label": "dog"}\n]\n```',
    "qwen3-vl": '[{"bbox_2d": [100, 100, 500, 500], "label": "cat"}, '
    '{"bbox_2d": [0, 0, 1000, 1000], "label": "dog"}]',
    "gemini": '[{"box_2d": [100, 100, 500, 500], "label": "cat"}, '
    '{"box_2d": [0, 0, 1000, 1000], "label": "dog"}]',
    "lfm2.5-vl": '[{"label": "cat", "bbox": [0.1, 0.1, 0.5, 0.5]}, '
    '{"label": "dog", "bbox": [0.0, 0.0, 1.0, 1.0]}]',
    "kimi-vl": '[{"bbox_2d": [0.100, 0.100, 0.500, 0.500], "label": "cat"}, '
    '{"bbox_2d": [0.000, 0.000, 1.000, 1.000], "label": "dog"}]',
    "internvl": "<ref>cat</ref><box>[[100, 100, 500, 500]]</box>"
    "<ref>dog</ref><box>[[0, 0, 1000, 1000]]</box>",
    "deepseek-vl2": "<|ref|>cat<|/ref|><|det|>[[100, 100, 500, 500]]<|/det|>"
    "<|ref|>dog<|/ref|><|det|>[[0, 0, 999, 999]]<|/det|>",
    "locate-anything": "<ref>cat</ref><box><100><100><500><500></box>"
    "<ref>dog</ref><box><0><0><1000><1000></box>",
    "minicpm-v": "<ref>cat</ref><box>100 100 500 500</box><ref>dog</ref><box>0 0 1000 1000</box>",
    "minigpt-v2": "<p>cat</p> {<10><10><50><50>}<p>dog</p> {<0><0><100><100>}",
    "fuyu": "<ref>cat</ref><box>21, 32, 105, 161</box><ref>dog</ref><box>0, 0, 210, 322</box>",
    "cogvlm": "cat [[100,100,500,500]] dog [[000,000,999,999]]",
    "shikra": "cat [0.100,0.200,0.500,0.500] dog [0.000,0.125,1.000,0.875]",
    "llava": "cat [0.1, 0.2, 0.5, 0.5]. dog [0.0, 0.12, 1.0, 0.88]",
    "nvila": "cat [100,100,500,500]. dog [000,000,999,999]",
}


@pytest.mark.parametrize(("name", "text"), RENDERED.items())
def test_render(name, text):
    """Of 640 x 480, fed as 644 x 420: a tenth to a half of both sides, and the whole image."""
    fmt = box_format(name)
    boxes = [Box("cat", (64, 48, 320, 240)), Box("dog", (0, 0, 640, 480))]
    assert fmt.render(boxes, (640, 480), (644, 420)) == text


def test_boxes_of_one_label_are_joined_as_the_family_does():
    boxes = [Box("cat", (0, 0, 10, 10)), Box("cat", (10, 20, 100, 100))]

    def render(name):
        return box_format(name).render(boxes, (100, 100))

    assert (
        render("internvl") == "<ref>cat</ref><box>[[0, 0, 100, 100], [100, 200, 1000, 1000]]</box>"
    )
    assert render("florence-2") == (
        "cat<loc_0><loc_0><loc_100><loc_100><loc_100><loc_200><loc_999><loc_999>"
    )
    assert render("shikra") == "cat [0.000,0.000,0.100,0.100;0.100,0.200,1.000,1.000]"
    assert render("minigpt-v2") == "<p>cat</p> {<0><0><10><10>}<delim>{<10><20><100><100>}"
    assert render("paligemma").count("cat") == 2


def test_names():
    """Each family of the table has a name, and aliases are spelled freely."""
    families = [
        "paligemma",
        "florence-2",
        "kosmos-2",
        "qwen-vl",
        "qwen2-vl",
        "qwen2.5-vl",
        "qwen3-vl",
        "gemini",
        "lfm2.5-vl",
        "kimi-vl",
        "glm-v",
        "cogvlm",
        "internvl",
        "deepseek-vl2",
        "locate-anything",
        "minicpm-v",
        "minigpt-v2",
        "fuyu",
        "shikra",
        "llava",
        "nvila",
        "ferret",
        "north-micro-vision",
        "moondream",
    ]
    for name in families:
        assert box_format(name).name == name
    aliases = {
        "gemma-4": "gemini",
        "cosmos-reason1": "qwen2.5-vl",
        "cosmos-reason2": "qwen3-vl",
        "qwen3.5": "qwen3-vl",
        "paligemma-2": "paligemma",
        "locateanything": "locate-anything",
        "Qwen2_5_VL": "qwen2.5-vl",
        "InternVL3.5": "internvl",
    }
    for alias, name in aliases.items():
        assert box_format(alias).name == name
    assert set(families) < set(box_format_names())
    assert box_format(box_format("gemini")) is box_format("gemini")


def test_an_unknown_name_lists_the_names():
    with pytest.raises(
        ConfigurationError, match=re.escape("paligemma, florence-2, kosmos-2, qwen")
    ):
        box_format("molmo")
    with pytest.raises(ConfigurationError, match="but got 'molmo'"):
        box_format("molmo")


def test_a_format_of_ones_own():
    mine = BoxFormat("mine", JSONGrammar("box"), Frame(100, order="yxyx"))
    text = mine.render([Box("cat", (20, 10, 60, 50))], (200, 100))
    assert text == '[{"box": [10, 10, 50, 30], "label": "cat"}]'
    assert mine.parse(text, (200, 100)).boxes == [Box("cat", (20.0, 10.0, 60.0, 50.0))]


@pytest.mark.parametrize("name", ["qwen2.5-vl", "fuyu"])
def test_a_missing_fed_size_is_an_error(name):
    fmt = box_format(name)
    assert fmt.needs_fed_size
    message = re.escape(f"Box format '{name}' writes pixels of the image that the model was fed")
    with pytest.raises(ConfigurationError, match=message):
        fmt.parse("[]", (640, 480))
    with pytest.raises(ConfigurationError, match=message):
        fmt.render([], (640, 480))
    assert not box_format("qwen3-vl").needs_fed_size


@pytest.mark.parametrize("size", [(0, 480), (640,), (640, -1), (float("nan"), 1), None, "ab"])
def test_a_bad_size_is_an_error(size):
    message = re.escape(f"Expected `size` as (width, height), both positive, but got {size!r}")
    with pytest.raises(InputError, match=message):
        box_format("qwen3-vl").parse("[]", size)


def test_other_bad_input():
    with pytest.raises(InputTypeError, match="Expected the answer as a string, but got NoneType"):
        box_format("qwen3-vl").parse(None, (640, 480))
    for corners in [(5, 0, 1, 1), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1)]:
        with pytest.raises(InputError, match="Expected a box with finite corners, left <= right"):
            box_format("qwen3-vl").render([Box("a", corners)], (640, 480))
    with pytest.raises(InputError, match=re.escape("but got (0, 0)")):
        box_format("qwen2.5-vl").parse("[]", (640, 480), (0, 0))


@pytest.mark.parametrize(
    ("grid", "patch", "size"),
    [
        ([1, 30, 46], 14, (644, 420)),
        ((1, 32, 26), 14, (364, 448)),
        ([1, 52, 94], 14, (1316, 728)),
        ([1, 2, 3], 16, (48, 32)),
    ],
)
def test_fed_size_from_grid(grid, patch, size):
    assert fed_size_from_grid(grid, patch) == size


@pytest.mark.parametrize(
    ("grid", "patch"), [([30, 46], 14), ([1, 0, 46], 14), ([1, 2, 2], 0), (3, 14)]
)
def test_fed_size_from_a_bad_grid(grid, patch):
    message = re.escape(f"(frames, rows, columns), and a positive `patch_size`, but got {grid!r}")
    with pytest.raises(InputError, match=message):
        fed_size_from_grid(grid, patch)


def test_parsed_counts_what_was_dropped():
    text = '[{"bbox_2d": [1, 2, 3]}, {"bbox_2d": [1, 1, 1, 1]}, {"bbox_2d": [1, 2, 3, 4]}]'
    parsed = box_format("qwen3-vl").parse(text, (1000, 1000))
    assert parsed.dropped == 2
    assert parsed.numbers == [(1.0, 1.0, 1.0, 1.0), (1.0, 2.0, 3.0, 4.0)]
    assert Parsed().dropped == 0

"""Answers as models have written them: expected boxes are worked out by hand from each definition."""

import pytest

from tests.parsing.box_answers import check

# Strings from the families' own tests, documentation and issues.
VERBATIM = [
    (
        "paligemma",
        "<loc0256><loc0256><loc0768><loc0768> cat ; <loc0256><loc0256><loc0768><loc0768> dog",
        [("cat", 256, 512, 768, 1536), ("dog", 256, 512, 768, 1536)],
        "",
    ),
    (  # y comes first
        "paligemma",
        "<loc0100><loc0200><loc0300><loc0400> cat",
        [("cat", 200, 200, 400, 600)],
        "",
    ),
    (  # 1000 is one bin too many
        "florence-2",
        "</s><s>red car<loc_53><loc_334><loc_933><loc_775><loc_711><loc_203><loc_906><loc_546>"
        "sky<loc_0><loc_0><loc_1000><loc_300></s>",
        [
            ("red car", 53.5, 669, 933.5, 1551),
            ("red car", 711.5, 407, 906.5, 1093),
            ("sky", 0.5, 1, 1000, 601),
        ],
        "clipped",
    ),
    (
        "florence-2",
        "</s><s>car<loc_53><loc_334><loc_933><loc_775>door handle<loc_425><loc_504><loc_474>"
        "<loc_516></s><pad>",
        [("car", 53.5, 669, 933.5, 1551), ("door handle", 425.5, 1009, 474.5, 1033)],
        "",
    ),
    (  # cells of 10 x 20 pixels; 44 is row 1, column 12 and 863 row 26, column 31
        "kosmos-2",
        "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044>"
        "<patch_index_0863></object> warming himself by<phrase> a fire</phrase><object>"
        "<patch_index_0005><patch_index_0911></object>.",
        [("a snowman", 125, 30, 315, 530), ("a fire", 55, 10, 155, 570)],
        "",
    ),
    (
        "kosmos-2",
        "<phrase> Two puppies </phrase> <object> <patch_index_0079> <patch_index_1016> "
        "</delimiter_of_multi_objects/> <patch_index_0135> <patch_index_1008> </object>",
        [("Two puppies", 155, 50, 245, 630), ("Two puppies", 75, 90, 165, 630)],
        "",
    ),
    (
        "qwen-vl",
        "<ref> Two apples</ref><box>(302,257),(582,671)</box><box>(603,252),(878,642)</box> and"
        "<ref> a bowl</ref><box>(2,269),(304,674)</box>",
        [
            ("Two apples", 302, 514, 582, 1342),
            ("Two apples", 603, 504, 878, 1284),
            ("a bowl", 2, 538, 304, 1348),
        ],
        "",
    ),
    (
        "qwen-vl",
        "<ref>击掌</ref><box>(536,509),(588,602)</box>",
        [("击掌", 536, 1018, 588, 1204)],
        "",
    ),
    (  # the prompt ended with <box>
        "qwen-vl",
        "(536,509),(588,602)</box><|endoftext|>",
        [("", 536, 1018, 588, 1204)],
        "",
    ),
    (
        "qwen2-vl",
        "<|object_ref_start|>a dog<|object_ref_end|><|box_start|>(221,423),(569,886)<|box_end|> and "
        "<|object_ref_start|>a woman<|object_ref_end|><|box_start|>(451,381),(733,793)<|box_end|> "
        "are playing on the beach",
        [("a dog", 221, 846, 569, 1772), ("a woman", 451, 762, 733, 1586)],
        "",
    ),
    (
        "qwen2-vl",
        "<|box_start|>(101,201),(150,266)<|box_end|><|box_start|>(401,601),(550,666)<|box_end|>",
        [("", 101, 402, 150, 532), ("", 401, 1202, 550, 1332)],
        "",
    ),
    (
        "qwen3-vl",
        '{"label": "license plate of the black car", "bbox_2d": [231, 795, 284, 820], "img_idx": 0}',
        [("license plate of the black car", 231, 1590, 284, 1640)],
        "",
    ),
    (  # y comes first
        "gemini",
        '[\n  {"box_2d": [393, 67, 574, 206], "label": "red sprinkle topping"}, ...]',
        [("red sprinkle topping", 67, 786, 206, 1148)],
        "",
    ),
    (
        "internvl",
        "<ref>XXX</ref><box>[[253, 231, 733, 787]]</box>",
        [("XXX", 253, 462, 733, 1574)],
        "",
    ),
    (
        "internvl",
        "car[[75, 658, 250, 871], [286, 558, 444, 711]]\ntruck[[440, 208, 502, 255]]\n...\n"
        "pedestrian[[0, 1000, 999, 998]]",
        [
            ("car", 75, 1316, 250, 1742),
            ("car", 286, 1116, 444, 1422),
            ("truck", 440, 416, 502, 510),
            ("pedestrian", 0, 1996, 999, 2000),
        ],
        "untagged inverted",
    ),
    (
        "deepseek-vl2",
        "<|ref|>The giraffe at the back.<|/ref|><|det|>[[580, 270, 999, 900]]<|/det|>"
        "<｜end▁of▁sentence｜>",  # noqa: RUF001 - the model's own token
        [("The giraffe at the back.", 580, 540, 999, 1800)],
        "",
    ),
    (
        "deepseek-vl2",
        "<|ref|>mazdaughters<|/ref|><|det|>[[220, <|ref|>compact car<|/ref|><|det|>"
        "[[220, 416, 417, 720]]<|/det|>",
        [("compact car", 220, 832, 417, 1440)],
        "malformed",
    ),
    (
        "deepseek-vl2",
        "<|ref|>head without helmet<|/ref|><|det|>[[0, 50, 55, 9999], [0, 5, 533, 17, "
        "99999999999999...",
        [("head without helmet", 0, 100, 55, 1998)],
        "clipped truncated",
    ),
    (
        "locate-anything",
        "<ref>car</ref><box><120><200><450><500></box><ref>person</ref><box><50><100><200><600>"
        "</box><ref>person</ref><box><300><150><420><580></box>",
        [
            ("car", 120, 400, 450, 1000),
            ("person", 50, 200, 200, 1200),
            ("person", 300, 300, 420, 1160),
        ],
        "",
    ),
    (
        "lfm2.5-vl",
        '[{"label": "statue", "bbox": [0.3, 0.25, 0.4, 0.65]}]',
        [("statue", 300, 500, 400, 1300)],
        "",
    ),
    ("kimi-vl", '{"bbox_2d": [0.280, 0.500, 0.520, 0.700]}', [("", 280, 1000, 520, 1400)], ""),
    (
        "glm-v",
        "<|begin_of_box|>[[110,147,193,823]]<|end_of_box|>",
        [("", 110, 294, 193, 1646)],
        "",
    ),
    ("glm-v", "It is at (110, 147, 193, 823).", [("It is at", 110, 294, 193, 1646)], ""),
    (
        "glm-v",
        '<|begin_of_box|>[{"bbox_2d": [110, 147, 193, 823], "label": "cat"}]<|end_of_box|>',
        [("cat", 110, 294, 193, 1646)],
        "",
    ),
    (
        "cogvlm",
        "A cat [[034,115,458,886;000,000,010,010]]",
        [("A cat", 34, 230, 458, 1772), ("A cat", 0, 0, 10, 20)],
        "",
    ),
    (
        "minicpm-v",
        "<ref>book</ref><box>10 20 300 400</box>",
        [("book", 10, 40, 300, 800)],
        "",
    ),
    (
        "minigpt-v2",
        "<p>the world cup</p> {<4><50><30><65>}<delim>{<40><50><60><65>}",
        [("the world cup", 40, 1000, 300, 1300), ("the world cup", 400, 1000, 600, 1300)],
        "",
    ),
    ("minigpt-v2", "{<4><50><30><65>}", [("", 40, 1000, 300, 1300)], ""),
    ("fuyu", "<box>100, 200, 300, 400</box>", [("", 400, 200, 800, 600)], ""),
    ("nvila", "[201,002,940,758]", [("", 201, 4, 940, 1516)], ""),
    (
        "ferret",
        "The man [201, 2, 940, 758] is performing a trick on a skateboard [12, 746, 664, 886].",
        [
            ("The man", 201, 4, 940, 1516),
            ("is performing a trick on a skateboard", 12, 1492, 664, 1772),
        ],
        "",
    ),
    (
        "north-micro-vision",
        "[[1, 2, 30, 40], [5, 6, 70, 80]]",
        [("", 1, 4, 30, 80), ("", 5, 12, 70, 160)],
        "",
    ),
    (
        "moondream",
        '{"objects": [{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]}',
        [("", 100, 400, 300, 800)],
        "",
    ),
    (
        "moondream",  # the centre and size of the region head may reach beyond the image
        '{"objects": [{"x_min": -0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}]}',
        [("", 0, 400, 300, 800)],
        "clipped",
    ),
]


@pytest.mark.parametrize(("name", "text", "boxes", "issues"), VERBATIM)
def test_verbatim(name, text, boxes, issues):
    check(name, text, boxes, issues)

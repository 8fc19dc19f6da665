"""How each family of vision-language models writes boxes, by name.

Sources: the code that the families published for training or evaluation, and the reports of their
users where there is none. Names are compared without case, dots, hyphens and underscores.

    name                order  numbers                                          written as
    paligemma           yxyx   0-1023                                           location tokens
    florence-2          xyxy   0-999, bins of 1000, read as their centres       location tokens
    kosmos-2            xyxy   cells of a 32 x 32 grid                          patch indices
    qwen-vl             xyxy   0-999                                            tags
    qwen2-vl            xyxy   0-1000                                           tags
    qwen2.5-vl          xyxy   pixels of the image after the resize             JSON
    vlm-r1              xyxy   pixels of the original image                     JSON
    qwen3-vl            xyxy   0-1000                                           JSON
    gemini              yxyx   0-1000                                           JSON
    lfm2.5-vl           xyxy   0-1 (the 3B model: lfm2.5-vl-3b, 0-1000)         JSON
    kimi-vl             xyxy   0-1                                              JSON
    moondream           xyxy   0-1, one key a number                            JSON
    glm-v               xyxy   0-1000                                           tags, inline or JSON
    internvl            xyxy   0-1000                                           tags
    deepseek-vl2        xyxy   0-999                                            tags
    locate-anything     xyxy   0-1000                                           tags
    minicpm-v           xyxy   0-1000                                           tags
    minigpt-v2          xyxy   0-100                                            tags
    fuyu                yxyx   half pixels of the image after the resize        tags
    cogvlm              xyxy   0-999 of 1000                                    inline
    glm-4v              xyxy   0-1120 of the image padded to a square           inline
    shikra              xyxy   0-1 of the image padded to a square              inline
    llava               xyxy   0-1 of the image padded to a square              inline
    nvila               xyxy   0-999 of 1000                                    inline
    ferret              xyxy   0-999 of 1000                                    inline
    north-micro-vision  xyxy   0-1000                                           inline
"""

import re

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing.boxes import BoxFormat
from lightning_vlmeval.parsing.frames import Frame
from lightning_vlmeval.parsing.inline import InlineGrammar
from lightning_vlmeval.parsing.json_boxes import JSONGrammar
from lightning_vlmeval.parsing.location_tokens import LocationTokenGrammar
from lightning_vlmeval.parsing.patches import PatchGrammar
from lightning_vlmeval.parsing.tagged import TaggedGrammar, Tags

_QWEN2_TAGS = Tags(("<|object_ref_start|>", "<|object_ref_end|>"), ("<|box_start|>", "<|box_end|>"))
_PAIRS = "({},{}),({},{})"
_ANGLES = "<{}><{}><{}><{}>"
_PADDED = "{:03d},{:03d},{:03d},{:03d}"

_LOCATION_TOKENS = (
    BoxFormat("paligemma", LocationTokenGrammar(), Frame(1023, "yxyx")),
    BoxFormat(
        "florence-2",
        LocationTokenGrammar(
            "<loc_{}>", label_after=False, keep_first=True, none="No object detected."
        ),
        Frame(1000, bins=True),
    ),
    BoxFormat("kosmos-2", PatchGrammar(), Frame(32, decimals=None)),
)
_JSON = (
    BoxFormat("qwen2.5-vl", JSONGrammar(fenced=True), Frame("pixels")),
    BoxFormat("vlm-r1", JSONGrammar(fenced=True), Frame("original")),
    BoxFormat("qwen3-vl", JSONGrammar(), Frame(1000)),
    BoxFormat("gemini", JSONGrammar("box_2d"), Frame(1000, "yxyx")),
    BoxFormat("lfm2.5-vl", JSONGrammar("bbox", label_first=True), Frame(1, decimals=3)),
    BoxFormat("lfm2.5-vl-3b", JSONGrammar("bbox", label_first=True), Frame(1000)),
    BoxFormat("kimi-vl", JSONGrammar(number=".3f"), Frame(1, decimals=3)),
    BoxFormat(
        "moondream",
        JSONGrammar(("x_min", "y_min", "x_max", "y_max"), wrapper="objects"),
        Frame(1, decimals=4),
    ),
)
_TAGGED = (
    BoxFormat("qwen-vl", TaggedGrammar(quad=_PAIRS, template="{}", joiner=None), Frame(999)),
    BoxFormat(
        "qwen2-vl",
        TaggedGrammar(_QWEN2_TAGS, quad=_PAIRS, template="{}", joiner=None),
        Frame(1000),
    ),
    BoxFormat(
        "glm-v",
        TaggedGrammar(Tags(box=("<|begin_of_box|>", "<|end_of_box|>")), optional=True),
        Frame(1000),
    ),
    BoxFormat("internvl", TaggedGrammar(), Frame(1000)),
    BoxFormat(
        "deepseek-vl2",
        TaggedGrammar(Tags(("<|ref|>", "<|/ref|>"), ("<|det|>", "<|/det|>"))),
        Frame(999),
    ),
    BoxFormat(
        "locate-anything",
        TaggedGrammar(quad=_ANGLES, template="{}", joiner=None, none="<box>none</box>"),
        Frame(1000),
    ),
    BoxFormat(
        "minicpm-v", TaggedGrammar(quad="{} {} {} {}", template="{}", joiner=None), Frame(1000)
    ),
    BoxFormat(
        "minigpt-v2",
        TaggedGrammar(
            Tags(("<p>", "</p>"), ("{", "}")),
            quad=_ANGLES,
            template="{}",
            joiner=None,
            before_box=" ",
            between="<delim>",
        ),
        Frame(100),
    ),
    BoxFormat("fuyu", TaggedGrammar(template="{}", joiner=None), Frame("pixels", "yxyx", unit=2)),
)
_INLINE = (
    BoxFormat(
        "cogvlm",
        InlineGrammar(_PADDED, template="[[{}]]", joiner=";", separator=" "),
        Frame(1000, top=999),
    ),
    BoxFormat("glm-4v", InlineGrammar(template="[[{}]]", joiner="], ["), Frame(1120, square=True)),
    BoxFormat(
        "shikra",
        InlineGrammar("{:.3f},{:.3f},{:.3f},{:.3f}", joiner=";", separator=" "),
        Frame(1, square=True, decimals=3),
    ),
    BoxFormat("llava", InlineGrammar(), Frame(1, square=True, decimals=2)),
    BoxFormat("nvila", InlineGrammar(_PADDED), Frame(1000, top=999)),
    BoxFormat("ferret", InlineGrammar(), Frame(1000, top=999)),
    BoxFormat("north-micro-vision", InlineGrammar(template="[[{}]]", joiner="], ["), Frame(1000)),
)
_FORMATS = {fmt.name: fmt for fmt in (*_LOCATION_TOKENS, *_JSON, *_TAGGED, *_INLINE)}
_ALIASES = {
    "paligemma-2": "paligemma",
    "qwen3.5": "qwen3-vl",
    "qwen3.5-vl": "qwen3-vl",
    "cosmos-reason1": "qwen2.5-vl",
    "cosmos-reason2": "qwen3-vl",
    "mimo-vl": "qwen2.5-vl",
    "eagle-2.5": "qwen3-vl",
    "gemini-2": "gemini",
    "gemini-2.5": "gemini",
    "gemini-3": "gemini",
    "gemma-4": "gemini",
    "glm-4.1v": "glm-v",
    "glm-4.5v": "glm-v",
    "glm-4.6v": "glm-v",
    "glm-4v-9b": "glm-4v",
    "cogagent": "cogvlm",
    "internvl2": "internvl",
    "internvl2.5": "internvl",
    "internvl3": "internvl",
    "internvl3.5": "internvl",
    "deepseek-ocr": "deepseek-vl2",
    "minicpm-o": "minicpm-v",
    "llava-1.5": "llava",
    "llava-1.6": "llava",
    "llava-next": "llava",
    "vila": "nvila",
    "vila-1.5": "nvila",
    "north-micro": "north-micro-vision",
    "moondream2": "moondream",
    "moondream3": "moondream",
}


def _key(name: str) -> str:
    """A name as it is compared."""
    return re.sub(r"[-_. ]", "", name.lower())


_BY_KEY = {
    **{_key(name): fmt for name, fmt in _FORMATS.items()},
    **{_key(alias): _FORMATS[name] for alias, name in _ALIASES.items()},
}


def box_format_names() -> list[str]:
    """The names that `box_format` knows, families first, then models that write as a family does.

    Example:
        >>> box_format_names()[:3]
        ['paligemma', 'florence-2', 'kosmos-2']
    """
    return [*_FORMATS, *_ALIASES]


def box_format(name: str | BoxFormat) -> BoxFormat:
    """The way in which a family of models writes boxes.

    Args:
        name: The family, or a model that writes as the family does; case, dots, hyphens and
            underscores do not matter. A `BoxFormat` is given back as it is.

    Raises:
        ConfigurationError: No family has this name; the message lists the names.

    Example:
        >>> from lightning_vlmeval.parsing import Box
        >>> box_format("qwen3-vl").render([Box("cat", (64, 48, 320, 240))], size=(640, 480))
        '[{"bbox_2d": [100, 100, 500, 500], "label": "cat"}]'
        >>> box_format("PaliGemma2").name
        'paligemma'
    """
    if isinstance(name, BoxFormat):
        return name
    found = _BY_KEY.get(_key(name)) if isinstance(name, str) else None
    if found is None:
        raise ConfigurationError(
            f"Expected a box format to be one of {', '.join(box_format_names())}, but got {name!r}: "
            "for another way to write boxes give a BoxFormat(name, grammar, frame)"
        )
    return found

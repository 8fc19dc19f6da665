"""Text in, values out: boxes and structured answers from what a model wrote."""

from lightning_vlmeval.parsing.box import Box, Parsed
from lightning_vlmeval.parsing.boxes import BoxFormat, fed_size_from_grid
from lightning_vlmeval.parsing.families import box_format, box_format_names
from lightning_vlmeval.parsing.frames import Frame
from lightning_vlmeval.parsing.grammar import Grammar, Item, Reading
from lightning_vlmeval.parsing.inline import InlineGrammar
from lightning_vlmeval.parsing.json_boxes import JSONGrammar
from lightning_vlmeval.parsing.labels import LabelMatcher, MatchedLabels
from lightning_vlmeval.parsing.location_tokens import LocationTokenGrammar
from lightning_vlmeval.parsing.patches import PatchGrammar
from lightning_vlmeval.parsing.tagged import TaggedGrammar, Tags

__all__ = [
    "Box",
    "BoxFormat",
    "Frame",
    "Grammar",
    "InlineGrammar",
    "Item",
    "JSONGrammar",
    "LabelMatcher",
    "LocationTokenGrammar",
    "MatchedLabels",
    "Parsed",
    "PatchGrammar",
    "Reading",
    "TaggedGrammar",
    "Tags",
    "box_format",
    "box_format_names",
    "fed_size_from_grid",
]

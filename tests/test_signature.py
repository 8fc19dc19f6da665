"""Signatures: read back as they were written, and what a function is called in one."""

import functools
import re

import pytest

from lightning_vlmeval.functional.comparator_specs import Custom
from lightning_vlmeval.functional.meteor import METEORScorer
from lightning_vlmeval.functional.rouge import ROUGEScorer
from lightning_vlmeval.parsing.payload import PayloadFormat
from lightning_vlmeval.signature import Signature, qualified_name


class Called:
    def __call__(self, text: str) -> list[str]:
        return text.split()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (re.escape, "re.escape"),
        (str.split, "builtins.str.split"),  # it has no module
        (len, "builtins.len"),
        (Called(), f"{__name__}.Called"),
        (Called().__call__, f"{__name__}.Called.__call__"),
        (functools.partial(str.split, sep=","), "functools.partial"),
    ],
)
def test_qualified_name(function: object, name: str) -> None:
    assert qualified_name(function) == name


def test_each_signature_that_names_a_function_can_name_any() -> None:
    assert ("tokenizer", "builtins.str.split") in ROUGEScorer(tokenizer=str.split).options()
    assert repr(Custom(str.__eq__)) == "builtins.str.__eq__"
    assert PayloadFormat(str.split).name == "builtins.str.split"


def test_meteor_with_a_tokenizer_without_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "lightning_vlmeval.functional.meteor"
    monkeypatch.setattr(f"{module}.find_wordnet", lambda _: "")
    monkeypatch.setattr(f"{module}.wordnet_version", lambda _: "3.0")
    signature = METEORScorer(tokenize=str.split).signature()
    assert "|tokenize:builtins.str.split|wordnet:3.0|" in signature


@pytest.mark.parametrize("value", ["", "a|b:c", "50 % of\nit", "größe", "\ud800"])
def test_any_value_is_read_back(value: str) -> None:
    signature = Signature("metric", (("option", value), ("version", "1")))
    assert Signature.parse(str(signature)) == signature
    assert Signature.parse(str(signature)).options == signature.options
    assert "\n" not in signature

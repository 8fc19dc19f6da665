"""Strict JSON: what RFC 8259 accepts, what it refuses, and the choices where it leaves one."""

import json

import pytest

from lightning_vlmeval.parsing.payload import parse_payload

ACCEPTED = [
    '{"a":{"b":[1,2.5,-0,1E+2,1e-2]},"":null}',
    " \t\r\n[true, false, null]\n",
    "[]",
    "{}",
    '""',
    "0",
    "-0.0",
    "123.456e7",
    '"\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u00e9 \\uD83D\\ude00"',
    '"\u2028 \u2029 \x7f \U0001f600 \uffff"',
    '{"a":1,"a":2}',
    '["\\u0000"]',
    '["\\ud800"]',  # an escaped lone surrogate: left open by the RFC, accepted here
    "[1e999]",  # beyond float64: left open, infinite here
]
REFUSED = [
    "",
    " ",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "[1",
    "1]",
    '{"a":1,}',
    "{'a':1}",
    "{a:1}",
    '{"a" 1}',
    '{"a":1 "b":2}',
    '{"a":}',
    "{1:1}",
    '{"a":1}}',
    "[NaN]",
    "[Infinity]",
    "[-Infinity]",
    "[nan]",
    "[01]",
    "[+1]",
    "[.5]",
    "[5.]",
    "[1.e1]",
    "[1e]",
    "[0x1F]",
    "[1_000]",
    "[\u0661]",  # an Arabic digit
    "[\uff11]",  # a full-width digit
    "[- 1]",
    "[True]",
    "nul",
    '["\t"]',
    '["\n"]',
    '["\x00"]',
    '["\\x00"]',
    '["\\\'"]',
    '["\\u00g0"]',
    '["\\u12"]',
    '["a]',
    "['a']",
    "[1]\x0c",  # a form feed is no white space of JSON
    "[1]\xa0",
    "\ufeff{}",
    "[1] // note",
    "/**/[1]",
    '{"a":1} {"b":2}',
    '"\ud800"',  # a lone surrogate as it is: no UTF-8 text holds it
    "```json\n{}\n```",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_rfc_8259_accepts(text: str) -> None:
    payload = parse_payload(text, scalars=True)
    assert payload.strict
    assert payload.causes == ()
    assert payload.value == json.loads(text)


@pytest.mark.parametrize("text", REFUSED)
def test_rfc_8259_refuses(text: str) -> None:
    payload = parse_payload(text, scalars=True)
    assert not payload.strict
    assert payload.causes
    assert payload.error

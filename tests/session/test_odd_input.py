"""What no module should return: each thing gives a value, is counted, or is refused with a message."""

import math
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from lightning_vlmeval import Sample
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.runs.files import json_line, parsed_object, plain
from lightning_vlmeval.session.box_reader import BoxReader
from lightning_vlmeval.session.evaluation import EvaluationSession
from lightning_vlmeval.session.loaders import LoaderSessions
from lightning_vlmeval.session.outputs import KEYS
from lightning_vlmeval.session.sample_log import SampleLog
from lightning_vlmeval.session.tasks import make_metrics
from lightning_vlmeval.session.trainer import emit

TASKS = ("phrase_grounding", "vqa", "freeform")
OPTIONS = {
    "iou_threshold": 0.5,
    "box_coordinates": "xyxy",
    "output_format": "json",
    "schema": {"count": int},
    "required_fields": ["count"],
    "encoder": None,
}
METRICS = ["grounding", "error_budget", "bleu", "rouge", "answers", "health", "structured", "chrf"]

TEXTS = st.one_of(
    st.text(st.characters(), max_size=12),  # surrogates and control characters too
    st.sampled_from(
        [
            "",
            "[[0, 0, 9, 9]]",
            '[{"bbox_2d": [0, 0, 500, 500], "label": "a"}]',
            '{"count": 1e999}',
            '{"count": 1',
            "مرحبا بالعالم",
            "שלום 世界 👩‍👩‍👧 é",
            "\x1b[31mred\x07\x00",
            "<loc0001><loc0001><loc0900><loc0900> a",
            "a " * 3000,
        ]
    ),
)
NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.sampled_from([np.float32(1.5), np.int64(3), 1e308, -0.0]),
)
TENSORS = st.sampled_from(
    [
        torch.tensor(1.0),
        torch.zeros(0, 4),
        torch.zeros(2, 4),
        torch.tensor([[0, 0, 9, 9]]),
        torch.full((3, 5), math.nan),
        torch.tensor([1 + 2j]),
        torch.zeros(2, 4, dtype=torch.bfloat16),
        torch.zeros(2, requires_grad=True),
        torch.eye(2).to_sparse(),
        np.zeros((1, 2, 4)),
        np.array([None, "a"], dtype=object),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        Image.new("RGB", (3, 2)),
        b"bytes",
        object(),
        range(3),
        {1, 2},
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), TEXTS, NUMBERS, TENSORS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(NUMBERS, min_size=4, max_size=4).map(lambda box: [box]),
        st.dictionaries(
            st.one_of(st.sampled_from(["boxes", "labels", "scores", "count", ""]), TEXTS),
            inner,
            max_size=3,
        ),
        st.fixed_dictionaries({"boxes": inner, "labels": inner}),
        st.tuples(inner, inner),
    ),
    max_leaves=6,
)
LISTS = st.one_of(
    st.lists(VALUES, min_size=2, max_size=2),
    st.lists(VALUES, max_size=3),
    st.lists(VALUES, min_size=2, max_size=2).map(iter),
    st.lists(TEXTS, min_size=2, max_size=2),
    VALUES,
)
OUTPUTS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"preds": LISTS, "target": LISTS},
        optional={key: LISTS for key in [*KEYS, "extra"] if key not in ("preds", "target")},
    ),
    st.fixed_dictionaries({"samples": LISTS}, optional={"loss": VALUES}),
)
GOOD = {
    "preds": [[[0, 0, 9, 9]], "a"],
    "target": [[[0, 0, 9, 9]], "a"],
    "task": ["phrase_grounding", "vqa"],
}
"""What a validation step returns that is in order."""


def sessions(box_format: str | None) -> LoaderSessions:
    """Those of a callback for all tasks, at the start of an evaluation of eight samples."""
    metrics, _ = make_metrics(TASKS, METRICS, box_format=box_format, **OPTIONS)
    reader = None if box_format is None else BoxReader(box_format)
    made = LoaderSessions(metrics, TASKS, {}, reader, log=SampleLog(0.5, "xyxy", 10))
    made.start([DataLoader(range(8), 2)], [math.inf], rank=0)
    return made


def evaluate(made: LoaderSessions) -> None:
    """Compute, and write down what there is to see; every value is a number, or undefined."""
    (evaluation,) = made.compute().values()
    assert made.log is not None
    assert all(isinstance(value, float) for value in evaluation.scores.values())
    evaluation.intervals()
    evaluation.healthy()
    for sample in made.log.gather():
        parsed_object(json_line(plain(sample)), "here")


@pytest.mark.parametrize("box_format", [None, "qwen3-vl"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=OUTPUTS, batch=VALUES)
def test_the_first_batch_goes_or_is_refused(box_format: str | None, first: Any, batch: Any) -> None:
    made = sessions(box_format)
    try:
        made.update(None, first, batch, 0, 0)
    except (ConfigurationError, InputError):
        return
    evaluate(made)


PAIR = {"preds": ["a", "b"], "target": ["a", "b"]}


@pytest.mark.parametrize(
    "outputs",
    [
        {**PAIR, "loss": []},
        {**PAIR, "loss": torch.tensor(1j)},
        {**PAIR, "losses": [(), 1.0]},
        {**PAIR, "losses": ["", 1.0]},
        {**PAIR, "task": [None, []]},
        {**PAIR, "task": ["vqa", "captioning"]},
        {**PAIR, "prompt": [None, 3]},
        {"samples": 3},
        {"samples": ["a"]},
        {"samples": [Sample(id="\ud800", prediction=None, target="b")]},
    ],
    ids=str,
)
def test_what_once_stopped_a_run(outputs: dict[str, Any]) -> None:
    made = sessions(None)
    made.update(None, GOOD, None, 0, 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Batch 1 was left out of the evaluation: Expected")
        made.update(None, outputs, None, 1, 0)
    evaluate(made)


def test_a_target_that_cannot_be_read_loses_its_own_sample_only() -> None:
    made = sessions("qwen3-vl")
    text = '[{"bbox_2d": [0, 0, 500, 500], "label": "a"}]'
    boxes = {"task": ["phrase_grounding"] * 2, "size": [(9, 9), (9, 9)]}
    made.update(None, {"preds": [text, text], "target": [text, text], **boxes}, None, 0, 0)
    made.update(None, {"preds": [text, text], "target": [text, "<box>"], **boxes}, None, 1, 0)
    (evaluation,) = made.compute().values()
    assert evaluation.scores["grounding/tp"] == 3
    assert evaluation.accounting.seen == 4
    assert evaluation.accounting.unscored == 1
    assert "<box>" in evaluation.accounting.errors["3"]
    assert made.log is not None
    shown = {sample["id"]: sample for sample in made.log.gather()}
    assert (shown["3"]["prediction"], shown["3"]["target"]) == (text, "<box>"), "as it came"


def test_a_refusal_can_travel_to_the_other_ranks() -> None:
    """Half a character, which UTF-8 has no form for, in the words of a user's own metric."""
    made = EvaluationSession({})
    made.refuse("no \ud800")
    with pytest.raises(InputError, match=r"Rank 0: no ⟨U\+D800⟩"):
        made.check()


def test_a_task_that_is_unknown_is_named() -> None:
    message = "Expected `task` to be one of phrase_grounding, vqa, freeform, but got 'captioning'"
    with pytest.raises(InputError, match=message):
        sessions(None).update(None, {**PAIR, "task": ["vqa", "captioning"]}, None, 0, 0)


def test_boxes_beside_texts_need_no_box_format() -> None:
    """The health of answers is that of texts; boxes have none."""
    made = sessions(None)
    made.update(None, GOOD, None, 0, 0)
    (evaluation,) = made.compute().values()
    assert evaluation.scores["grounding/f1"] == evaluation.scores["health/healthy"] == 1.0


@pytest.mark.parametrize("box_format", [None, "qwen3-vl"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(later=st.lists(OUTPUTS, min_size=1, max_size=3), batch=VALUES)
def test_no_later_batch_stops_the_run(box_format: str | None, later: list[Any], batch: Any) -> None:
    made = sessions(box_format)
    good = GOOD
    if box_format is not None:
        text = '[{"bbox_2d": [0, 0, 500, 500], "label": "a"}]'
        good = {**GOOD, "preds": [text, "a"], "target": [text, "a"], "size": [(9, 9), (9, 9)]}
    made.update(None, good, None, 0, 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Batch . was left out of the evaluation")
        for number, outputs in enumerate(later, 1):
            made.update(None, outputs, batch, number, 0)
    evaluate(made)


def test_nothing_that_is_printed_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = SimpleNamespace(is_global_zero=True, progress_bar_callback=None)
    emit(trainer, 'size ratio of "can\x1b[2J\u202e"\nnext line')
    assert capsys.readouterr().out == 'size ratio of "can⟨U+001B⟩[2J⟨U+202E⟩"\nnext line\n'

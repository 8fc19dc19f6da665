"""What is written to TensorBoard's event file, read back."""

import html
import importlib
import io
import re
import string
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from lightning_vlmeval.reporting.drawing import draw_answer
from lightning_vlmeval.reporting.tensorboard_events import (
    diagnosis_markdown,
    write_diagnosis,
    write_hparams,
    write_marker,
    write_pictures,
)
from lightning_vlmeval.runs.run import Run
from tests.reporting.made_runs import HOSTILE, make_run


class Events:
    """A writer, and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.writer: Any = SummaryWriter(str(folder))

    def values(self) -> list[tuple[int, Any]]:
        self.writer.close()
        (path,) = self._folder.glob("events.*")
        events = EventFileLoader(str(path)).Load()
        return [(event.step, value) for event in events for value in event.summary.value]


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path / "events")


def test_the_mark(events: Events) -> None:
    assert write_marker(events.writer)
    ((step, value),) = events.values()
    assert (step, value.tag, value.metadata.plugin_data.plugin_name) == (0, "vlmeval", "vlmeval")


def test_the_pictures(events: Events, tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run", num_samples=40, num_evaluations=2))
    assert write_pictures(events.writer, run) == 8
    values = events.values()
    assert [value.tag for _, value in values] == [f"vlmeval/sample_{i}" for i in range(8)]
    assert {step for step, _ in values} == {60}
    for _, value in values:
        data = (
            value.tensor.string_val[2]
            if value.HasField("tensor")
            else value.image.encoded_image_string
        )
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (320, 320))
        assert len(data) < 40_000


def test_there_may_be_no_pictures(events: Events, tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run", num_samples=8, num_evaluations=1, images=False))
    assert write_pictures(events.writer, run) == 0


def test_the_hyperparameters_put_no_point_into_a_curve(events: Events) -> None:
    params = {
        "lr": 0.5,
        "name": "a",
        "lora": True,
        "layers": [1, 2],
        "nothing": None,
        "nan": float("nan"),
    }
    assert write_hparams(events.writer, params, ["val/grounding/f1"])
    values = events.values()
    assert [value.tag for _, value in values] == [
        "_hparams_/experiment",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    ]
    read = [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for _, value in values
    ]
    assert [one.name.tag for one in read[0].experiment.metric_infos] == ["val/grounding/f1"]
    found = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in read[1].session_start_info.hparams.items()
    }
    assert found == {
        "lr": 0.5,
        "name": "a",
        "lora": True,
        "layers": "[1, 2]",
        "nothing": "None",
        "nan": "nan",
    }


def test_the_diagnosis(events: Events) -> None:
    summary = {"step": 7, "verdict": {"state": "ok", "reason": "fine"}}
    assert write_diagnosis(events.writer, summary)
    assert not write_diagnosis(events.writer, {"step": 8, "verdict": None, "findings": []})
    ((step, value),) = events.values()
    assert (step, value.tensor.string_val[0]) == (7, b"**ok** fine")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<script>", r"&lt;script\>"),
        ("![x](https://a.b/c)", r"\!\[x\]\(https://a\.b/c\)"),
        ("a | b\n\n# c", r"a \| b \# c"),
        ("`*_~", r"\`\*\_~"),
        ("&lt;", "&amp;lt;"),
        ("\u202ex", r"⟨U\+202E⟩x"),
    ],
)
def test_markdown_is_escaped(text: str, escaped: str) -> None:
    assert diagnosis_markdown({"verdict": {"state": "s", "reason": text}}) == f"**s** {escaped}"


def rendered(markdown: str) -> str:
    """What TensorBoard makes of it."""
    with warnings.catch_warnings():  # of a package that TensorBoard carries
        warnings.simplefilter("ignore")
        plugin_util = importlib.import_module("tensorboard.plugin_util")
    return str(plugin_util.markdown_to_safe_html(markdown))


@pytest.mark.parametrize(
    "text",
    [string.punctuation, "http://a.b/c me@there.org", "# a", "1. a", "- a", "a | b", "~~~ a"],
)
def test_tensorboard_shows_a_text_as_it_is(text: str) -> None:
    shown = rendered(diagnosis_markdown({"verdict": {"state": "s", "reason": text}}))
    assert html.unescape(shown) == f"<p><strong>s</strong> {text}</p>"


def test_hostile_text_is_text_to_tensorboard() -> None:
    finding = {
        "slug": HOSTILE,
        "meaning": HOSTILE,
        "advice": "![a](http://b/c)",
        "samples": [HOSTILE],
    }
    shown = rendered(diagnosis_markdown({"findings": [finding]}))
    assert re.findall("<[^>]*>", shown) == ["<p>", "<strong>", "</strong>", "</p>"]


def test_many_findings_are_cut() -> None:
    findings = [
        {"slug": str(i), "meaning": "m", "advice": "a", "samples": [str(j) for j in range(20)]}
        for i in range(9)
    ]
    text = diagnosis_markdown({"findings": findings})
    assert text.count("Samples: 0, 1, 2, 3, 4\n") == 5
    assert text.endswith("4 more: see the tab VLM Eval")


def test_a_writer_of_another_kind_gets_nothing_it_cannot_take() -> None:
    class Other:
        def _get_file_writer(self) -> None:
            raise AssertionError("it is not asked")

    assert not write_marker(Other())
    assert not write_hparams(Other(), {}, [])
    assert not write_marker(None)


BLACK = Image.new("RGB", (400, 400))


@pytest.mark.parametrize(
    ("sample", "at", "colour"),
    [
        ({"boxes": [[10, 10, 50, 50]]}, (40, 160), (232, 48, 138)),
        ({"boxes": [[10, 10, 50, 50]], "matches": [[0, 0, 0.9]]}, (40, 160), (0, 180, 255)),
        ({"target": {"boxes": [[10, 10, 50, 50]]}}, (40, 42), (255, 212, 0)),
        (
            {"target": {"boxes": [[10, 10, 50, 50]]}, "matches": [[0, 0, 0.9]]},
            (40, 42),
            (255, 255, 255),
        ),
        ({"boxes": [[50, 50, 10, 10]]}, (40, 160), (232, 48, 138)),
        ({"boxes": [[float("nan"), 0, float("inf"), 1e300]]}, (200, 200), (0, 0, 0)),
        ({"target": "a text"}, (40, 160), (0, 0, 0)),
    ],
)
def test_drawing(sample: dict[str, Any], at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    assert draw_answer(BLACK, {"size": [100, 100], **sample}).getpixel(at) == colour

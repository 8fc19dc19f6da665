"""What of a training batch a model is asked."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.generation import Generator
from tests.session.fake_model import Fake, batch_of
from tests.session.tiny_models import ARCHITECTURES, EOS, EXAMPLES, IMAGE, PAD, make, tokenizer

TOKENIZER = tokenizer()


def test_what_is_cut_and_what_is_passed_on() -> None:
    model = Fake()
    batch = batch_of(
        ([6, 7, 8], [20, EOS]),
        ([9], [21, 22, EOS]),
        token_type_ids=torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]),
        position_ids=torch.arange(5).repeat(2, 1),
        pixel_values=torch.zeros(7, 3),
        id=["a", "b"],
        prompt=["c", "d"],
    )
    Generator(TOKENIZER)(model, batch)
    (asked,) = model.asked
    options = {"max_new_tokens": 14, "use_cache": True, "do_sample": False, "num_beams": 1}
    assert {key: asked.pop(key) for key in options} == options
    assert {key: value.tolist() for key, value in asked.items()} == {
        "input_ids": [[6, 7, 8], [PAD, PAD, 9]],
        "attention_mask": [[1, 1, 1], [0, 0, 1]],
        "token_type_ids": [[1, 2, 3], [0, 0, 6]],
        "pixel_values": [[0.0] * 3] * 7,
    }


def test_a_conversation_is_asked_for_its_first_answer() -> None:
    batch = batch_of(([6, 7], [20, 21, 8, 9, 22]))
    batch["labels"][:, 4:6] = -100  # the second question
    result = Generator(TOKENIZER)(Fake(), batch)
    assert (result["prompt"], result["target"]) == (["w6 w7"], ["w20 w21"])


def test_a_row_without_an_answer_is_all_prompt() -> None:
    result = Generator(TOKENIZER)(Fake(), batch_of(([6, 7], []), ([8, 9], [20])))
    assert result["prompt"] == ["w6 w7", "w8 w9"]
    assert result["target"] == ["", "w20"]


def test_ready_inputs_and_references() -> None:
    model = Fake("new")
    ready = {"input_ids": torch.tensor([[6, 7]]), "attention_mask": torch.ones(1, 2), "top_k": 3}
    batch = {**batch_of(([8], [9])), "generation": ready, "references": [["w1 w2 w3", "w4"]]}
    result = Generator(TOKENIZER)(model, batch)
    assert (result["prompt"], result["target"]) == (["w6 w7"], [["w1 w2 w3", "w4"]])
    assert model.asked[0]["top_k"] == 3


@pytest.mark.parametrize(
    ("batch", "budget"),
    [
        (batch_of(([6, 7], [20]), ([6, 7], [20, 21, 22])), 2 * 3 + 8),
        (batch_of(([6, 7], [])), 256),
        ({"generation": batch_of(([6], [])), "references": ["w1 w2", ["w3", "w4 w5 w6"]]}, 14),
        ({"generation": batch_of(([6], [])), "references": [{"boxes": []}]}, 256),
    ],
)
def test_the_budget_comes_from_the_longest_reference(batch: dict, budget: int) -> None:
    model = Fake()
    Generator(TOKENIZER)(model, batch)
    assert model.asked[0]["max_new_tokens"] == budget


IMAGES = {"pixel_values": torch.zeros(2, 3)}
SHIFTED = torch.tensor([[7, 20, 21, -100], [9, 22, 23, -100]])


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1], "Expected a batch that is a dict with 'input_ids' or 'generation', but got list"),
        ({"text": ["a"]}, "other tensors that Fake takes, but got a dict with keys ['text']"),
        (batch_of(([], [6, 7])), "those of row 0 begin at its first token: nothing is left"),
        (
            batch_of(([6, 7], [20]), ([], [8, 9]), **IMAGES),
            "Expected labels of -100 over each prompt, but those of row 1 begin at its first",
        ),
        (
            batch_of(([], [IMAGE, 6]), ([], [IMAGE, 8]), **IMAGES),
            "those of row 0 begin at its first token",
        ),
        (
            {**batch_of(([6, 7], [20, 21]), ([8, 9], [22, 23])), "labels": SHIFTED},
            "but got labels (2, 4) that are not, of 'input_ids' (2, 4). Leave the shift by one",
        ),
        (
            {**batch_of(([6], [20])), "attention_mask": torch.ones(1, 1, 2, 2)},
            "of the shape of 'input_ids' (1, 2), but got (1, 1, 2, 2)",
        ),
    ],
)
def test_batches_that_cannot_be_asked(batch: Any, message: str) -> None:
    model = Fake()
    model.config = SimpleNamespace(image_token_id=IMAGE)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Generator(TOKENIZER)(model, batch)


def test_labels_of_another_shape_are_no_answers_of_a_model_without_an_encoder() -> None:
    architecture = ARCHITECTURES["LLaVA"]
    batch = architecture.training_batch(EXAMPLES)
    batch["labels"] = batch["labels"][:, -5:]  # as for a loss over the last tokens only
    with pytest.raises(ConfigurationError, match=r"labels \(4, 5\) that are not, of .* \(4, 15\)"):
        Generator(TOKENIZER)(make(architecture), batch)


def test_padding_without_a_mask() -> None:
    batch = batch_of(([6, PAD, 7], [20]), ([8, 9], []))
    del batch["attention_mask"]
    model = Fake()
    Generator(TOKENIZER)(model, batch)
    asked = [
        [call[name].tolist() for name in ("input_ids", "attention_mask")] for call in model.asked
    ]
    assert asked == [[[[8, 9]], [[1, 1]]], [[[6, PAD, 7]], [[1, 1, 1]]]]


def test_lists_of_tensors_go_with_their_rows() -> None:
    model, tiles = Fake(), [torch.zeros(1), torch.ones(2)]
    Generator(TOKENIZER)(model, batch_of(([6, 7, 8], [20]), ([9, 10], [20]), pixel_values=tiles))
    assert [call["pixel_values"][0].tolist() for call in model.asked] == [[1.0, 1.0], [0.0]]


def test_batches_padded_on_the_left_for_training() -> None:
    model = Fake()
    batch = batch_of(([6, 7, 8], [20, EOS]), ([9, 10], [21]), side="left")
    result = Generator(TOKENIZER)(model, batch)
    assert [call["input_ids"].tolist() for call in model.asked] == [[[9, 10]], [[6, 7, 8]]]
    assert result["target"] == ["w20", "w21"]

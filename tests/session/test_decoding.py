"""What `generate` may give back, and what happens where the memory runs out."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.generation import Generator
from tests.session.fake_model import Fake, attached, batch_of, trainer_of
from tests.session.tiny_models import EOS, IMAGE, START, tokenizer

TOKENIZER = tokenizer()


@pytest.mark.parametrize(
    "returns", ["prompt", "all but the last", "new", "new after a start", "an object"]
)
@pytest.mark.parametrize("prompt", [[START, 9], [START, 8, 9]])
def test_only_new_tokens_are_decoded(returns: str, prompt: list[int]) -> None:
    model = Fake(returns)
    generator = Generator(TOKENIZER)
    for _ in range(2):  # what was learned of a model holds for the next batch
        result = generator(model, batch_of((prompt, [20, 21, EOS])))
        assert result["preds"] == ["w49 w49"]
        assert result["target"] == ["w20 w21"]
    assert len(model.asked) <= 4


def test_a_model_that_drops_the_last_token_is_known_after_one_batch() -> None:
    model = Fake("all but the last")
    generator = Generator(TOKENIZER)
    for _ in range(3):
        generator(model, batch_of(([START, 8, 9], [20])))
    assert [list(asked["input_ids"].shape) for asked in model.asked] == [[1, 3], *[[1, 4]] * 3]


@pytest.mark.parametrize(
    ("new", "pred", "truncated"),
    [
        ([30, 31, 32], "w30 w31 w32", True),
        ([30, 31, EOS], "w30 w31", False),
        ([30, EOS], "w30", False),
        ([EOS], "", False),
        ([30, START, EOS], "w30", False),
    ],
)
def test_the_end_of_an_answer(new: list[int], pred: str, truncated: bool) -> None:
    result = Generator(TOKENIZER, max_new_tokens=3)(
        Fake(answer=lambda last: new), batch_of(([8, 9], [20]))
    )
    assert (result["preds"], result["truncated"]) == ([pred], [truncated])


def test_batches_are_halved_where_the_memory_runs_out() -> None:
    model, generator = Fake(fits=2), Generator(TOKENIZER)
    batch = batch_of(*[([6, 7 + n], [20]) for n in range(7)], pixel_values=torch.arange(7))
    with pytest.warns(
        UserWarning, match=r"ran out while generating 7 answers.* at most 4"
    ) as warned:
        first = generator(model, batch)
    assert first["preds"] == [f"w{47 + n} w{47 + n}" for n in range(7)]
    assert first == generator(model, batch)
    sizes = [len(asked["input_ids"]) for asked in model.asked]
    assert sizes == [7, 4, 2, 2, 2, 1, 2, 2, 2, 1]
    assert model.asked[-1]["pixel_values"].tolist() == [6]
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("batch", "trainer", "message"),
    [
        (batch_of(([6, 7], [20])), None, "while generating an answer: use smaller validation"),
        (
            batch_of(([6, 7], [20]), ([6, 8], [20]), pixel_values=torch.zeros(5, 2)),
            None,
            "while generating 2 answers, which cannot be told apart in all inputs: use smaller",
        ),
        (
            batch_of(([6, 7], [20]), ([6, 8], [20])),
            trainer_of("FSDPStrategy"),
            "2 answers, whose parameters are spread over processes, which must all generate the",
        ),
    ],
)
def test_memory_that_cannot_be_saved(batch: dict, trainer: Any, message: str) -> None:
    with pytest.raises(torch.cuda.OutOfMemoryError, match=re.escape(message)) as caught:
        Generator(TOKENIZER)(attached(Fake(fits=0), trainer), batch)
    assert str(caught.value).endswith("CUDA out of memory. Tried to allocate 2 GiB")


def test_images_of_unlike_number_are_not_split_by_rows() -> None:
    model = Fake(fits=1)
    model.config = SimpleNamespace(image_token_id=IMAGE)
    rows = [([IMAGE, IMAGE, 6], [20]), ([6, 7, 8], [21])]
    with pytest.raises(torch.cuda.OutOfMemoryError, match="cannot be told apart"):
        Generator(TOKENIZER)(model, batch_of(*rows, pixel_values=torch.zeros(2, 3)))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.zeros(3, 4), "to return token ids for each of 1 prompts, but got (3, 4)"),
        (["text"], "for each of 1 prompts, but got <class 'list'>"),
        (torch.zeros(1, 20).long() + 50, "10 new tokens alone, but got 20 tokens a row, which do"),
    ],
)
def test_what_cannot_be_read(returned: Any, message: str) -> None:
    model = Fake()
    model.generate = lambda **inputs: returned  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Generator(TOKENIZER)(model, batch_of(([6, 7, 8], [20])))

"""Answers generated from training batches: real architectures, circumstances and options."""

import pickle
import random
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from transformers import BertConfig

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.generation import Generator
from tests.session.fake_model import Fake, Module, attached, batch_of
from tests.session.tiny_models import (
    ARCHITECTURES,
    BOS,
    END,
    ENDS,
    EOS,
    EXAMPLES,
    PAD,
    RELEASE,
    START,
    make,
    text_of,
    tokenizer,
)

BUDGET = 12
TOKENIZER = tokenizer()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_together_as_one_by_one(name: str) -> None:
    if name == "GIT" and RELEASE < (5, 18):
        pytest.skip("GIT in a batch answers otherwise than alone in transformers before 5.18")
    if name == "Gemma 3" and not hasattr(torch.distributed.fsdp, "fully_shard"):
        pytest.skip("transformers 4 wants torch 2.6 for it")
    architecture = ARCHITECTURES[name]
    model = make(architecture)
    alone = [architecture.answer(model, example, BUDGET) for example in EXAMPLES]
    assert len({len(answer) for answer in alone}) > 1, "answers too much alike to prove anything"
    model.train()
    next(model.children()).eval()  # as a frozen part of it is
    modes = [part.training for part in model.modules()]
    drawn = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    batch = architecture.training_batch(EXAMPLES)
    batch["index"], batch["task"] = torch.arange(4), ["vqa"] * 4  # nothing that the model takes
    kept = {key: value.clone() for key, value in batch.items() if key != "task"}

    result = Generator(TOKENIZER, max_new_tokens=BUDGET)(Module(model), batch)

    assert result["preds"] == list(map(text_of, alone))
    assert result["truncated"] == [len(answer) == BUDGET for answer in alone]
    assert result["target"] == [text_of(example.answer) for example in EXAMPLES]
    assert result["prompt"] == [text_of(example.prompt) for example in EXAMPLES]
    assert [part.training for part in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == drawn[1:]
    assert all(torch.equal(batch[key], value) for key, value in kept.items())


@pytest.mark.parametrize("name", ["LLaVA", "BLIP caption", "BLIP VQA"])
def test_prompts_without_labels_however_padded(name: str) -> None:
    architecture = ARCHITECTURES[name]
    model = make(architecture)
    rows = [(architecture.prompt(e)["input_ids"][0].tolist(), []) for e in EXAMPLES]
    batch = batch_of(*rows, side="left", **architecture.images(EXAMPLES))
    del batch["labels"]
    result = Generator(TOKENIZER, max_new_tokens=BUDGET)(model, batch)
    alone = [architecture.answer(model, example, BUDGET) for example in EXAMPLES]
    assert result["preds"] == list(map(text_of, alone))
    assert "target" not in result


def test_the_cache_is_used_and_the_models_own_setting_kept() -> None:
    architecture = ARCHITECTURES["LLaVA"]
    model = make(architecture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers gives it another name from 5.24 on
        model.gradient_checkpointing_enable()
    model.config.use_cache = model.config.text_config.use_cache = False
    model.generation_config.use_cache = False
    widths = []
    model.model.language_model.register_forward_hook(
        lambda module, args, kwargs, output: widths.append(kwargs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    Generator(TOKENIZER, max_new_tokens=3)(model.train(), architecture.training_batch(EXAMPLES))
    assert widths == [12, 1, 1]
    assert (model.config.use_cache, model.generation_config.use_cache) == (False, False)


def test_captions_are_asked_for_by_the_image_alone() -> None:
    architecture = ARCHITECTURES["BLIP caption"]
    model = make(architecture)
    batch = batch_of(*[([], [START, *e.answer, EOS]) for e in EXAMPLES])
    batch |= architecture.images(EXAMPLES)
    result = Generator(TOKENIZER, max_new_tokens=BUDGET)(model, batch)
    model.decoder_input_ids = BOS  # what its `generate` begins with, from the real vocabulary
    with torch.no_grad():
        rows = model.generate(batch["pixel_values"], max_new_tokens=BUDGET, do_sample=False)
    expected = [[t for t in row if t not in (PAD, *ENDS)] for row in rows[:, 1:].tolist()]
    assert result["preds"] == list(map(text_of, expected))
    assert result["target"] == [text_of(example.answer) for example in EXAMPLES]
    assert result["prompt"] == [""] * 4


def test_sampling_depends_on_the_seed_and_the_prompts_only() -> None:
    architecture = ARCHITECTURES["LLaVA"]
    model, batch = make(architecture), architecture.training_batch(EXAMPLES)

    def answers(seed: int, noise: int) -> list[str]:
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        generator = Generator(
            TOKENIZER, seed=seed, max_new_tokens=BUDGET, generate_kwargs={"do_sample": True}
        )
        preds = generator(model, batch)["preds"]
        assert torch.equal(torch.get_rng_state(), before)
        return preds

    assert answers(0, noise=1) == answers(0, noise=2) != answers(1, noise=1)


def test_special_tokens_are_kept_but_those_at_the_ends() -> None:
    fake = Fake("new", answer=lambda last: [BOS, START, 30, END, EOS])
    generator = Generator(TOKENIZER, skip_special_tokens=False)
    result = generator(fake, batch_of(([8, 9], [BOS, START, 31, END, EOS])))
    assert (result["preds"], result["target"]) == (["<start> w30 <end>"], ["<start> w31 <end>"])


@pytest.mark.parametrize(
    ("strip", "preds"),
    [(True, ["9", "", " 7"]), (False, ["<think>8?</think>\n9", "<think>8", " 7"])],
)
def test_reasoning(strip: bool, preds: list[str]) -> None:
    texts = ["<think>8?</think>\n9", "<think>8", " 7"]
    tokens = SimpleNamespace(
        pad_token_id=PAD,
        eos_token_id=EOS,
        batch_decode=lambda rows, **_: [texts[row[-1] - 48] for row in rows],
    )
    rows = [([8, 48 + n], [48 + n]) for n in range(3)]
    result = Generator(tokens, strip_reasoning=strip)(
        Fake(answer=lambda last: [last]), batch_of(*rows)
    )
    assert result["preds"] == result["target"] == preds


def test_precision_mode_and_gradients_are_those_of_a_validation() -> None:
    seen = []

    class Looking(Fake):
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            result = self.layer(torch.ones(1, 1))
            seen.append((result.dtype, result.requires_grad, result.is_inference(), self.training))
            tensors = [value for value in kwargs.values() if isinstance(value, torch.Tensor)]
            assert [tensor.is_inference() for tensor in tensors] == [False] * 3
            return super().generate(*args, **kwargs)

    module = attached(
        Looking(), pl.Trainer(precision="bf16-mixed", accelerator="cpu", logger=False)
    )
    with torch.inference_mode():  # as in `trainer.validate`
        batch = batch_of(([6, 7], [20]), pixel_values=torch.zeros(1, 3))
        Generator(TOKENIZER)(module, batch)
    assert seen == [(torch.bfloat16, False, False, False)]
    assert module.model.training


def test_modes_are_restored_after_an_error() -> None:
    model = Fake(answer=lambda last: 1 / 0)
    model.layer.eval()
    with pytest.raises(ZeroDivisionError):
        Generator(TOKENIZER)(model, batch_of(([6, 7], [20])))
    assert (model.training, model.layer.training) == (True, False)


def test_a_folder_holds_the_processor(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    for folder in (tmp_path, str(tmp_path)):
        generator = pickle.loads(pickle.dumps(Generator(folder)))
        assert generator(Fake(), batch_of(([6, 7], [20])))["preds"] == ["w47 w47"]


@pytest.mark.parametrize("name", ["folder", "bert"])  # transformers 4 guesses by the name
def test_a_folder_without_a_processor(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    message = f"or a tokenizer wrote, but got {str(folder)!r}: "
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Generator(folder)


def test_a_folder_with_a_model_alone(tmp_path: Path) -> None:
    BertConfig(vocab_size=9).save_pretrained(tmp_path)
    message = f"or a tokenizer wrote, but got {str(tmp_path)!r}: "
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Generator(tmp_path)  # which would read every answer as no text


def test_where_the_model_is() -> None:
    inner, outer = Fake(answer=lambda last: [30]), Fake(answer=lambda last: [31])

    class Several(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.first = Fake(answer=lambda last: [32])
            self.model = outer
            self.nets = nn.ModuleDict({"vlm": inner})

        def generate(self, batch: Any) -> Any:
            raise AssertionError("takes a batch, not the inputs of a model by name")

    batch = batch_of(([6, 7], [20]))
    assert Generator(TOKENIZER)(Several(), batch)["preds"] == ["w31"]
    named = Generator(TOKENIZER, model_attribute="nets.vlm")
    assert named(Several(), batch)["preds"] == ["w30"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processor": 3}, "Expected `processor` to be a processor, a tokenizer or the folder of"),
        ({"processor": "no/such/folder"}, "or a tokenizer wrote, but got 'no/such/folder'"),
        ({"max_new_tokens": 0}, "Expected `max_new_tokens` to be at least 1 or None, but got 0"),
        ({"generate_kwargs": {"max_length": 9}}, "`generate_kwargs` without 'max_length'"),
        ({"generate_kwargs": {"num_return_sequences": 2}}, "each sample has one answer"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Generator(**{"processor": TOKENIZER, **options})


def test_a_module_without_a_model() -> None:
    module = Module(nn.Linear(1, 1))
    message = r"Expected the module, its `model` .* but got a Module with model \(Linear\)"
    with pytest.raises(ConfigurationError, match=message):
        Generator(TOKENIZER)(module, {})
    with pytest.raises(ConfigurationError, match=r"Expected 'net.vlm' to be a model with a method"):
        Generator(TOKENIZER, model_attribute="net.vlm")(module, {})

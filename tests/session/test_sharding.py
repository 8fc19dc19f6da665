"""Models whose parameters are spread over processes: nobody waits for ever."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.fsdp as fsdp
from torch import nn

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.generation import Generator
from tests.processes import spawn
from tests.session.fake_model import Fake, attached, batch_of, trainer_of
from tests.session.spread_model import answer_alone
from tests.session.tiny_models import ARCHITECTURES, EXAMPLES, make, text_of, tokenizer

TOKENIZER = tokenizer()
LLAVA = ARCHITECTURES["LLaVA"]


def marked(model: Fake) -> Fake:
    """As DeepSpeed's ZeRO-3 marks what it spreads."""
    model.layer.weight.ds_id = 0  # type: ignore[attr-defined]
    return model


@pytest.mark.parametrize(
    ("model", "trainer", "synced"),
    [
        (Fake(), None, False),
        (Fake(), trainer_of("DDPStrategy"), False),
        (Fake(), trainer_of("FSDPStrategy"), True),
        (Fake(), trainer_of("FSDPStrategy", world_size=1), False),
        (Fake(), trainer_of("ModelParallelStrategy"), True),
        (Fake(), trainer_of("DeepSpeedStrategy"), False),
        (marked(Fake()), trainer_of("DeepSpeedStrategy"), True),
        (marked(Fake()), trainer_of("DeepSpeedStrategy", world_size=1), False),
    ],
)
def test_processes_that_share_parameters_step_together(
    model: Fake, trainer: Any, synced: bool
) -> None:
    Generator(TOKENIZER)(attached(model, trainer), batch_of(([6, 7], [20])))
    assert model.asked[0].get("synced_gpus", False) is synced


@pytest.mark.skipif(
    not hasattr(fsdp, "fully_shard"), reason="before torch 2.6 it needs a GPU to spread a model"
)
def test_an_answer_that_ends_early_does_not_leave_the_others_waiting(tmp_path: Path) -> None:
    model = make(LLAVA)
    alone = [LLAVA.answer(model, example, 12) for example in EXAMPLES[1:3]]
    results = spawn(answer_alone, 2, tmp_path, 12)
    assert [preds for preds, *_ in results] == [[text_of(answer)] for answer in alone]
    assert len(alone[0]) < len(alone[1])
    assert [rest for _, *rest in results] == [[len(alone[1]) + 1, True]] * 2


class FullyShardedDataParallel(nn.Module):
    """Stands for FSDP of the first kind, which needs several GPUs to be tried."""


def test_the_root_of_fsdp_is_gathered_around_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []

    class Summoned:
        def __init__(self, root: nn.Module, **options: Any) -> None:
            events.append((root, options))

        def __enter__(self) -> None:
            events.append("gathered")

        def __exit__(self, *_: object) -> None:
            events.append("spread")

    monkeypatch.setattr(
        "torch.distributed.fsdp.FullyShardedDataParallel.summon_full_params", Summoned
    )
    trainer = trainer_of("FSDPStrategy")
    trainer.strategy.model = FullyShardedDataParallel()
    model = Fake(answer=lambda last: events.append("asked") or [30])
    Generator(TOKENIZER)(attached(model, trainer), batch_of(([6, 7], [20])))
    options = {"recurse": False, "writeback": False}
    assert events == [(trainer.strategy.model, options), "gathered", "asked", "spread"]


def test_a_strategy_that_is_not_known() -> None:
    module, batch = attached(Fake(), trainer_of("PipelineStrategy")), batch_of(([6, 7], [20]))
    with pytest.raises(ConfigurationError, match=r"FSDPStrategy.* but got PipelineStrategy, of"):
        Generator(TOKENIZER)(module, batch)
    Generator(TOKENIZER, generate_kwargs={"synced_gpus": False})(module, batch)


def test_parameters_that_are_elsewhere() -> None:
    model = Fake()
    model.layer.weight = nn.Parameter(torch.empty(0))
    with pytest.raises(ConfigurationError, match=r"whole parameters.* but 'layer.weight' has no"):
        Generator(TOKENIZER)(attached(model, trainer_of("DDPStrategy")), batch_of(([6, 7], [20])))


def test_unlike_lengths_where_all_must_generate_as_often() -> None:
    batch = batch_of(([6, 7], [20]), ([8, 9, 10], [20]))
    with pytest.raises(ConfigurationError, match="Expected prompts of one length, since Fake has"):
        Generator(TOKENIZER)(attached(Fake(), trainer_of("FSDPStrategy")), batch)

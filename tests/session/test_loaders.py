"""Samples without ids, over several evaluations."""

import math
from typing import Any

import pytest
from torch.utils.data import DataLoader

from lightning_vlmeval.session.loaders import LoaderSessions
from lightning_vlmeval.session.sample_log import SampleLog
from lightning_vlmeval.session.tasks import make_metrics


def names(loader: Any, index: int, **outputs: Any) -> tuple[list[str], list[str]]:
    """The names of the samples of an evaluation, and what is said beside the values."""
    metrics, _ = make_metrics(["vqa"], ["answers"], box_format=None)
    made = LoaderSessions(metrics, ["vqa"], {}, log=SampleLog(0.5, "xyxy", 0))
    made.start([loader], [math.inf], rank=0, index=index)
    for number, batch in enumerate(loader):
        texts = [str(one) for one in batch.tolist()]
        said = {key: [f"{value}{text}" for text in texts] for key, value in outputs.items()}
        made.update(None, {"preds": texts, "target": texts, **said}, batch, number, 0)
    (evaluation,) = made.compute().values()
    assert evaluation.accounting.seen == 5
    assert made.log is not None
    return [sample["id"] for sample in made.log.gather()], made.notes()


@pytest.mark.parametrize("sampler", [None, [4, 2, 0, 1, 3]], ids=["in order", "a list"])
def test_places_of_a_fixed_order_are_names(sampler: Any) -> None:
    loader = DataLoader(range(5), batch_size=2, sampler=sampler)
    for index in (0, 1):
        assert names(loader, index) == (list("01234"), [])


def test_places_of_a_shuffled_set_are_nobodys_names() -> None:
    """The sample at a place is another one in the next evaluation: they must not be paired."""
    loader = DataLoader(range(5), batch_size=2, shuffle=True)
    first, said = names(loader, 0)
    second, _ = names(loader, 1)
    assert first == [f"evaluation0/{place}" for place in range(5)]
    assert not set(first) & set(second)
    assert said[0].startswith("samples have no ids and come in another order each time")
    named, said = names(loader, 1, id="s")
    assert (sorted(named), said) == (["s0", "s1", "s2", "s3", "s4"], [])

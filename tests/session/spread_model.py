"""A model spread by FSDP over processes without a GPU; each has an example of its own."""

import torch.distributed.fsdp as fsdp
from torch.distributed.device_mesh import init_device_mesh

from lightning_vlmeval.session.generation import Generator
from tests.session.tiny_models import ARCHITECTURES, EXAMPLES, make, tokenizer


def answer_alone(rank: int, world: int, budget: int) -> tuple[list[str], int, bool]:
    """The process's answer, how many steps it made, and whether the parameters are spread again."""
    architecture = ARCHITECTURES["LLaVA"]
    model = make(architecture)
    mesh = init_device_mesh("cpu", (world,))
    for layer in model.model.language_model.layers:
        fsdp.fully_shard(layer, mesh=mesh)
    fsdp.fully_shard(model, mesh=mesh)
    steps: list[int] = []
    model.register_forward_hook(lambda *_: steps.append(1))
    batch = architecture.training_batch([EXAMPLES[rank + 1]])
    preds = Generator(tokenizer(), max_new_tokens=budget)(model, batch)["preds"]
    spread = all(type(p).__name__ == "DTensor" for p in model.parameters())
    return preds, len(steps), spread

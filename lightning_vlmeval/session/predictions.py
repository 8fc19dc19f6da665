"""Where a batch's answers come from: the validation step, a method of the module, or generation."""

import importlib
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning_vlmeval.errors import ConfigurationError

HOOK = "vlmeval_step"
"""A module's method with this name gives the answers, if there is no `generate`."""

Generate = Callable[[Any, Any], Any]


class Predictions:
    """Asks for the answers to the batches of an evaluation, or to a fixed part of them.

    Args:
        generate: Called with the module and a batch, it returns a dict with `preds`, or the answers
            alone; a `Generator` does for any model of `transformers`. A text is the name of a
            method of the module, called with the batch, or the dotted path of such a callable. None:
            what the validation step or `vlmeval_step` returns.
        samples: How many samples of each dataloader to generate for, about: whole batches are
            drawn. None for all.
        whole_every: Generate for all samples at every evaluation whose number is a multiple of it.
        seed: Decides which batches are drawn.

    Attributes:
        seconds: Time spent in `generate` since the evaluation began.

    Raises:
        ConfigurationError: Samples are to be drawn where nothing is generated, or none of them.
    """

    def __init__(
        self,
        generate: str | Generate | None,
        samples: int | None = None,
        whole_every: int | None = None,
        seed: int = 0,
    ) -> None:
        for name, value in (("generate_samples", samples), ("generate_whole_every", whole_every)):
            if value is not None and generate is None:
                raise ConfigurationError(
                    f"Expected `generate` beside {name}={value!r}: without it the validation step "
                    f"answers every sample"
                )
            if value is not None and value < 1:
                raise ConfigurationError(f"Expected {name} to be at least 1, but got {value!r}")
        self.generate = generate
        self._samples, self._whole_every, self._seed = samples, whole_every, seed
        self.seconds = 0.0

    def draw(
        self, num_batches: float, batch_size: int | None, ranks: int, index: int
    ) -> frozenset[int] | None:
        """The batches of this rank to generate for; None for all.

        The same ones in every evaluation, so that values can be compared.

        Args:
            num_batches: How many this rank has; infinite where nobody knows.
            batch_size: Samples in each; None where nobody knows.
            ranks: Over how many the samples are spread.
            index: The evaluation's number.
        """
        if self._samples is None or (self._whole_every and index % self._whole_every == 0):
            return None
        wanted = math.ceil(self._samples / ((batch_size or 1) * ranks))
        if wanted >= num_batches:
            return None
        if not math.isfinite(num_batches):
            return frozenset(range(wanted))
        batches = range(int(num_batches))
        return frozenset(random.Random(self._seed).sample(batches, wanted))

    def ask(
        self, pl_module: Any, outputs: object, batch: Any, batch_idx: int, dataloader_idx: int
    ) -> object:
        """What the validation step returned, with the answers to a batch.

        Args:
            pl_module: The module.
            outputs: What its validation step returned.
            batch: The batch, on the module's device.
            batch_idx: Its number.
            dataloader_idx: Its dataloader's.
        """
        returned = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
        if self.generate is not None:
            start = time.perf_counter()
            answers = self._generate(pl_module, batch)
            self.seconds += time.perf_counter() - start
            # What the batch or the step says of a sample is better than what was decoded.
            said = batch if isinstance(batch, Mapping) else {}
            decoded = {key: value for key, value in answers.items() if key not in said}
            return {**decoded, **returned, "preds": answers["preds"]}
        if hasattr(pl_module, HOOK):
            answers = getattr(pl_module, HOOK)(batch, batch_idx, dataloader_idx)
            return {"loss": returned.get("loss"), **answers}
        return outputs

    def _generate(self, pl_module: Any, batch: Any) -> dict[str, Any]:
        answers = self._called(pl_module, batch)
        if isinstance(answers, Mapping) and "preds" in answers:
            return dict(answers)
        if isinstance(answers, Sequence) and not isinstance(answers, str):
            return {"preds": answers}
        raise ConfigurationError(
            f"Expected `generate` to return a list of answers, or a dict with 'preds', but got "
            f"{type(answers).__name__}"
        )

    def _called(self, pl_module: Any, batch: Any) -> Any:
        if callable(self.generate):
            return self.generate(pl_module, batch)
        name = str(self.generate)
        if callable(getattr(pl_module, name, None)):
            return getattr(pl_module, name)(batch)
        self.generate = imported(name)
        if self.generate is None:
            raise ConfigurationError(
                f"Expected `generate` to be a callable, a method of {type(pl_module).__name__} or "
                f"the dotted path of a callable, but got {name!r}"
            )
        return self.generate(pl_module, batch)


def imported(path: str) -> Callable[..., Any] | None:
    """The callable of a dotted path, as configuration files name one; None where there is none.

    Args:
        path: Such as `my_package.evaluation.generate`.
    """
    package, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if callable(found) else None

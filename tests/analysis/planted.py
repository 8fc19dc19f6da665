"""How often a diagnosis names the pattern that is there: right, wrong and undecided rates.

``python -m tests.analysis.planted`` plants each pattern in simulated validation sets, and none in
others. "right": the pattern is told (of none: nothing is); "wrong": a pattern is told that the
population does not have; "undecided": neither.
"""

import argparse

import numpy as np

from lightning_vlmeval.analysis.diagnosis import diagnose
from tests.analysis.box_worlds import Rng
from tests.analysis.worlds import WORLDS, World


def outcome(world: World, rng: Rng, n: int) -> str:
    """ "right", "wrong" or "undecided", of one evaluation."""
    found = diagnose(world.plant(rng, n)).findings
    told = {one.slug for one in found if one.kind != "undecided"}
    if told - world.also - {world.expected}:
        return "wrong"
    right = world.expected in told if world.expected is not None else True
    return "right" if right else "undecided"


def rates(world: World, n: int, trials: int, seed: int) -> dict[str, float]:
    """The share of each outcome.

    Args:
        world: The population.
        n: The samples of an evaluation.
        trials: How many evaluations.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    outcomes = [outcome(world, rng, n) for _ in range(trials)]
    return {name: outcomes.count(name) / trials for name in ("right", "wrong", "undecided")}


def main() -> None:
    """Print the rates of every world."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--worlds", nargs="*", help="names of worlds; all by default")
    parser.add_argument("--sizes", type=int, nargs="*", default=[50, 200, 1000])
    options = parser.parse_args()
    print(f"{'right / wrong / undecided':28}" + "".join(f"{f'N={n}':>20}" for n in options.sizes))
    for world in WORLDS:
        if options.worlds and world.name not in options.worlds:
            continue
        cells = [rates(world, n, options.trials, n) for n in options.sizes]
        shown = [" / ".join(f"{value:.3f}" for value in cell.values()) for cell in cells]
        print(f"{world.name:28}" + "".join(f"{cell:>23}" for cell in shown), flush=True)


if __name__ == "__main__":
    main()

"""How often the intervals hold the truth, and how often the paired test finds what is not there.

``python -m tests.analysis.calibration`` prints both, for populations of which any number of samples
can be drawn: detections (micro F1), boxes (mean IoU), sentences (BLEU), answers (exact match),
similarities (an unbounded mean), and questions about images, five to an image.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from lightning_vlmeval.analysis.comparison import Test, compare_tables
from lightning_vlmeval.analysis.intervals import Method, interval
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Floats, Table
from tests.analysis.scorers import MicroF1, Ratio

Draw = Callable[[np.random.Generator, Floats, float], Floats]

_QUESTIONS = 5


@dataclass(frozen=True)
class Population:
    """What samples are drawn from.

    Args:
        name: Printed.
        scorer: Scores them.
        key: The score looked at.
        draw: The rows of samples of this ease (0 to 1), shifted by a difference in skill.
        grouped: Whether `_QUESTIONS` samples in a row are of one image, whose ease they share.
    """

    name: str
    scorer: Scorer
    key: str
    draw: Draw
    grouped: bool = False

    def tables(
        self, rng: np.random.Generator, n: int, skills: tuple[float, ...] = (0.0,)
    ) -> list[Table]:
        """The tables of models of these skills on the same n samples.

        Args:
            rng: Draws the samples, and each model's answers.
            n: How many.
            skills: One for each model.
        """
        per_image = _QUESTIONS if self.grouped else 1
        ease = rng.beta(4, 1.2, -(-n // per_image)).repeat(per_image)[:n]
        ids = tuple(f"{i:07}" for i in range(n))
        groups = tuple(str(i // per_image) for i in range(n)) if self.grouped else ()
        return [
            Table(self.scorer.columns, ids, self.draw(rng, ease, skill), groups) for skill in skills
        ]

    @cache  # noqa: B019 (a handful of populations, as long as the process)
    def truth(self) -> float:
        """The score of very many samples."""
        table = self.tables(np.random.default_rng(99), 200_000)[0]
        return float(self.scorer.from_sums(table.rows.sum(axis=0))[self.key])


def _chance(ease: Floats, skill: float) -> Floats:
    return np.clip(ease + skill, 0, 1)


def _detections(rng: np.random.Generator, ease: Floats, skill: float) -> Floats:
    num_target = 1 + rng.poisson(1.5, len(ease))
    tp = rng.binomial(num_target, _chance(ease, skill))
    return np.stack([tp, rng.poisson(0.45, len(ease)), num_target - tp], axis=-1).astype(float)


def _boxes(rng: np.random.Generator, ease: Floats, skill: float) -> Floats:
    num_target = 1 + rng.poisson(1.5, len(ease))
    found = rng.binomial(num_target, _chance(ease, skill))
    sum_iou = np.zeros(len(ease))
    for i in range(int(found.max(initial=0))):
        sum_iou += np.where(i < found, rng.beta(8, 3, len(ease)), 0.0)
    return np.stack([sum_iou, num_target], axis=-1).astype(float)


def _sentences(rng: np.random.Generator, ease: Floats, skill: float) -> Floats:
    length = 5 + rng.poisson(6, len(ease))
    chance = _chance(ease, skill)
    correct = [rng.binomial(length, chance)]
    for order in (1, 2, 3):
        room = np.minimum(np.maximum(correct[-1] - 1, 0), length - order)
        correct.append(rng.binomial(room, 0.3 + 0.7 * chance))
    total = [length - order for order in range(4)]
    reference = np.maximum(1, length + rng.integers(-2, 4, len(ease)))
    columns = [*correct, *total, length, reference, np.ones(len(ease))]
    return np.stack(columns, axis=-1).astype(float)


def _answers(rng: np.random.Generator, ease: Floats, skill: float) -> Floats:
    right = rng.random(len(ease)) < _chance(0.2 * ease + 0.79, skill)
    return np.stack([right, np.ones(len(ease))], axis=-1).astype(float)


def _questions(rng: np.random.Generator, ease: Floats, skill: float) -> Floats:
    right = rng.random(len(ease)) < _chance(ease, skill)
    return np.stack([right, np.ones(len(ease))], axis=-1).astype(float)


def _similarities(rng: np.random.Generator, ease: Floats, skill: float) -> Floats:
    similarity = 0.7 + 0.2 * ease + rng.normal(skill, 0.05, len(ease))
    return np.stack([similarity, np.ones(len(ease))], axis=-1)


POPULATIONS = (
    Population("micro F1", MicroF1(), "f1", _detections),
    Population("mean IoU", Ratio(), "share", _boxes),
    Population("BLEU", BLEUScorer(), "bleu", _sentences),
    Population("exact match", Ratio(), "share", _answers),
    Population("similarity", Ratio(), "ratio", _similarities),
    Population("accuracy by image", Ratio(), "share", _questions, grouped=True),
)


def coverage(
    population: Population, n: int, trials: int, seed: int, method: Method = "delta"
) -> float:
    """The share of 95 % intervals that hold the truth.

    Args:
        population: Drawn from.
        n: The samples of an interval.
        trials: How many intervals.
        seed: Of the draw.
        method: The interval's.
    """
    rng = np.random.default_rng(seed)
    truth, scorer = population.truth(), population.scorer
    hits = 0
    for trial in range(trials):
        table = population.tables(rng, n)[0]
        found = interval(scorer, table, method=method, seed=trial)[population.key]
        hits += found.low <= truth <= found.high
    return hits / trials


def rejections(
    population: Population,
    n: int,
    trials: int,
    seed: int,
    skill: float = 0.0,
    method: Test = "delta",
) -> float:
    """The share of paired tests with p < 0.05; without a difference in skill all are wrong.

    Args:
        population: Drawn from.
        n: The samples of a comparison.
        trials: How many comparisons.
        seed: Of the draw.
        skill: The difference of the models.
        method: The test's.
    """
    rng = np.random.default_rng(seed)
    found = 0
    for trial in range(trials):
        a, b = population.tables(rng, n, (0.0, skill))
        result = compare_tables(
            population.scorer,
            a,
            b,
            keys=[population.key],
            method=method,
            num_resamples=1000,
            seed=trial,
        )
        found += result.differences[population.key].p_value < 0.05
    return found / trials


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    sizes = (20, 100, 200, 1000)
    print(f"{'':40}" + "".join(f"{f'N={n}':>8}" for n in sizes))
    rows: list[tuple[str, Callable[[Population, int], float]]] = [
        ("coverage", lambda p, n: coverage(p, n, trials, n)),
        ("coverage, bootstrap", lambda p, n: coverage(p, n, trials, n, "bootstrap")),
        ("rejections of nothing", lambda p, n: rejections(p, n, trials, n)),
        (
            "the same, by swaps",
            lambda p, n: rejections(p, n, trials, n, method="randomisation"),
        ),
        ("found, skill + 0.05", lambda p, n: rejections(p, n, trials, n, 0.05)),
    ]
    for title, measure in rows:
        for population in POPULATIONS:
            shares = "".join(f"{measure(population, n):8.3f}" for n in sizes)
            print(f"{title:22}{population.name:18}{shares}", flush=True)


if __name__ == "__main__":
    main()

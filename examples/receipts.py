"""Receipts read as JSON: what is wrong with a model's answers, and with which fields.

    python examples/receipts.py

36 receipts, and the answers that a model in training might give: most are right, the others have
the faults that such models make. No model, no network; a second or two.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lightning_vlmeval.functional.health import healthy_part
from lightning_vlmeval.metrics import BLEUScore, OutputHealth, StructuredOutputScore
from lightning_vlmeval.parsing.payload import CAUSES
from lightning_vlmeval.reporting.console import metric_lines

Receipt = dict[str, Any]

SHOPS = ("Corner Bakery", "Green Grocer", "Station Kiosk", "Book Nook")
GOODS = ("bread", "butter", "apples", "notebook", "coffee", "soap", "newspaper", "cheese")

SCHEMA = {
    "shop": str,
    "date": str,
    "items": [{"name": str, "count": int, "price": float}],
    "tax": str,
    "total": str,
}
COMPARATORS = {"shop": "text", "date": "date", "tax": "number", "total": "number"}


def receipts(count: int) -> list[Receipt]:
    """Receipts with two to four items each."""
    rng = np.random.default_rng(0)
    found = []
    for n in range(count):
        chosen = rng.choice(GOODS, rng.integers(2, 5), replace=False)
        items = [
            {
                "name": str(name),
                "count": int(rng.integers(1, 4)),
                "price": int(rng.integers(90, 900)) / 100,
            }
            for name in chosen
        ]
        total = sum(item["count"] * item["price"] for item in items)
        found.append(
            {
                "shop": SHOPS[n % len(SHOPS)],
                "date": f"2024-0{1 + n % 9}-{10 + n % 18}",
                "items": items,
                "tax": f"{total * 0.07:.2f} EUR",
                "total": f"{total:.2f} EUR",
            }
        )
    return found


def _changed(**changes: Callable[[Receipt], Any]) -> Callable[[Receipt], str]:
    """A fault in the values: some fields are given other ones."""
    return lambda receipt: json.dumps(
        {**receipt, **{name: change(receipt) for name, change in changes.items()}}
    )


FAULTS: dict[str, Callable[[Receipt], str]] = {
    "in a fence": lambda r: f"```json\n{json.dumps(r, indent=1)}\n```",
    "with a sentence before it": lambda r: f"Here is the receipt: {json.dumps(r)}",
    "cut off at the token limit": lambda r: json.dumps(r)[:-60],
    "a comma too many": lambda r: json.dumps(r)[:-1] + ",}",
    "Python's quotes": str,
    "no JSON at all": lambda r: f"A receipt of {r['shop']} over {r['total']}.",
    "a loop": lambda r: json.dumps(r)[:60] + '"name": "bread", ' * 30,
    "reasoning": lambda r: f"<think>The total is {r['total']}.</think>{json.dumps(r)}",
    "nothing": lambda r: "",
    "items in another order": _changed(items=lambda r: r["items"][::-1]),
    "a date written otherwise": _changed(date=lambda r: r["date"].replace("-", "/")),
    "an item made up": _changed(
        items=lambda r: [*r["items"], {"name": "bag", "count": 1, "price": 0.2}]
    ),
    "tax and total swapped": _changed(tax=lambda r: r["total"], total=lambda r: r["tax"]),
    "another currency": _changed(total=lambda r: r["total"].replace("EUR", "USD")),
    "a count as text": _changed(
        items=lambda r: [{**item, "count": str(item["count"])} for item in r["items"]]
    ),
    "no tax": lambda r: json.dumps({name: r[name] for name in r if name != "tax"}),
}


def answers(target: Sequence[Receipt]) -> tuple[list[str], list[str]]:
    """For each receipt an answer, and what is wrong with it: every other one has a fault."""
    names = list(FAULTS)
    faults = [names[n // 2 % len(names)] if n % 2 else "" for n in range(len(target))]
    return [
        FAULTS[fault](receipt) if fault else json.dumps(receipt)
        for fault, receipt in zip(faults, target, strict=True)
    ], faults


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        first, *others = (
            f"{text:<{width}}" if n == 0 else f"{text:>{width}}"
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join([first, *others]).rstrip())


def main() -> None:
    target = receipts(36)
    preds, faults = answers(target)
    ids = [f"receipt-{n:02}" for n in range(len(target))]
    structured = StructuredOutputScore(schema=SCHEMA, comparators=COMPARATORS)
    structured.update(preds, target, ids)
    bleu, health = BLEUScore(), OutputHealth()
    bleu.update(preds, [json.dumps(receipt) for receipt in target], ids)
    health.update(preds, target, ids, truncated=[fault.startswith("cut") for fault in faults])

    scores = {key: float(value) for key, value in structured.compute().items()}
    print(f"{len(ids)} receipts")
    values = {f"structured/{key}": value for key, value in scores.items()}
    values |= {f"health/{key}": float(value) for key, value in health.compute().items()}
    print("\n".join(metric_lines(values)))

    print("\nWhy answers are not JSON as a whole, and what repairs would buy")
    for cause in CAUSES:
        if scores[f"cause_{cause}"]:
            print(f"  {cause:<16}{scores[f'cause_{cause}']:6.3f}")
    gain = scores["format_compliance_lenient"] - scores["format_compliance"]
    print(f"  {'repairs':<16}{gain:+6.3f}")

    print("\nField by field")
    columns = (
        "expected",
        "recall",
        "missing_rate",
        "hallucinated_rate",
        "swapped_rate",
        "wrong_unit_rate",
    )
    head = ["field", *(name.removesuffix("_rate") for name in columns)]
    rows = [
        [path, f"{field['expected']:.0f}", *(f"{field[name]:.3f}" for name in columns[1:])]
        for path, field in structured.field_scores().items()
    ]
    print_table(head, rows)

    print("\nAll answers, and the healthy ones alone")
    for metric, key in ((structured, "field_f1"), (bleu, "bleu")):
        healthy = healthy_part(metric.table(), health.table())
        whole = float(metric.compute()[key])
        part = whole if healthy is None else metric.scorer.score(healthy)[key]
        print(f"  {key:<16}{whole:6.3f}{part:9.3f}")

    print("\nThe worst answers")
    own = structured.sample_scores()["field_f1"].tolist()
    for n in sorted(range(len(ids)), key=lambda n: own[n])[:6]:
        print(f"  {ids[n]}  field_f1 {own[n]:.3f}  {faults[n]}")


if __name__ == "__main__":
    main()

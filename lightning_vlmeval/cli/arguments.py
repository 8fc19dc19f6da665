"""The arguments of each command. Nothing heavy is imported here: --help must answer at once."""

import argparse
import math
from typing import Any

TASKS = {
    "phrase_grounding": ("grounding", "box_answers", "health"),
    "vqa": ("bleu", "meteor", "rouge", "answers", "health"),
    "freeform": ("structured", "bleu", "health"),
}
"""The metrics of each task that need no encoder."""

_SCORE = """\
FILE is a folder of a run (its last evaluation is scored), JSON lines (.jsonl, .jsonl.gz, - for
standard input), or a .json file with a list of rows or a dictionary of columns. The first of these
columns that the first row has is taken:

  prediction   prediction, preds, output, answer
  reference    reference, references, target, label, answer, answers (not the one above)
  id           id; without it the number of the row
  prompt       prompt, question
  size         size, or width and height; fed_size for formats that need it
  group, truncated

For phrase_grounding a prediction is a text with --box-format, else a list of boxes or a dictionary
of boxes and labels; so is a reference. Columns boxes and labels are the prediction where they are.
"""


def _gate(text: str) -> tuple[str, float]:
    """KEY=VALUE."""
    key, _, value = text.rpartition("=")
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if not key or math.isnan(limit):
        raise argparse.ArgumentTypeError(f"expected KEY=NUMBER, as grounding/f1=0.8, got {text!r}")
    return key, limit


def _names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _command(commands: Any, name: str, text: str, **kwargs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **kwargs,
    )
    return parser


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to exactly this file")


def add_score(commands: Any) -> None:
    """Add the command ``score``.

    Args:
        commands: What `add_subparsers` gave.
    """
    parser = _command(commands, "score", "score saved answers again", epilog=_SCORE)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--task", choices=tuple(TASKS), help="what the answers are")
    parser.add_argument(
        "--metrics",
        type=_names,
        metavar="NAME,...",
        help="instead of the task's; bertscore loads torch",
    )
    parser.add_argument("--box-format", metavar="FAMILY", help="how boxes are written: qwen3-vl")
    parser.add_argument("--iou-threshold", type=float, metavar="IOU")
    parser.add_argument("--box-coordinates", choices=("xyxy", "xywh", "cxcywh"))
    parser.add_argument("--output-format", choices=("json", "yaml", "csv"), dest="answer_format")
    parser.add_argument("--schema", metavar="FILE", help="a JSON Schema for freeform answers")
    parser.add_argument("--required-fields", type=_names, metavar="NAME,...")
    parser.add_argument("--encoder", metavar="NAME", help="BERTScore's: a folder or a model's name")
    parser.add_argument(
        "--evaluation", type=int, default=-1, metavar="N", help="of a run; -1: last"
    )
    for column in ("prediction", "reference", "id"):
        parser.add_argument(f"--{column}-column", metavar="NAME", help=f"of the {column}s")
    parser.add_argument(
        "--worst", type=int, default=0, metavar="N", help="show the N worst samples"
    )
    parser.add_argument(
        "--fail-under",
        type=_gate,
        action="append",
        default=[],
        metavar="KEY=NUMBER",
        help="exit with 1 where a score is lower, or undefined",
    )
    _add_output(parser)


def add_compare(commands: Any) -> None:
    """Add the command ``compare``.

    Args:
        commands: What `add_subparsers` gave.
    """
    parser = _command(commands, "compare", "compare two runs sample by sample: B against A")
    parser.add_argument("a", metavar="A", help="the folder of the run to compare with")
    parser.add_argument("b", metavar="B", help="the folder of the run to judge")
    for side in "ab":
        parser.add_argument(
            f"--evaluation-{side}", type=int, default=-1, metavar="N", help="-1: the last"
        )
    parser.add_argument("--metrics", type=_names, metavar="NAME,...", help="all that both have")
    parser.add_argument(
        "--primary",
        type=_names,
        metavar="KEY,...",
        help="the scores that decide, chosen beforehand",
    )
    parser.add_argument("--level", type=float, default=0.95, help="of confidence")
    parser.add_argument(
        "--test",
        choices=("delta", "randomisation"),
        default="delta",
        help="where p comes from: Student's t (default), or random swaps of A and B",
    )
    parser.add_argument("--all", action="store_true", help="show scores that did not change, too")
    parser.add_argument(
        "--fail-on-regression",
        action="store_true",
        help="exit with 1 where a primary score is worse in B",
    )
    _add_output(parser)


def add_report(commands: Any) -> None:
    """Add the command ``report``.

    Args:
        commands: What `add_subparsers` gave.
    """
    parser = _command(commands, "report", "write an HTML report of one run or several")
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument(
        "-o", "--output", default="report.html", metavar="FILE", help="write to exactly this file"
    )


def add_runs(commands: Any) -> None:
    """Add the command ``runs``.

    Args:
        commands: What `add_subparsers` gave.
    """
    parser = _command(commands, "runs", "list the runs below a folder, with their best values")
    parser.add_argument("logdir", metavar="LOGDIR")
    parser.add_argument(
        "--keys", type=_names, metavar="KEY,...", help="the values to show: val/grounding/f1"
    )
    _add_output(parser)


def add_breakdown(commands: Any) -> None:
    """Add the command ``breakdown``.

    Args:
        commands: What `add_subparsers` gave.
    """
    parser = _command(commands, "breakdown", "show on which samples a score is low")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument(
        "--by",
        choices=("phrase", "size", "relative-size", "targets", "group", "annotator", "task"),
        default="phrase",
        help="what samples, or boxes, have in common (default: phrase); sizes are COCO's",
    )
    parser.add_argument("--key", metavar="KEY", help="the score: grounding/f1")
    parser.add_argument("--evaluation", type=int, default=-1, metavar="N", help="-1: the last")
    parser.add_argument(
        "--min-samples", type=int, default=10, metavar="N", help="fewer are not scored"
    )
    _add_output(parser)

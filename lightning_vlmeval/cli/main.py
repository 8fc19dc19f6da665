"""The command ``lightning-vlmeval``: its arguments, and what becomes of errors."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from lightning_vlmeval import __version__
from lightning_vlmeval.cli.arguments import (
    add_breakdown,
    add_compare,
    add_report,
    add_runs,
    add_score,
)
from lightning_vlmeval.errors import ConfigurationError, MissingExtraError, VLMEvalError

OK, GATE, USAGE, DATA = 0, 1, 2, 3
"""The exit codes: fine; a gate failed; wrong arguments; data that cannot be read or compared."""

_CODES = """\
exit codes: 0 fine, 1 a gate failed (--fail-under, --fail-on-regression), 2 wrong arguments,
3 data that cannot be read or compared
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all arguments."""
    parser = argparse.ArgumentParser(
        prog="lightning-vlmeval",
        description="Scores what a vision-language model answered, without the model.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_score, add_compare, add_breakdown, add_report, add_runs):
        add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; None for the process's own.

    Returns:
        The exit code.
    """
    args = make_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a sign shows its number
            stream.reconfigure(errors="backslashreplace")
    try:
        # A command is loaded when it is called, so that --help answers at once.
        command = importlib.import_module(f"lightning_vlmeval.cli.{args.command}")
        passed: bool = command.run(args)
        sys.stdout.flush()
    except (ConfigurationError, MissingExtraError) as error:
        return _say(error, USAGE)
    except VLMEvalError as error:
        return _say(error, DATA)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130
    return OK if passed else GATE


def _say(error: Exception, code: int) -> int:
    text = importlib.import_module("lightning_vlmeval.cli.output").shown(str(error))
    print(f"lightning-vlmeval: {text}", file=sys.stderr)
    return code

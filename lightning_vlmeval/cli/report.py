"""``lightning-vlmeval report``: an HTML page about one run or several."""

import argparse
import importlib
import os
from pathlib import Path

from lightning_vlmeval.cli.output import shown
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.runs.run import Run


def run(args: argparse.Namespace) -> bool:
    """Write the report.

    Args:
        args: The arguments.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    runs = [Run(path) for path in args.runs]
    path = Path(os.path.realpath(args.output))
    # The page's templates are needed by this command alone.
    report = importlib.import_module("lightning_vlmeval.reporting.report")
    try:
        report.write_report(runs, path)
    except OSError as error:
        raise ConfigurationError(f"{args.output}: cannot be written: {error.strerror}") from None
    print(f"{shown(args.output)}: {path.stat().st_size / 1e6:.1f} MB")
    return True

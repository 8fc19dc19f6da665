"""``python -m lightning_vlmeval`` is the command ``lightning-vlmeval``."""

import sys

from lightning_vlmeval.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

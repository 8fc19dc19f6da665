"""Settings of all tests: offline, one thread (distributed tests start several processes)."""

import os
from importlib.metadata import version

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("untimed", deadline=None)  # a busy machine is not a failure
settings.load_profile("untimed")

collect_ignore = []
if tuple(map(int, version("transformers").split(".")[:2])) < (5, 6):
    # The demo's model is made with classes of transformers 5.6, the extra's lowest version.
    collect_ignore += [
        f"lightning_vlmeval/demo/{name}.py" for name in ("architecture", "train_checkpoint")
    ]

"""The callback extends the `Callback` of each Lightning package that is loaded before it.

Up to 2.5 a Trainer refuses a callback of the other package, and tests here use both.
"""

import lightning.pytorch
import pytorch_lightning

__all__ = ["lightning", "pytorch_lightning"]

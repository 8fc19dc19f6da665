"""The entry point of TensorBoard's tab "VLM Eval", which no fault of ours may turn into TensorBoard's.

TensorBoard loads every entry point of its group without a guard: an error here would stop every
TensorBoard of the environment. So this module imports TensorBoard alone, and the tab itself is made
behind a guard, when TensorBoard starts.
"""

import importlib
import logging
from typing import Any

from tensorboard.plugins import base_plugin


class VLMEvalLoader(base_plugin.TBLoader):  # type: ignore[misc]  # TensorBoard has no hints
    """Makes the tab, or does without it."""

    def load(self, context: Any) -> Any:
        """The tab; None where it cannot be made, which TensorBoard takes for no tab.

        Args:
            context: What TensorBoard gives its tabs.
        """
        try:
            module = importlib.import_module("lightning_vlmeval.reporting.tensorboard_tab")
            return module.VLMEvalTab(context)
        except Exception:  # whatever it is, TensorBoard must start
            logging.getLogger(__name__).exception("The tab 'VLM Eval' is left out")
            return None

"""TensorBoard's tab "VLM Eval": the report's viewer over all samples, while the run goes on."""

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from lightning_vlmeval.reporting.run_folders import RefusedError, RunFolder, run_folders
from lightning_vlmeval.runs.directions import better

with warnings.catch_warnings():  # a package that TensorBoard carries warns of itself
    warnings.simplefilter("ignore", DeprecationWarning)
    plugin_util = importlib.import_module("tensorboard.plugin_util")

PLUGIN = "vlmeval"
"""What marks a run of TensorBoard's that has the tab."""

_STATIC = {
    "index.js": "text/javascript",
    "viewer.js": "text/javascript",
    "summary.js": "text/javascript",
    "ranking.js": "text/javascript",
    "card.js": "text/javascript",
    "answer.js": "text/javascript",
    "chart.js": "text/javascript",
    "dom.js": "text/javascript",
    "viewer.css": "text/css",
}
_logger = logging.getLogger(__name__)

Application = Callable[..., Any]


class VLMEvalTab(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard has no hints
    """The tab. A run is shown if its event file has our mark, and read from the files beside it.

    Args:
        context: What TensorBoard gives its tabs.
    """

    plugin_name = PLUGIN

    def __init__(self, context: Any) -> None:
        self._data = context.data_provider
        self._roots = _roots(context)

    def get_plugin_apps(self) -> dict[str, Application]:
        """What answers each address."""
        answers = {
            "/runs": self._runs,
            "/evaluations": self._evaluations,
            "/lines": self._lines,
            "/image": self._image,
        }
        answers |= {f"/{name}": self._static for name in _STATIC}
        return {path: _application(answer) for path, answer in answers.items()}

    def frontend_metadata(self) -> Any:
        """The tab's name and its script."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="VLM Eval")

    def is_active(self) -> bool:
        """False: TensorBoard itself finds the runs that have our mark."""
        return False

    def _marked(self, request: Any) -> list[str]:
        """The runs that have our mark, the only ones whose files are read."""
        found = self._data.list_tensors(
            plugin_util.context(request.environ),
            experiment_id=plugin_util.experiment_id(request.environ),
            plugin_name=PLUGIN,
        )
        return sorted(found or {})

    def _folders(self, request: Any) -> Iterator[tuple[str, str, RunFolder]]:
        for run in self._marked(request):
            path = self._path(run)
            for name in run_folders(path):
                yield run, name, RunFolder(path, name)

    def _path(self, run: str) -> str:
        """The folder of a run that TensorBoard lists."""
        if "" in self._roots:
            return self._roots[""] if run == "." else f"{self._roots['']}/{run}"
        name, _, rest = run.partition("/")
        if name not in self._roots:
            raise RefusedError(404, "no such run")
        return self._roots[name] if rest in ("", ".") else f"{self._roots[name]}/{rest}"

    def _asked(self, request: Any) -> RunFolder:
        run = request.args.get("run", "")
        if run not in self._marked(request):
            raise RefusedError(404, "no such run")
        return RunFolder(self._path(run), request.args.get("folder", ""))

    def _runs(self, request: Any) -> Any:
        found = []
        for run, folder, files in self._folders(request):
            indices = files.indices("evals")
            if indices:
                found.append(
                    {
                        "run": run,
                        "folder": folder,
                        "name": run if folder == PLUGIN else f"{run} ({folder})",
                        "indices": indices,
                        "samples": files.indices("samples"),
                        "version": files.version(indices),
                    }
                )
        return http_util.Respond(request, found, "application/json")

    def _evaluations(self, request: Any) -> Any:
        summaries = self._asked(request).summaries()
        keys = {str(key) for one in summaries for key in one.get("values") or {}}
        short = {key.split("/", 1)[-1] for key in keys}  # as a sample's own scores are called
        ways = {key: way for key in keys | short if (way := better(key)) != "higher"}
        found = {"evaluations": summaries, "directions": ways}
        return http_util.Respond(request, found, "application/json")

    def _lines(self, request: Any) -> Any:
        kind, index = request.args.get("kind", ""), request.args.get("index", "")
        data = self._asked(request).lines(kind, index)
        return http_util.Respond(request, data, "text/plain", content_encoding="gzip")

    def _image(self, request: Any) -> Any:
        data = self._asked(request).image(request.args.get("name", ""))
        return http_util.Respond(request, data, "image/jpeg", expires=86400)

    def _static(self, request: Any) -> Any:
        name = request.path.rpartition("/")[2]
        file = resources.files("lightning_vlmeval.reporting") / "static" / name
        return http_util.Respond(request, file.read_text(encoding="utf-8"), _STATIC[name])


def _roots(context: Any) -> dict[str, str]:
    """The log folders by name, "" where there is one: ``--logdir``, or ``--logdir_spec``."""
    if context.logdir:
        return {"": context.logdir.rstrip("/") or "/"}
    spec = getattr(context.flags, "logdir_spec", None) or ""
    named = (part.partition(":") for part in spec.split(",") if part)
    return {name: path.rstrip("/") for name, colon, path in named if colon}


def _application(answer: Callable[[Any], Any]) -> Application:
    """An answer as TensorBoard calls it; errors are plain text without a word of the request."""

    def respond(request: Any) -> Any:
        try:
            return answer(request)
        except RefusedError as refused:
            code, text = refused.code, refused.text
        except Exception:  # a fault of the tab's is told in the log, and no more
            _logger.exception("The tab 'VLM Eval' cannot answer")
            code, text = 500, "cannot be read; TensorBoard's log says why"
        return http_util.Respond(request, text, "text/plain", code=code)

    application: Application = wrappers.Request.application(respond)
    return application

"""The widget: what the page shows are its traits, and what it is told are messages of the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"the playground needs {error.name}: pip install 'open-nsfw-theano[playground]'", name=error.name
    ) from error

from nsfw_experiments.playground.worker import Worker

_HERE = Path(__file__).parent
#: The page in the browser, one noun a file; together they are one script.
SCRIPTS = ("elements", "scale", "source", "scored", "inversion", "painting", "fragility", "page")
#: Bytes of a file that the page takes.
LARGEST_FILE = 64 << 20
#: What the page is called, where it is not alive.
PREVIEW = "The playground: a photograph with its score, and a map of where it comes from"
BEGIN_WITH = "coffee.jpg"


def _front(name: str) -> str:
    return (_HERE / "front" / name).read_text(encoding="utf-8")


class Page(anywidget.AnyWidget):
    """The page. Nothing but the widget is made at first, so that it is there at once; all else is the worker's.

    Each panel's state is a trait, see `nsfw_experiments.playground.panel`. The browser sends messages whose "do" names
    one of the methods `_do_...`, with its arguments.

    Attributes
    ----------
    worker : Worker

    Examples
    --------
    >>> page = Page()                                                                   # doctest: +SKIP
    """

    _esm = "\n".join(_front(f"{name}.js") for name in SCRIPTS)
    _css = _front("page.css")

    markup = traitlets.Unicode(_front("page.html")).tag(sync=True)
    largest_file = traitlets.Int(LARGEST_FILE).tag(sync=True)
    network = traitlets.Dict({"error": "", "ready": False}).tag(sync=True)
    examples: Any = traitlets.List([]).tag(sync=True)
    scored = traitlets.Dict({}).tag(sync=True)
    inversion = traitlets.Dict({}).tag(sync=True)
    painting = traitlets.Dict({}).tag(sync=True)
    fragility = traitlets.Dict({}).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.worker = Worker(self._fail)
        self._panels: dict[str, Any] = {}
        self._parts: list[bytes] = []
        self.on_msg(self._obey)
        self.worker.do("network", self._begin)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; and a picture of it, for where there is no kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})  # None where nothing can show a widget
        return {**data, "image/jpeg": (_HERE / "preview.jpg").read_bytes(), "text/plain": PREVIEW}, metadata

    def _begin(self) -> None:
        """Make what takes seconds to be imported; then show the first picture."""
        from nsfw_experiments.playground.examples import example, thumbnails

        self.examples = list(thumbnails())
        from nsfw_experiments.playground.fragility import FragilityPanel
        from nsfw_experiments.playground.inversion import InversionPanel
        from nsfw_experiments.playground.painting import PaintingPanel
        from nsfw_experiments.playground.scored import ScoredPanel

        panels = {
            "scored": ScoredPanel,
            "inversion": InversionPanel,
            "painting": PaintingPanel,
            "fragility": FragilityPanel,
        }
        self._panels = {name: panel(self._shower(name)) for name, panel in panels.items()}
        self._panels["scored"].choose(example(BEGIN_WITH), BEGIN_WITH)
        self.network = {"error": "", "ready": True}

    def _shower(self, panel: str) -> Callable[[dict[str, Any]], None]:
        return lambda state: self.set_trait(panel, state)

    def _fail(self, name: str, error: Exception) -> None:
        """Show what went wrong where it was asked for; before there are panels, above all."""
        panel = "scored" if name == "explanation" else name
        if panel in self._panels:
            self._panels[panel].fail(error)
        else:
            self.network = {"error": str(error) or type(error).__name__, "ready": False}

    def _obey(self, widget: object, message: dict[str, Any], buffers: list[Any]) -> None:
        self.send({"heard": message.get("number")})
        arguments = {name: value for name, value in message.items() if name not in ("do", "number")}
        method = getattr(self, f"_do_{message.get('do')}", None)
        if method is not None:
            method(*map(bytes, buffers), **arguments)

    def _do_hello(self) -> None:
        """Nothing: that it was heard is the answer."""

    def _do_choose(self, name: str) -> None:
        from nsfw_experiments.playground.examples import example

        self._choose(lambda: example(name), name)

    def _do_upload(self, part: bytes, name: str, last: bool, first: bool) -> None:
        """Take a part of a file: as a whole it might be too large for a message."""
        if first:
            self._parts.clear()
        self._parts.append(part)
        if last:
            source = b"".join(self._parts)
            self._parts.clear()
            self._choose(lambda: source, name)

    def _choose(self, source: Callable[[], bytes], name: str) -> None:
        self._do_stop()
        self.worker.drop("explanation")
        self.worker.do("scored", lambda: self._choose_now(source(), name))

    def _choose_now(self, source: bytes, name: str) -> None:
        scored = self._panels["scored"]
        before = scored.source
        scored.choose(source, name)
        if scored.source != before:
            self._panels["inversion"].clear()
            self._panels["fragility"].clear()

    def _do_explain(self, method: str) -> None:
        self.worker.do("explanation", lambda: self._panels["scored"].explain(method))

    def _do_slide(self, target: float) -> None:
        if self._source is None:
            return
        inversion, source = self._panels["inversion"], self._source
        inversion.target = target
        self.worker.do("inversion", lambda: inversion.slide(source))

    def _do_paint(self, shapes: str, aim: str, anew: bool) -> None:
        painting, source = self._panels["painting"], self._source

        def paint() -> Any:
            if anew:
                painting.discard()
            return painting.paint(shapes, aim, source)

        self.worker.do("painting", paint)

    def _do_measure(self) -> None:
        if self._source is None:
            return
        files = {"the picture": self._source}
        if self._panels["inversion"].saved is not None:
            files["its changed copy"] = self._panels["inversion"].saved
        self.worker.do("fragility", lambda: self._panels["fragility"].measure(files))

    def _do_stop(self) -> None:
        """End what runs, at its next step."""
        self.worker.drop("inversion", "painting", "fragility")
        for name in ("inversion", "painting"):
            if name in self._panels:
                self._panels[name].stop()

    def _do_save(self, what: str) -> None:
        """Send a file to the browser, which saves it."""
        if what == "inversion":
            file, name = self._panels["inversion"].saved, "changed.png"
        else:
            file, name = self._panels["painting"].file(what), f"painting.{what}"
        if file is not None:
            self.send({"file": name}, [file])

    @property
    def _source(self) -> bytes | None:
        return self._panels["scored"].source if self._panels else None


def playground() -> Page:
    """Make the page; a notebook shows it.

    Returns
    -------
    Page

    Examples
    --------
    >>> playground()                                                                    # doctest: +SKIP
    """
    return Page()

"""The picture that is played with: its score, and what in it raises and lowers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nsfw_experiments.explanation import METHODS, explain
from nsfw_experiments.inverse.appearance import Appearance
from nsfw_experiments.playground.encoding import shown
from nsfw_experiments.playground.panel import Panel, State
from nsfw_model.picture import PictureError, open_picture
from open_nsfw import nsfw_score


class ScoredPanel(Panel):
    """A picture, its score, and its explanation.

    Parameters
    ----------
    show : callable
        See `Panel`.

    Attributes
    ----------
    source : bytes or None
        The picture's file; None before the first. One that cannot be scored does not take its place.

    Examples
    --------
    >>> from pathlib import Path
    >>> panel = ScoredPanel(lambda state: None)
    >>> panel.choose(Path("img/coffee.jpg").read_bytes(), "coffee.jpg")
    >>> round(panel.state["score"], 3), panel.state["method"]
    (0.013, 'class-activation-map')
    """

    def __init__(self, show: Callable[[State], object]):
        super().__init__(show)
        self.source: bytes | None = None
        self.state |= {"running": False, "methods": list(METHODS), "method": "", "wanted": "", "choices": 0}

    def choose(self, source: bytes, name: str) -> None:
        """Score another picture, and explain it.

        Parameters
        ----------
        source : bytes
            Its file.
        name : str
            What it is called.
        """
        # The same file, chosen again, is a change too, which the page waits for
        self.state = {**self.state, "choices": self.state["choices"] + 1}
        try:
            score = nsfw_score(source)
            picture = open_picture(source)
        except PictureError as error:
            self.fail(f"{name}: {_reason(error)}")
            return
        self.source = source
        self.update(
            name=name,
            width=picture.width,
            height=picture.height,
            score=score,
            image=shown(picture, **self._looks()),
            error="",
            **self._explained(next(iter(METHODS))),
        )

    def explain(self, method: str) -> None:
        """Explain the picture by another method.

        Parameters
        ----------
        method : str
            One of `nsfw_experiments.explanation.METHODS`.
        """
        if self.source is None:
            return
        self.update(running=True, wanted=method)
        self.update(**self._explained(method))

    def _explained(self, method: str) -> State:
        assert self.source is not None
        explanation = explain(self.source, method)
        map_image = shown(explanation.overlay(), **self._looks())
        return {"method": method, "wanted": method, "map": map_image, "limit": explanation.limit, "running": False}

    def _looks(self) -> dict[str, Any]:
        """A phone's photograph is shown upright, though the network looks at the pixels as they are stored."""
        return Appearance.of(self.source).saving() if self.source else {}


def _reason(error: PictureError) -> str:
    """What the error says, without the name that it gives to bytes."""
    return str(error).partition(": ")[2] or str(error)

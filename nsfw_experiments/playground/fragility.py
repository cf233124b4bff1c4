"""How fragile the scores of a picture and of its changed copy are under changes that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Generator

from nsfw_experiments.inverse.stability import Fragility, fragility
from nsfw_experiments.playground.panel import Panel, State


class FragilityPanel(Panel):
    """The scores of one picture or two after each transformation.

    Parameters
    ----------
    show : callable
        See `Panel`.

    Examples
    --------
    >>> from pathlib import Path
    >>> panel = FragilityPanel(lambda state: None)
    >>> for _ in panel.measure({"as it is": Path("img/coffee.jpg").read_bytes()}):
    ...     pass
    >>> [report["label"] for report in panel.state["reports"]], len(panel.state["reports"][0]["scores"])
    (['as it is'], 23)
    """

    def __init__(self, show: Callable[[State], object]):
        super().__init__(show)
        self.clear()

    def clear(self) -> None:
        """Forget the reports: there is another picture."""
        self.state = {"error": "", "running": False, "reports": []}
        self.update()

    def measure(self, files: dict[str, bytes]) -> Generator[None, None, None]:
        """Transform pictures, and score them again.

        Parameters
        ----------
        files : dict of str to bytes
            Pictures by what they are called on the page.

        Yields
        ------
        None
            After each picture.
        """
        self.update(running=True, error="", reports=[])
        try:
            for label, file in files.items():
                self.update(reports=[*self.state["reports"], _report(label, fragility(file))])
                yield
        finally:
            self.update(running=False)


def _report(label: str, found: Fragility) -> State:
    scores = [{"name": name, "score": score} for name, score in found.scores.items()]
    return {"label": label, "score": found.score, "number": found.number, "scores": scores}

"""A painting that evolves, live: towards a high score, or towards a picture."""

from __future__ import annotations

from collections.abc import Callable, Generator

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import FitnessFunction, NsfwLogit, Psnr
from nsfw_experiments.evolution.painting import render, to_svg
from nsfw_experiments.evolution.primitives import primitive_named
from nsfw_experiments.evolution.strategies import compact_toolbox, least_squares_toolbox
from nsfw_experiments.playground.encoding import exact
from nsfw_experiments.playground.pace import Pace
from nsfw_experiments.playground.panel import Panel, State

SHAPES = ("circles", "triangles")
#: What a painting may strive for: a score of 1, or to be like the picture.
AIMS = ("score", "picture")
COUNT = 50
#: No painting is much better than this, by its score.
ENOUGH = 0.9999


class PaintingPanel(Panel):
    """A painting of translucent shapes.

    Parameters
    ----------
    show : callable
        See `Panel`.

    Examples
    --------
    >>> from pathlib import Path
    >>> panel = PaintingPanel(lambda state: None)
    >>> steps = panel.paint("circles", "picture", Path("img/coffee.jpg").read_bytes())
    >>> for _ in range(3):
    ...     next(steps)
    >>> steps.close()
    >>> panel.state["generation"], panel.state["label"]
    (2, 'PSNR')
    """

    def __init__(self, show: Callable[[State], object]):
        super().__init__(show)
        self._about: tuple[str, str, bytes | None] | None = None
        self._evolution: Evolution | None = None
        self._seed = 0
        self._stopped = False
        self.state |= {"running": False, "shapes": list(SHAPES), "aims": list(AIMS)}

    def paint(self, shapes: str, aim: str, target: bytes | None) -> Generator[None, None, None]:
        """Go on with the painting; begin another where shapes, aim or target are others.

        Parameters
        ----------
        shapes : {"circles", "triangles"}
        aim : {"score", "picture"}
        target : bytes or None
            The picture to be like, where that is the aim.

        Yields
        ------
        None
            After each generation.

        Raises
        ------
        ValueError
            If there is no picture to be like.
        """
        about = shapes, aim, target if aim == "picture" else None
        if self._evolution is None or about != self._about:
            self._evolution, self._about = self._begun(*about), about
        evolution, pace = self._evolution, Pace()
        self._stopped = False
        self.update(running=True, error="", aim=aim, shape=shapes)
        try:
            while not self._stopped and not (evolution.hall_of_fame and self._is_enough(evolution)):
                evolution.step()
                if pace.is_due():
                    self._show_best(evolution)
                yield
        finally:
            self._show_best(evolution)
            self.update(running=False)

    def stop(self) -> None:
        """End `paint` after its generation. Any thread may call it."""
        self._stopped = True

    def discard(self) -> None:
        """Let the next `paint` begin anew, with other random numbers."""
        self._evolution = None

    def file(self, form: str) -> bytes | None:
        """Give the best painting so far.

        Parameters
        ----------
        form : {"png", "svg"}

        Returns
        -------
        bytes or None
            None where nothing was painted.
        """
        evolution = self._evolution
        if evolution is None or not evolution.hall_of_fame:
            return None
        best, primitive = evolution.best, evolution.toolbox.primitive
        return to_svg(best, primitive).encode() if form == "svg" else exact(render(best, primitive))

    def _begun(self, shapes: str, aim: str, target: bytes | None) -> Evolution:
        if aim == "picture" and target is None:
            raise ValueError("Choose a picture first: it is what the painting is to be like.")
        self._seed += 1
        fitness: FitnessFunction = NsfwLogit() if target is None else Psnr(target)
        make_toolbox = compact_toolbox if target is None else least_squares_toolbox
        return Evolution(make_toolbox(primitive_named(shapes), COUNT, fitness, self._seed))

    def _is_enough(self, evolution: Evolution) -> bool:
        return evolution.toolbox.fitness.label != Psnr.label and evolution.best_display_value >= ENOUGH

    def _show_best(self, evolution: Evolution) -> None:
        if not evolution.hall_of_fame:  # stopped before the first generation
            return
        self.update(
            image=exact(render(evolution.best, evolution.toolbox.primitive)),
            value=evolution.best_display_value,
            label=evolution.toolbox.fitness.label,
            generation=evolution.generation,
            evaluations=evolution.evaluations,
        )

"""What an inverse search reports: each step while it runs, and a record of its result."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nsfw_experiments.display import figures, never_raises, png
from nsfw_experiments.inverse.comparison import comparison

if TYPE_CHECKING:
    from nsfw_experiments.inverse.composition import Composition
    from nsfw_experiments.inverse.eot import Transformation


@dataclass(frozen=True)
class Step:
    """One evaluation of a search.

    Attributes
    ----------
    evaluation : int
        Counted from 1, which is the original.
    score : float
        Of `pixels`, through the real preprocessing; in robust mode the worst over the transformations tried.
    psnr : float
        Of `pixels`, in dB, transparent or not.
    best_psnr : float or None
        Of the best picture so far; None before the goal is first reached or passed.
    pixels : ndarray of uint8, shape (height, width, 3), or None
        None in a history, where they are neither the original's nor the best.
    best : bool
        Whether this was the best picture so far: the closest to the target, and of those within its tolerance the one
        with the smallest change.
    """

    evaluation: int
    score: float
    psnr: float
    best_psnr: float | None
    pixels: np.ndarray | None = field(repr=False, compare=False)
    best: bool = False


@dataclass(frozen=True)
class Record:
    """What came out of `inverse`; scores are those of the 8-bit picture, by `open_nsfw.nsfw_score`.

    Attributes
    ----------
    target, tolerance : float
    start_score, final_score : float
        In 0..1.
    iterations : int
        The budget, as given to `inverse`.
    evaluations : int
        Pictures that the network was given, with or without gradient.
    first_reached : int or None
        The evaluation at which the goal was first reached or passed, however far.
    l2 : float
        Euclidean norm of the difference, in grey levels.
    linf : int
        Largest difference of a value.
    psnr, ssim : float
        Of the result, as it is shown on black: what is transparent does not count. See
        `nsfw_experiments.image_metrics`.
    mean_shift : float
        Mean of result minus original.
    robustness_grid : dict of Transformation to float, or None
        In robust mode, the score after each transformation, see `nsfw_experiments.inverse.eot.robustness_grid`.
    history : list of Step
        With the pixels of the original and of the best only.
    interrupted : bool
        Whether Ctrl-C ended the search, or `Inversion.stop`.
    pixels : ndarray of uint8, shape (height, width, 3), or None
        The result's; a notebook shows them beside the original's.
    wild : dict of Composition to float, or None
        In robust mode, the score after each of what else happens to pictures, required or not, see
        `nsfw_experiments.inverse.wild.wild_scores`.
    """

    target: float
    tolerance: float
    start_score: float
    final_score: float
    iterations: int
    evaluations: int
    first_reached: int | None
    l2: float
    linf: int
    psnr: float
    ssim: float
    mean_shift: float
    robustness_grid: dict[Transformation, float] | None = field(repr=False)
    history: list[Step] = field(repr=False)
    interrupted: bool = False
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)
    wild: dict[Composition, float] | None = field(default=None, repr=False)

    def meets(self, score: float) -> bool:
        """Tell whether a score is what was asked for.

        It has to be within the tolerance of the target; in robust mode it may also lie beyond it, as seen
        from the start.

        Parameters
        ----------
        score : float
            In 0..1.

        Returns
        -------
        bool
        """
        near = abs(score - self.target) <= self.tolerance
        beyond = score > self.target if self.target > self.start_score else score < self.target
        return near or (self.robustness_grid is not None and beyond)

    @property
    def reached(self) -> bool:
        """Whether the final score is what was asked for, in robust mode after every required transformation too."""
        in_the_grid = [score for tried, score in (self.robustness_grid or {}).items() if tried.required]
        in_the_wild = [score for tried, score in (self.wild or {}).items() if tried.required]
        return all(map(self.meets, [self.final_score, *in_the_grid, *in_the_wild]))

    @property
    def survival(self) -> dict[Transformation, float] | None:
        """Deprecated: `robustness_grid`."""
        warnings.warn("Record.survival is now Record.robustness_grid", DeprecationWarning, stacklevel=2)
        return self.robustness_grid

    @never_raises
    def _repr_png_(self) -> bytes | None:
        return png(self._comparison) if self._comparison else None

    @never_raises
    def _repr_html_(self) -> str | None:
        return figures(self._comparison, str(self))

    @property
    def _comparison(self) -> list[tuple[Image.Image, str]]:
        original = self.history[0].pixels if self.history else None
        if original is None or self.pixels is None:
            return []
        return comparison(original, self.pixels, (self.start_score, self.final_score))

    @property
    def _first(self) -> str:
        """When the goal was first reached. A search's first long steps may well pass it, and end far beyond."""
        if self.first_reached is None:
            return "never met"
        [first, *_] = [step for step in self.history if step.evaluation == self.first_reached]
        return f"first {'met' if self.meets(first.score) else 'passed'} at evaluation {self.first_reached}"

    @property
    def _difference(self) -> str:
        if self.linf:
            return (
                f"PSNR {self.psnr:.2f} dB, SSIM {self.ssim:.5f}, L2 {self.l2:.1f},"
                f" Linf {self.linf}, mean shift {self.mean_shift:+.4f}"
            )
        return "none" if self.reached else "none: no change that was tried came closer to the target"

    def __str__(self) -> str:
        reached = "reached" if self.reached else "NOT reached"
        return (
            f"score       {self.start_score:.6f} -> {self.final_score:.6f}"
            f" (target {self.target:g} +-{self.tolerance:g} {reached}, {self._first})\n"
            f"difference  {self._difference}\n"
            f"effort      {self.evaluations} evaluations of the network"
        )

"""Callbacks of a run: progress in a terminal, a live figure in a notebook, pictures and an animation afterwards.

A callback is called with the `Evolution` after each generation::

    evolution.run(200, callbacks=[Snapshots("out")])
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps
from tqdm.auto import tqdm

from nsfw_experiments.display import figures, never_raises, png, reduced, strip
from nsfw_experiments.evolution.fitness import display_value
from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.run import Evolution
from nsfw_experiments.evolution.strategies import ignore
from nsfw_experiments.live_figure import LiveFigure
from nsfw_model.checks import check_whole
from nsfw_model.outputs import save_picture
from theano_compat.deprecation import deprecated_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__getattr__ = deprecated_names(__name__, {"LiveView": f"{__name__}:LiveEvolution"})


class ProgressBar(tqdm):
    """A progress bar with the best painting's fitness; shown in terminals and notebooks only.

    Parameters
    ----------
    generations : int
        Generations that the run is to have.

    Examples
    --------
    >>> with ProgressBar(200) as progress_bar:                        # doctest: +SKIP
    ...     evolution.run(200, callbacks=[progress_bar])
    """

    def __init__(self, generations: int):
        super().__init__(total=generations, unit="generation", disable=None)

    def __call__(self, evolution: Evolution) -> None:
        best = f"{evolution.toolbox.fitness.label} {evolution.best_display_value:.6g}"
        self.set_postfix_str(f"{best}, {evolution.evaluations} evaluations", refresh=False)
        self.update(evolution.generation - self.n)


class Snapshots:
    """A PNG of the best painting every so many generations, named after the generation.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.
    every : int
        Generations from one picture to the next.

    Raises
    ------
    ValueError
        If `every` is no whole number of at least 1.

    Examples
    --------
    >>> evolution.run(200, callbacks=[Snapshots("out", every=20)])    # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, every: int = 10):
        check_whole("every", every, least=1)
        self.folder = Path(folder)
        self.every = every

    def __call__(self, evolution: Evolution) -> None:
        if evolution.generation % self.every == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            picture = render(evolution.best, evolution.toolbox.primitive)
            save_picture(picture, self.folder / f"{evolution.generation:06d}.png")

    def paths(self) -> list[Path]:
        """List the pictures, oldest first.

        Returns
        -------
        list of Path
        """
        pictures = (path for path in self.folder.glob("*.png") if re.fullmatch(r"\d{6,}", path.stem))
        return sorted(pictures, key=lambda path: int(path.stem))


#: In milliseconds: the least time that an animation moves and that each of its pictures is shown, and its rest.
MOVING, SHOWN, REST = 4000, 80, 2000


class Animation:
    """The best painting every so many generations and at the end, with its fitness below, as a notebook shows it.

    Parameters
    ----------
    every : int
        Generations from one picture to the next.

    Raises
    ------
    ValueError
        If `every` is no whole number of at least 1.

    Examples
    --------
    >>> animation = Animation(every=20)
    >>> evolution.run(200, callbacks=[animation])                     # doctest: +SKIP
    >>> animation                                                     # doctest: +SKIP
    """

    def __init__(self, every: int = 10):
        check_whole("every", every, least=1)
        self.every = every
        self._frames: dict[int, Image.Image] = {}
        self._evolution: Evolution | None = None

    def __call__(self, evolution: Evolution) -> None:
        self._evolution = evolution
        if evolution.generation % self.every == 0:
            self._frames[evolution.generation] = _captioned(evolution)

    def frames(self) -> list[Image.Image]:
        """Give the pictures, oldest first, all of one size.

        Returns
        -------
        list of PIL.Image.Image
        """
        if self._evolution is None:
            return []
        frames = {**self._frames, self._evolution.generation: _captioned(self._evolution)}
        size = max(frame.size for frame in frames.values())  # captions may be wider than paintings
        return [ImageOps.pad(frame, size, color="white", centering=(0, 0)) for frame in frames.values()]

    @never_raises
    def _repr_png_(self) -> bytes | None:
        return png([(self.frames()[-1], "")]) if self._evolution else None

    @never_raises
    def _repr_html_(self) -> str:
        if self._evolution is None:
            return figures([], "An animation before its first picture.")
        gif = io.BytesIO()
        first, options = _animated(self.frames())
        first.save(gif, "GIF", **options)
        end = f"generation {self._evolution.generation}, {self._evolution.evaluations} evaluations"
        return figures([(gif.getvalue(), f"The best painting every {self.every} generations, up to {end}")])


def _captioned(evolution: Evolution) -> Image.Image:
    """The best painting so far, with its fitness and the generation below."""
    best = f"{evolution.toolbox.fitness.label} {evolution.best_display_value:.6g}"
    picture = reduced(render(evolution.best, evolution.toolbox.primitive))
    return strip([(picture, f"{best}, generation {evolution.generation}")])


def save_animation(pictures: Sequence[Path | Image.Image], path: str | Path, milliseconds: int | None = None) -> None:
    """Save pictures as an endless animation that rests on the last one.

    Parameters
    ----------
    pictures : sequence of PIL.Image.Image or Path
        At least one, all of one size.
    path : str or Path
        A file name that ends in .gif or .webp.
    milliseconds : int, optional
        How long each picture is shown; if left out, 80, or what makes four seconds of few pictures. The last is shown
        for two seconds.

    Examples
    --------
    >>> save_animation(snapshots.paths(), "out/evolution.gif")        # doctest: +SKIP
    """
    first, options = _animated(pictures, milliseconds)
    save_picture(first, path, **options)


def _animated(
    pictures: Sequence[Path | Image.Image], milliseconds: int | None = None
) -> tuple[Image.Image, dict[str, Any]]:
    """Give the first picture, and how Pillow saves it with the others."""
    first, *others = (_loaded(picture) for picture in pictures)
    if milliseconds is None:
        # A GIF counts in hundredths of a second
        milliseconds = max(SHOWN, -(-MOVING // (10 * max(len(others), 1))) * 10)
    durations = [milliseconds] * len(others) + [REST]
    return first, dict(save_all=True, append_images=others, duration=durations, loop=0)


def _loaded(picture: Path | Image.Image) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    with Image.open(picture) as opened:
        return opened.convert("RGB")


class LiveEvolution(LiveFigure[Evolution]):
    """The best painting and the curve of its fitness, in a notebook, renewed while the run goes on.

    Parameters
    ----------
    seconds : float
        Least time between two renewals.

    Examples
    --------
    >>> with LiveEvolution() as view:                                 # doctest: +SKIP
    ...     evolution.run(200, callbacks=[view])
    """

    def begin(self, evolution: Evolution) -> None:
        """Show the start too, while its paintings are evaluated.

        Parameters
        ----------
        evolution : Evolution
        """
        self._first: list[Painting] = []
        evolution.toolbox.register("evaluated", self._take_first, evolution)

    def _take_first(self, evolution: Evolution, painting: Painting) -> None:
        self._first.append(painting)
        self(evolution)

    def take(self, evolution: Evolution) -> None:
        self._evolution = evolution
        if evolution.generation >= 0:
            evolution.toolbox.register("evaluated", ignore)

    def figure(self) -> Figure:
        if self._evolution.generation >= 0:
            return draw_progress(self._evolution)
        values = list(accumulate((painting.fitness.values[0] for painting in self._first), max))
        best = max(self._first, key=lambda painting: painting.fitness)
        evaluations = range(1, len(values) + 1)
        return _draw(self._evolution, best, f"{len(values)} first paintings", evaluations, values)


def draw_progress(evolution: Evolution) -> Figure:
    """Draw the best painting beside its fitness over the evaluations so far.

    Parameters
    ----------
    evolution : Evolution
        At least at its start, generation 0.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> draw_progress(evolution).savefig("progress.png")              # doctest: +SKIP
    """
    evaluations, best = evolution.logbook.select("evaluations", "max")
    return _draw(evolution, evolution.best, f"generation {evolution.generation}", evaluations, best)


def _draw(
    evolution: Evolution, best: Painting, progress: str, evaluations: Sequence[int], values: Sequence[float]
) -> Figure:
    """The best painting, and the best fitness after so many evaluations."""
    from matplotlib.figure import Figure

    fitness = evolution.toolbox.fitness
    shown = [display_value(fitness, value) for value in values]
    figure = Figure(figsize=(9, 4), layout="constrained")
    picture, curve = figure.subplots(1, 2)
    picture.imshow(render(best, evolution.toolbox.primitive), interpolation="nearest")
    picture.set_axis_off()
    value = display_value(fitness, best.fitness.values[0])
    picture.set_title(f"{fitness.label} {value:.6g}, {progress}")
    curve.plot(evaluations, shown, marker="." if len(shown) == 1 else "")  # a line of one point cannot be seen
    curve.set_xlabel("evaluations")
    curve.locator_params(axis="x", nbins=5)  # numbers of five digits are wide
    curve.set_ylabel(fitness.label)
    if fitness.label == "NSFW score":
        curve.set_yscale("logit", one_half="0.5")
    curve.grid(alpha=0.3)
    return figure

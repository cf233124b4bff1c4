"""Running a strategy: generation after generation, with DEAP's statistics, hall of fame and logbook."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from deap import tools
from PIL import Image

from nsfw_experiments.display import figures, never_raises, png, reduced
from nsfw_experiments.evolution.fitness import display_value
from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.painting import render
from theano_compat.deprecation import renamed_arguments
from nsfw_experiments.evolution.strategies import PaintingToolbox
from nsfw_model.checks import check_whole

#: Of generations and of evaluations in a saved run.
LARGEST_NUMBER = 1 << 53


class Evolution:
    """A run of a strategy. The same toolbox and seed give the same run, whatever ``toolbox.map`` is.

    Parameters
    ----------
    toolbox : PaintingToolbox
        Made by one of `nsfw_experiments.evolution.strategies`.
    hall_of_fame : int
        How many of the best paintings to keep.

    Attributes
    ----------
    population : list of Painting
        The present generation.
    generation : int
        Generations that are complete; -1 before the start.
    evaluations : int
        Paintings drawn and evaluated so far.
    interrupted : bool
        Whether Ctrl-C or `stop` ended the last `run`.
    hall_of_fame : deap.tools.HallOfFame
    statistics : deap.tools.Statistics
        Of the fitness; register more before the run.
    logbook : deap.tools.Logbook
        A record for each generation: gen, nevals, evaluations, and the statistics.

    Raises
    ------
    ValueError
        If the fitness is for pictures of another size than the canvas.

    Examples
    --------
    >>> from nsfw_experiments.evolution.fitness import NsfwLogit
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> from nsfw_experiments.evolution.strategies import climbing_toolbox
    >>> evolution = Evolution(climbing_toolbox(Circles(), count=50, fitness=NsfwLogit()))
    >>> evolution.run(generations=2)
    >>> len(evolution.best)
    50
    """

    def __init__(self, toolbox: PaintingToolbox, hall_of_fame: int = 1):
        canvas = tuple(toolbox.primitive.size)
        size = getattr(toolbox.fitness, "size", canvas)
        if tuple(size) != canvas:
            raise ValueError(f"fitness: got one for pictures of size {size}, expected the canvas's {canvas}")
        self.toolbox = toolbox
        self.population: list[Painting] = []
        self.generation = -1
        self.evaluations = 0
        self.interrupted = self._stopped = False
        self.hall_of_fame = tools.HallOfFame(hall_of_fame)
        self.statistics = tools.Statistics(lambda painting: painting.fitness.values[0])
        for name, function in (("max", np.max), ("avg", np.mean), ("min", np.min), ("std", np.std)):
            self.statistics.register(name, function)
        self.logbook = tools.Logbook()

    @property
    def best(self) -> Painting:
        """The best painting of all generations; an `IndexError` before the first is complete."""
        if not self.hall_of_fame:
            raise IndexError("best: got no complete generation, expected at least the start; run() makes it")
        return self.hall_of_fame[0]

    @property
    def best_display_value(self) -> float:
        """The best painting's fitness as people read it: score, dB, ..."""
        return display_value(self.toolbox.fitness, self.best.fitness.values[0])

    @property
    def best_shown(self) -> float:
        """Old name of `best_display_value`."""
        warnings.warn("Evolution.best_shown is now best_display_value", DeprecationWarning, stacklevel=2)
        return self.best_display_value

    @renamed_arguments(watch="callbacks")
    def run(
        self,
        generations: int,
        until: float = float("inf"),
        callbacks: Sequence[Callable[[Evolution], object]] = (),
    ) -> None:
        """Go on until so many generations are complete, until Ctrl-C, or until `stop` is called.

        Whatever ends it, the state is that of the last complete generation, and the run can go on from there.

        Parameters
        ----------
        generations : int
            Number of the last generation; the start is generation 0.
        until : float
            Stop as soon as the best painting's display value (a score, dB, ...) is this.
        callbacks : sequence of callables
            Called with this object after each generation; see `nsfw_experiments.evolution.callbacks`. One that has a
            method ``begin`` is called by that before the start, too, which takes longer than other generations.
        """
        self.interrupted = self._stopped = False
        try:
            if self.generation < 0:
                for begin in (callback.begin for callback in callbacks if hasattr(callback, "begin")):
                    begin(self)
            while self.generation < generations and not (self.hall_of_fame and self.best_display_value >= until):
                self.step()
                for callback in callbacks:
                    callback(self)
                if self._stopped:
                    self.interrupted = True
                    return
        except KeyboardInterrupt:
            self.interrupted = True

    def stop(self) -> None:
        """End `run` after the present generation; may be called by a callback or another thread."""
        self._stopped = True

    def step(self) -> None:
        """Make the next generation, or the start; what is not completed leaves no trace."""
        undo = self._undo()
        try:
            if self.generation < 0:
                population, evaluations = self.toolbox.start()
            else:
                population, evaluations = self.toolbox.generation(self.population)
            self.population = population
            self.generation += 1
            self.evaluations += evaluations
            self.hall_of_fame.update(population)
            record = {name: float(value) for name, value in self.statistics.compile(population).items()}
            self.logbook.record(gen=self.generation, nevals=evaluations, evaluations=self.evaluations, **record)
        except BaseException:
            undo()
            raise

    def _undo(self) -> Callable[[], None]:
        """Give a function that takes the state back to what it is now."""
        random, population = self.toolbox.rng.getstate(), self.population
        generation, evaluations, records = self.generation, self.evaluations, len(self.logbook)
        fame, memory = self.hall_of_fame, dict(self.toolbox.memory)
        paintings, fitnesses = list(fame.items), list(fame.keys)

        def undo() -> None:
            self.toolbox.rng.setstate(random)
            self.population, self.generation, self.evaluations = population, generation, evaluations
            fame.items[:], fame.keys[:] = paintings, fitnesses
            self.toolbox.memory = memory
            while len(self.logbook) > records:
                self.logbook.pop(len(self.logbook) - 1)  # DEAP's takes the first, if none is named

        return undo

    def state(self) -> dict[str, Any]:
        """Give all that the run's future depends on; `restore` takes it up.

        Returns
        -------
        dict
            Plain JSON values.
        """
        version, numbers, gauss = self.toolbox.rng.getstate()
        return {
            "about": self.toolbox.settings.to_dict(),
            "generation": self.generation,
            "evaluations": self.evaluations,
            "random": [version, list(numbers), gauss],
            "population": [_painting_state(painting) for painting in self.population],
            "hall_of_fame": [_painting_state(painting) for painting in self.hall_of_fame],
            "logbook": list(self.logbook),
            **({"memory": dict(self.toolbox.memory)} if self.toolbox.memory else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state; the run then goes on as if it had never stopped.

        Parameters
        ----------
        state : mapping
            What `state` gave.

        Raises
        ------
        ValueError
            If the state is of a run with other shapes, another strategy, fitness or seed, or is damaged.
        """
        about = state["about"]
        for name, expected in self.toolbox.settings.to_dict().items():
            if about.get(name) != expected:
                raise ValueError(f"{name}: this run has {expected!r}, the saved one {about.get(name)!r:.300}")
        population = [self._painting(saved) for saved in state["population"]]
        best = [self._painting(saved) for saved in state["hall_of_fame"]]
        generation, evaluations = state["generation"], state["evaluations"]
        check_whole("generation", generation, least=-1, most=LARGEST_NUMBER)
        check_whole("evaluations", evaluations, least=0, most=LARGEST_NUMBER)
        # Some strategies keep the parents beside their children
        if len(population) > 2 * self.toolbox.settings.population:
            raise ValueError(f"population: got {len(population)} paintings, the settings have {about['population']}")
        for name, paintings in (("population", population), ("hall_of_fame", best)):
            if generation >= 0 and not paintings:
                raise ValueError(f"{name}: got no painting in generation {generation}, expected at least one")
        memory = {str(name): number for name, number in state.get("memory", {}).items()}
        for name, number in memory.items():
            check_whole(name, number, least=0, most=LARGEST_NUMBER)
        logbook = tools.Logbook()
        for record in state["logbook"]:
            logbook.record(**record)
        version, numbers, gauss = state["random"]
        if not (gauss is None or isinstance(gauss, float)):
            raise ValueError(f"random: got {gauss!r:.100} as the next number, expected a float or none")
        self.toolbox.rng.setstate((version, tuple(numbers), gauss))
        # nothing can fail from here on: a state is taken up whole or not at all
        self.population, self.logbook, self.toolbox.memory = population, logbook, memory
        self.generation, self.evaluations = generation, evaluations
        self.hall_of_fame.clear()
        self.hall_of_fame.update(best[::-1])  # of equals, the last that comes is put first

    @never_raises
    def _repr_png_(self) -> bytes | None:
        return png(self._captioned_best) if self.hall_of_fame else None

    @never_raises
    def _repr_html_(self) -> str | None:
        if not self.hall_of_fame:
            return figures([], "An evolution before its first generation.")
        return figures(self._captioned_best)

    @property
    def _captioned_best(self) -> list[tuple[Image.Image, str]]:
        best = f"{self.toolbox.fitness.label} {self.best_display_value:.6g}"
        effort = f"generation {self.generation}, {self.evaluations} evaluations"
        return [(reduced(render(self.best, self.toolbox.primitive)), f"{best}, {effort}")]

    def _painting(self, saved: Mapping[str, Any]) -> Painting:
        painting = Painting(map(tuple, saved["shapes"]), self.toolbox.primitive)
        count, ranges = self.toolbox.settings.count, self.toolbox.primitive.ranges
        if len(painting) != count:
            raise ValueError(f"shapes: got {len(painting)}, expected {count}")
        for shape in painting:
            within = [type(gene) is int and low <= gene <= high for gene, (low, high) in zip(shape, ranges)]
            if len(shape) != len(ranges) or not all(within):
                raise ValueError(f"shape: got {shape!r:.300}, expected whole genes in {ranges!r:.300}")
        (fitness,) = saved["fitness"]
        if not isfinite(fitness):
            raise ValueError(f"fitness: got {fitness}, expected a finite number")
        painting.fitness.values = (float(fitness),)
        return painting


def _painting_state(painting: Painting) -> dict[str, Any]:
    return {"shapes": list(painting), "fitness": list(painting.fitness.values)}

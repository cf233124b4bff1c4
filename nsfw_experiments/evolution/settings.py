"""The settings of a run: all that decides it, from the command's arguments over the toolbox to the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nsfw_experiments.evolution.primitives import CANVAS, Primitive, primitive_named
from nsfw_model.checks import check_whole

#: Defaults, beside the number of shapes, which is the primitive's.
SHAPES = "circles"
STRATEGY = "compact"
#: Where a picture is to be painted.
STRATEGY_FOR_TARGET = "least-squares"
SEED = 0
#: Paintings in a generation of each strategy, and generations in a run.
POPULATION = {"climb": 4, "compact": 2, "least-squares": 4, "original": 50}
GENERATIONS = {"climb": 1000, "compact": 1000, "least-squares": 1000, "original": 200}
#: Of shapes in a painting, and of paintings in a generation; a checkpoint could ask for more than there is memory.
LARGEST_COUNT = 100_000


@dataclass(frozen=True)
class Settings:
    """All that decides a run. Two runs of the same settings are the same.

    Parameters
    ----------
    strategy : {"climb", "compact", "least-squares", "original"}
        See `nsfw_experiments.evolution.strategies`.
    primitive : Primitive
        What the shapes are, and the size of the canvas.
    count : int
        Shapes in a painting.
    population : int
        Paintings in a generation.
    seed : int
        Decides all that is random.
    fine : bool
        Whether "climb" makes smaller changes.
    fitness : str
        Identity of the fitness function; `strategies.make_toolbox` fills it in.

    Raises
    ------
    ValueError
        If there is no such strategy, `seed` is no whole number, or `count` or `population` is none from 1 to
        `LARGEST_COUNT`.

    Examples
    --------
    >>> from nsfw_experiments.evolution.primitives import Circles
    >>> Settings("climb", Circles(), count=50, population=4).seed
    0
    """

    strategy: str
    primitive: Primitive
    count: int
    population: int
    seed: int = SEED
    fine: bool = False
    fitness: str = ""

    def __post_init__(self) -> None:
        if self.strategy not in POPULATION:
            raise ValueError(f"strategy: got {self.strategy!r}, expected one of {', '.join(POPULATION)}")
        if not isinstance(self.seed, int):
            raise ValueError(f"seed: got {self.seed!r:.100}, expected a whole number")
        check_whole("count", self.count, least=1, most=LARGEST_COUNT)
        check_whole("population", self.population, least=1, most=LARGEST_COUNT)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain JSON values, in the form that checkpoints have.

        Returns
        -------
        dict

        Examples
        --------
        >>> Settings.from_dict({"size": [64, 48]}).to_dict()["shapes"]
        'circles'
        """
        settings = {
            "strategy": self.strategy,
            "shapes": self.primitive.name,
            "corners": self.primitive.corners,
            "size": list(self.primitive.size),
            "count": self.count,
            "fitness": self.fitness,
            "seed": self.seed,
            "population": self.population,
        }
        return {**settings, "fine": self.fine} if self.strategy == "climb" else settings

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Settings:
        """Make settings out of what is given, as by `to_dict`, and of defaults for the rest.

        Parameters
        ----------
        given : mapping
            Any of the keys that `to_dict` gives; others are ignored.

        Returns
        -------
        Settings

        Raises
        ------
        ValueError, TypeError
            If a value is of the wrong type, or there is no such primitive or strategy.

        Examples
        --------
        >>> settings = Settings.from_dict({"shapes": "polygons", "corners": 5, "strategy": "original"})
        >>> settings.primitive, settings.count, settings.population
        (Polygons(corners=5, size=(256, 256)), 100, 100)
        """
        primitive = primitive_named(given.get("shapes", SHAPES), tuple(given.get("size", CANVAS)), given.get("corners"))
        strategy = given.get("strategy", STRATEGY)
        # The original's notebooks had as many paintings in a generation as shapes in a painting.
        # A strategy that is not known is told by name below.
        population = primitive.default_count if strategy == "original" else POPULATION.get(strategy, 1)
        return cls(
            strategy=strategy,
            primitive=primitive,
            count=given.get("count", primitive.default_count),
            population=given.get("population", population),
            seed=given.get("seed", SEED),
            fine=given.get("fine", False),
            fitness=given.get("fitness", ""),
        )

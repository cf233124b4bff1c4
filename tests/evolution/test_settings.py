"""Settings: one record of all that decides a run, from arguments to toolbox to checkpoint and back."""

import dataclasses
from pathlib import Path

import pytest

from nsfw_experiments.evolution.fitness import PerPicture
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, Ellipses, Polygons, primitive_named
from nsfw_experiments.evolution.settings import (
    GENERATIONS,
    POPULATION,
    SEED,
    SHAPES,
    STRATEGY,
    STRATEGY_FOR_TARGET,
    Settings,
)
from nsfw_experiments.evolution.strategies import STRATEGIES, climbing_toolbox, make_toolbox, original_toolbox

COUNTED = PerPicture(len)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", PRIMITIVES)
def test_settings_are_the_same_after_a_way_through_json_values(strategy, name):
    settings = Settings(strategy, primitive_named(name, (32, 24)), count=7, population=3, seed=5, fitness="NsfwLogit")
    assert Settings.from_dict(settings.to_dict()) == settings


def test_what_is_not_given_has_its_default():
    assert Settings.from_dict({}) == Settings("compact", Circles((256, 256)), count=50, population=2, seed=0)
    assert Settings.from_dict({"shapes": "ellipses", "size": [64, 48]}).primitive == Ellipses((64, 48))


@pytest.mark.parametrize("shapes, number", [("circles", 50), ("triangles", 100)])
def test_the_original_has_as_many_paintings_as_shapes(shapes, number):
    settings = Settings.from_dict({"shapes": shapes, "strategy": "original"})
    assert settings.population == settings.count == number


def test_only_the_climber_has_finer_changes():
    assert "fine" in Settings.from_dict({"strategy": "climb"}).to_dict()
    assert "fine" not in Settings.from_dict({"strategy": "original"}).to_dict()


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.from_dict({}).seed = 1


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"strategy": "annealing"},
            "strategy: got 'annealing', expected one of climb, compact, least-squares, original",
        ),
        ({"shapes": "squares"}, "shapes: got 'squares', expected one of circles, "),
        ({"count": 0}, "count: got 0, expected a whole number of at least 1"),
        ({"count": 2.5}, "count: got 2.5, expected a whole number of at least 1"),
        ({"population": True}, "population: got True, expected a whole number of at least 1"),
    ],
)
def test_wrong_settings_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Settings.from_dict(given)


def test_every_strategy_has_its_defaults():
    assert STRATEGIES.keys() == POPULATION.keys() == GENERATIONS.keys()


def test_toolboxes_made_of_arguments_and_of_settings_have_the_same_settings():
    climbing = climbing_toolbox(Circles(), 50, COUNTED, seed=3, population=5, fine=True)
    assert climbing.settings == Settings("climb", Circles(), 50, 5, 3, True, fitness=COUNTED.identity)
    original = original_toolbox(Circles(), 50, COUNTED, seed=3)
    assert original.settings == make_toolbox(Settings("original", Circles(), 50, 50, 3), COUNTED).settings


def test_the_sizes_of_runs_are_those_that_are_documented():
    text = Path("docs/evolution.md").read_text(encoding="utf-8")
    assert "than the two of a generation, or the\nfour of the other climbers" in text
    assert POPULATION == {"climb": 4, "compact": 2, "least-squares": 4, "original": 50}
    assert GENERATIONS == {"climb": 1000, "compact": 1000, "least-squares": 1000, "original": 200}
    assert (SHAPES, STRATEGY, STRATEGY_FOR_TARGET, SEED) == ("circles", "compact", "least-squares", 0)


@pytest.mark.parametrize("name", ["count", "population"])
def test_a_hundred_thousand_is_the_most(name):
    assert getattr(Settings.from_dict({name: 1}), name) == 1
    assert getattr(Settings.from_dict({name: 100_000}), name) == 100_000
    with pytest.raises(
        ValueError, match=f"{name}: got 100001, expected a whole number of at least 1 and at most 100000"
    ):
        Settings.from_dict({name: 100_001})


@pytest.mark.parametrize("seed", [1.0, "7", None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed: got .*, expected a whole number"):
        Settings.from_dict({"seed": seed})
    assert Settings.from_dict({"seed": -(10**30)}).seed == -(10**30)


def test_all_that_is_given_is_taken():
    given = {
        "strategy": "climb",
        "shapes": "polygons",
        "corners": 6,
        "size": [40, 30],
        "count": 9,
        "fitness": "PSNR",
        "seed": 4,
        "population": 8,
        "fine": True,
    }
    settings = Settings.from_dict({**given, "colour": "blue"})
    assert settings == Settings("climb", Polygons(6, (40, 30)), 9, 8, 4, True, "PSNR")
    assert settings.to_dict() == given and list(settings.to_dict()) == list(given)


def test_what_is_not_given_follows_from_the_strategy():
    populations = {strategy: Settings.from_dict({"strategy": strategy}).population for strategy in STRATEGIES}
    assert populations == {"climb": 4, "compact": 2, "least-squares": 4, "original": 50}
    plain = Settings("climb", Circles(), 5, 5)
    assert (plain.seed, plain.fine, plain.fitness) == (0, False, "")
    defaults = Settings.from_dict({"strategy": "climb"})
    assert (defaults.seed, defaults.fine, defaults.fitness, defaults.count) == (0, False, "", 50)

"""Settings: one record of all that decides a run, from arguments to toolbox to checkpoint and back."""

import dataclasses

import pytest

from nsfw_experiments.evolution.fitness import PerPicture
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, Ellipses, primitive_named
from nsfw_experiments.evolution.settings import GENERATIONS, POPULATION, Settings
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

"""What was renamed still works under its old name, and says what it is called today."""

import importlib

import pytest
from PIL import Image

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import NsfwLogit, PerPicture, Psnr, display_value
from nsfw_experiments.evolution.individual import palette_painting
from nsfw_experiments.evolution.mutations import gaussian_mutation, mixed_mutation
from nsfw_experiments.evolution.painting import render, render_all, to_svg
from nsfw_experiments.evolution.primitives import Circles
from nsfw_experiments.evolution.strategies import climbing_toolbox, evaluate, original_toolbox

CIRCLES = Circles((24, 16))
WHITE = Psnr(Image.new("RGB", (24, 16), "white"), (24, 16))
SHAPE = (5, 5, 2, 255, 0, 0, 255)

EVOLUTION = "nsfw_experiments.evolution"
MOVED = {
    f"{EVOLUTION}.painting:Circles": f"{EVOLUTION}.primitives:Circles",
    f"{EVOLUTION}.painting:Polygons": f"{EVOLUTION}.primitives:Polygons",
    f"{EVOLUTION}.painting:Kind": f"{EVOLUTION}.primitives:Primitive",
    f"{EVOLUTION}.painting:Ranges": f"{EVOLUTION}.primitives:Ranges",
    f"{EVOLUTION}.painting:COLOUR_GENES": f"{EVOLUTION}.primitives:COLOUR_GENES",
    f"{EVOLUTION}.painting:CHANNEL": f"{EVOLUTION}.primitives:CHANNEL",
    f"{EVOLUTION}.painting:kind_named": f"{EVOLUTION}.primitives:primitive_named",
    f"{EVOLUTION}.fitness:Likeness": f"{EVOLUTION}.fitness:Psnr",
    f"{EVOLUTION}.callbacks:LiveView": f"{EVOLUTION}.callbacks:LiveEvolution",
    f"{EVOLUTION}.strategies:assess": f"{EVOLUTION}.strategies:evaluate_invalid",
    f"{EVOLUTION}.strategies:unite": f"{EVOLUTION}.strategies:recombine",
    f"{EVOLUTION}.mutations:change_one_gene": f"{EVOLUTION}.mutations:reset_or_swap_mutation",
    f"{EVOLUTION}.mutations:change_some_shapes": f"{EVOLUTION}.mutations:mixed_mutation",
    f"{EVOLUTION}.mutations:nudge_some": f"{EVOLUTION}.mutations:gaussian_mutation",
    f"{EVOLUTION}.mutations:nudge": f"{EVOLUTION}.mutations:add_gaussian_noise",
    f"{EVOLUTION}.mutations:replace_some": f"{EVOLUTION}.mutations:replacement_mutation",
    f"{EVOLUTION}.mutations:swap_two": f"{EVOLUTION}.mutations:swap_mutation",
    f"{EVOLUTION}.mutations:tinge_many": f"{EVOLUTION}.mutations:colour_shift",
    f"{EVOLUTION}.mutations:some_indices": f"{EVOLUTION}.mutations:sample_indices",
    "nsfw_experiments.live_figure:LiveView": "nsfw_experiments.live_figure:LiveFigure",
}


def found(name):
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("old, new", MOVED.items(), ids=MOVED)
def test_an_old_name_is_the_new_object_and_warns(old, new):
    with pytest.warns(DeprecationWarning, match=f"{old.replace(':', '.')} is now {new.replace(':', '.')}"):
        assert found(old) is found(new)


def test_a_name_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'Squares'"):
        found(f"{EVOLUTION}.painting:Squares")


@pytest.fixture
def evolution():
    evolution = Evolution(climbing_toolbox(CIRCLES, 5, WHITE))
    evolution.run(1)
    return evolution


@pytest.mark.parametrize(
    "use, new",
    [
        (lambda run: (run.best_shown, run.best_display_value), "best_display_value"),
        (lambda run: (run.toolbox.kind, run.toolbox.primitive), "primitive"),
        (lambda run: (run.toolbox.about, run.toolbox.settings.to_dict()), "settings"),
        (lambda run: (WHITE.flat(), WHITE.mean_colour_baseline()), "mean_colour_baseline"),
        (lambda run: (NsfwLogit.shown(0.0), NsfwLogit.display_value(0.0)), "display_value"),
        (lambda run: (WHITE.shown(7.0), 7.0), "display_value"),
        (lambda run: (render([SHAPE], kind=CIRCLES), render([SHAPE], CIRCLES)), "primitive"),
        (lambda run: (render_all([[SHAPE]], kind=CIRCLES), render_all([[SHAPE]], CIRCLES)), "primitive"),
        (lambda run: (to_svg([SHAPE], kind=CIRCLES), to_svg([SHAPE], CIRCLES)), "primitive"),
        (lambda run: (evaluate([], kind=CIRCLES, fitness=WHITE), []), "primitive"),
        (lambda run: (climbing_toolbox(kind=CIRCLES, count=5, fitness=WHITE).primitive, CIRCLES), "primitive"),
        (lambda run: (original_toolbox(kind=CIRCLES, count=5, fitness=WHITE).primitive, CIRCLES), "primitive"),
        (lambda run: (len(palette_painting(run.toolbox.rng, kind=CIRCLES, count=5)), 5), "primitive"),
        (lambda run: (mixed_mutation(run.best, run.toolbox.rng, CIRCLES.ranges, odds=[1] * 4), (run.best,)), "weights"),
        (lambda run: (mixed_mutation(run.best, run.toolbox.rng, CIRCLES.ranges, steps=(0.1,)), (run.best,)), "sigmas"),
        (lambda run: (gaussian_mutation(run.best, run.toolbox.rng, CIRCLES.ranges, [1], steps=(0.1,)), None), "sigmas"),
    ],
)  # fmt: skip
def test_an_old_attribute_or_argument_does_what_the_new_one_does_and_warns(evolution, use, new):
    with pytest.warns(DeprecationWarning, match=f"is now .*{new}"):
        old_value, new_value = use(evolution)
    assert old_value == new_value


def test_a_run_can_still_be_watched():
    seen = []
    with pytest.warns(DeprecationWarning, match="run: the argument watch is now callbacks"):
        Evolution(climbing_toolbox(CIRCLES, 5, WHITE)).run(1, watch=[lambda run: seen.append(run.generation)])
    assert seen == [0, 1]


def test_an_argument_under_both_names_is_refused():
    with pytest.raises(TypeError, match="the argument kind is now primitive; got both"):
        render([], primitive=CIRCLES, kind=CIRCLES)


def test_a_fitness_of_somebody_s_own_may_have_the_old_method():
    class Width:
        label, identity = "width", "Width"

        def __call__(self, pictures):
            return [picture.width for picture in pictures]

        def shown(self, value):
            return 10 * value

    with pytest.warns(DeprecationWarning, match="Width.shown is now display_value"):
        assert display_value(Width(), 24) == 240


def test_a_subclass_may_overwrite_the_old_method():
    with pytest.warns(DeprecationWarning, match="Percent.shown is now display_value"):

        class Percent(PerPicture):
            def shown(self, value):
                return 100 * value

    assert display_value(Percent(len), 0.5) == 50

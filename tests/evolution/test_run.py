"""A run of evolution: the same for the same seed, wherever it is computed and however often it is stopped."""

import inspect
import itertools
import json
import random
import sys
from contextlib import contextmanager

import deap.tools.selection
import numpy as np
import pytest
from deap import algorithms, tools

from PIL import Image

from nsfw_experiments.evolution import Evolution
from nsfw_experiments.evolution.fitness import PerPicture
from nsfw_experiments.evolution.individual import Painting
from nsfw_experiments.evolution.painting import render
from nsfw_experiments.evolution.primitives import PRIMITIVES, Circles, primitive_named
from nsfw_experiments.evolution.settings import Settings
from nsfw_experiments.evolution.strategies import (
    STRATEGIES,
    climbing_toolbox,
    evaluate_invalid,
    keep_first_improvements,
    make_toolbox,
    original_toolbox,
    recombine,
)

CIRCLES = Circles((32, 24))


def warmth(picture):
    """How much more red than blue there is; cheap, and easy to improve."""
    values = np.asarray(picture, dtype=float)
    return float(values[..., 0].mean() - values[..., 2].mean())


class Aimed(PerPicture):
    """With the target that "least-squares" asks for: the warmest picture."""

    target = Image.new("RGB", CIRCLES.size, "red")


def small_toolbox(strategy="climb", primitive=CIRCLES, fitness=warmth, seed=0, population=6):
    return make_toolbox(Settings(strategy, primitive, 7, population, seed), Aimed(fitness))


def run(toolbox, generations=8):
    evolution = Evolution(toolbox)
    evolution.run(generations)
    return evolution


every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


@every_strategy
@pytest.mark.parametrize("name", PRIMITIVES)
def test_paintings_get_better(strategy, name):
    primitive = primitive_named(name, (32, 24))
    evolution = run(small_toolbox(strategy, primitive), generations=15)
    assert evolution.best_display_value > evolution.logbook[0]["max"]
    assert evolution.best_display_value == warmth(render(evolution.best, primitive))


@every_strategy
def test_the_same_seed_gives_the_same_run(strategy):
    state = run(small_toolbox(strategy)).state()
    assert run(small_toolbox(strategy)).state() == state
    assert run(small_toolbox(strategy, seed=1)).state()["population"] != state["population"]


@every_strategy
def test_a_run_neither_uses_nor_changes_the_module_random(strategy):
    state = run(small_toolbox(strategy)).state()
    random.seed(3)
    before = random.getstate()
    assert run(small_toolbox(strategy)).state() == state
    assert random.getstate() == before
    assert deap.tools.selection.random is random


@every_strategy
def test_a_saved_run_goes_on_as_if_it_had_never_stopped(strategy):
    whole = run(small_toolbox(strategy), generations=9)
    half = run(small_toolbox(strategy), generations=4)
    saved = json.dumps(half.state())
    resumed = Evolution(small_toolbox(strategy))
    resumed.restore(json.loads(saved))
    resumed.run(9)
    assert resumed.state() == whole.state()
    assert resumed.hall_of_fame[0] == whole.hall_of_fame[0]


@every_strategy
def test_an_interrupted_generation_leaves_no_trace(strategy):
    calls = itertools.count()

    def warmth_until_interrupted(picture):
        if evolution.generation == 2 and next(calls) == 1:
            raise KeyboardInterrupt
        return warmth(picture)

    evolution = Evolution(small_toolbox(strategy, fitness=warmth_until_interrupted))
    evolution.run(9)
    assert evolution.generation == 2 and evolution.interrupted
    evolution.run(9)
    assert not evolution.interrupted
    expected = run(small_toolbox(strategy), generations=9).state()
    assert evolution.state()["population"] == expected["population"]
    assert evolution.evaluations == expected["evaluations"]


def test_without_mutation_the_original_strategy_is_deap_s_ea_simple():
    toolbox = small_toolbox("original", population=12)
    toolbox.register("generation", toolbox.generation.func, toolbox, cxpb=0.5, mutpb=0, tries=10)
    evolution = run(toolbox, generations=6)

    reference = small_toolbox("original", population=12)
    population = reference.population(n=12)
    evaluate_batch = reference.evaluate
    reference.register("evaluate", lambda painting: evaluate_batch([painting])[0])
    random.setstate(reference.rng.getstate())
    for _ in range(6):
        # ngen=1 evaluates what is new and breeds once, with the draws of varAnd's mutation step in between
        population, _ = algorithms.eaSimple(population, reference, cxpb=0.5, mutpb=0, ngen=1, verbose=False)
        random.setstate(skip(random.getstate(), draws=12))
    assert evolution.population == population


def skip(state, draws):
    """The state of a random number generator after more draws: our mutation draws one for each painting."""
    rng = random.Random()
    rng.setstate(state)
    for _ in range(draws):
        rng.random()
    return rng.getstate()


def evaluated(painting, toolbox):
    evaluate_invalid([painting], toolbox)
    return painting


def test_the_original_mutation_keeps_the_first_change_that_is_an_improvement():
    values = iter([5.0, 3.0, 5.0, 6.0, 9.0])  # of the painting, then of its mutants
    toolbox = small_toolbox("original", fitness=lambda picture: next(values))
    painting = evaluated(toolbox.individual(), toolbox)
    before = list(painting)
    assert keep_first_improvements([painting], toolbox, tries=10) == 3
    assert painting.fitness.values == (6.0,)
    assert painting != before


def test_the_original_mutation_gives_up_after_ten_changes():
    values = iter([5.0] + [1.0] * 20)
    toolbox = small_toolbox("original", fitness=lambda picture: next(values))
    painting = evaluated(toolbox.individual(), toolbox)
    before = list(painting)
    assert keep_first_improvements([painting], toolbox, tries=10) == 10
    assert painting == before
    assert painting.fitness.values == (5.0,)


def test_the_original_crosses_half_of_the_pairs_and_tries_ten_changes_of_a_tenth_of_the_paintings(monkeypatch):
    crossed, mutated = [], []
    monkeypatch.setattr(
        "nsfw_experiments.evolution.strategies.keep_first_improvements",
        lambda paintings, toolbox, tries: mutated.append((len(paintings), tries)) or 0,
    )
    toolbox = original_toolbox(CIRCLES, 2, PerPicture(lambda picture: 0.0), population=2000)
    toolbox.register("mate", lambda *pair: crossed.append(pair) or pair)
    population, _ = toolbox.start()
    toolbox.generation(population)
    assert len(crossed) == pytest.approx(1000 / 2, rel=0.2)
    assert mutated == [(pytest.approx(2000 / 10, rel=0.2), 10)]


def test_after_a_crossover_the_first_change_is_kept_whatever_its_fitness():
    toolbox = small_toolbox("original", fitness=lambda picture: -1.0)
    painting = toolbox.individual()
    assert keep_first_improvements([painting], toolbox, tries=10) == 1
    assert painting.fitness.values == (-1.0,)


@every_strategy
@pytest.mark.parametrize("name", PRIMITIVES)
def test_mutants_are_within_their_ranges_and_their_parents_unchanged(strategy, name):
    primitive = primitive_named(name, (32, 24))
    toolbox = small_toolbox(strategy, primitive)
    parent = toolbox.individual()
    before = list(parent)
    for _ in range(300):
        (mutant,) = toolbox.mutate(toolbox.clone(parent))
        assert len(mutant) == len(parent)
        for shape in mutant:
            assert all(
                isinstance(gene, int) and low <= gene <= high for gene, (low, high) in zip(shape, primitive.ranges)
            )
    assert parent == before


def test_the_original_mutation_changes_one_gene_or_swaps_two_shapes():
    toolbox = small_toolbox("original")
    parent = toolbox.individual()
    for _ in range(200):
        (mutant,) = toolbox.mutate(toolbox.clone(parent))
        changed = [(old, new) for old, new in zip(parent, mutant) if old != new]
        if len(changed) == 1:
            assert sum(a != b for a, b in zip(*changed[0])) == 1
        else:
            assert sorted(mutant) == sorted(parent) and len(changed) in (0, 2)


def test_a_recombination_takes_changes_of_different_shapes_from_the_best_first():
    parent = Painting("abcde")
    assert recombine(parent, [Painting("abXde"), Painting("Ybcde"), Painting("abZdZ")]) == list("YbXde")


def test_the_climber_never_gets_worse():
    evolution = run(small_toolbox("climb"), generations=30)
    best = evolution.logbook.select("max")
    assert best == sorted(best)


def test_one_shape_and_one_painting_are_enough():
    for strategy in STRATEGIES:
        toolbox = make_toolbox(Settings(strategy, CIRCLES, count=1, population=1), Aimed(warmth))
        assert len(run(toolbox, generations=3).best) == 1


def test_statistics_hall_of_fame_and_logbook_are_deap_s():
    evolution = Evolution(small_toolbox("original"), hall_of_fame=3)
    evolution.statistics.register("median", np.median)
    evolution.run(4)
    assert isinstance(evolution.hall_of_fame, tools.HallOfFame) and len(evolution.hall_of_fame) == 3
    assert evolution.logbook.select("gen") == [0, 1, 2, 3, 4]
    last = evolution.logbook[-1]
    values = [painting.fitness.values[0] for painting in evolution.population]
    assert last["median"] == pytest.approx(np.median(values)) and last["max"] == max(values)
    assert sum(evolution.logbook.select("nevals")) == evolution.evaluations == last["evaluations"]
    assert evolution.best.fitness.values[0] == max(evolution.logbook.select("max"))


def test_evaluations_are_pictures_that_were_given_a_fitness():
    calls = []

    def counted(picture):
        calls.append(picture)
        return warmth(picture)

    for strategy in STRATEGIES:
        calls.clear()
        assert run(small_toolbox(strategy, fitness=counted)).evaluations == len(calls)


def test_a_run_stops_when_the_best_is_good_enough():
    evolution = Evolution(small_toolbox())
    evolution.run(500, until=100.0)
    assert evolution.generation < 500
    assert evolution.best_display_value >= 100.0 > evolution.logbook[-2]["max"]


@every_strategy
def test_wherever_a_generation_is_interrupted_its_state_is_that_before_it(strategy):
    """Ctrl-C is raised on each line of the step in turn, as Python does."""
    evolution, whole = Evolution(small_toolbox(strategy), hall_of_fame=3), Evolution(small_toolbox(strategy))
    evolution.run(1)
    before = evolution.state()
    for line in itertools.count(1):
        with interrupted_at(Evolution.step, line) as interrupted:
            evolution.step()
        if not interrupted:
            break
        assert evolution.state() == before and len(evolution.logbook) == 2
    assert line > 10
    whole.run(2)
    assert evolution.state()["population"] == whole.state()["population"]


@contextmanager
def interrupted_at(function, line):
    """Raises KeyboardInterrupt where the so many-th line of a function begins; gives a list of the lines hit."""
    lines, interrupted = itertools.count(1), []

    def trace(frame, event, argument):
        if event == "line" and next(lines) == line and frame.f_lineno < last:
            interrupted.append(line)
            raise KeyboardInterrupt
        return trace

    def start(frame, event, argument):
        return trace if frame.f_code is function.__code__ else None

    source, first = inspect.getsourcelines(function)
    # Once the undoing has begun, only a second interrupt could disturb it
    last = first + next(number for number, text in enumerate(source) if "except BaseException" in text)
    before = sys.gettrace()  # who measures what tests reach
    sys.settrace(start)
    try:
        yield interrupted
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)


def test_a_run_that_is_stopped_ends_after_the_generation_and_goes_on_as_if_it_had_not():
    evolution = Evolution(small_toolbox())
    evolution.run(9, callbacks=[lambda run: run.generation == 3 and run.stop()])
    assert evolution.generation == 3 and evolution.interrupted
    evolution.run(9)
    assert not evolution.interrupted and evolution.state() == run(small_toolbox(), generations=9).state()


def test_a_generation_that_is_interrupted_once_it_is_recorded_is_taken_back_as_a_whole(monkeypatch):
    evolution = run(small_toolbox(), generations=3)
    before, record = evolution.state(), evolution.logbook.record

    def record_and_be_interrupted(**numbers):
        record(**numbers)
        raise KeyboardInterrupt

    monkeypatch.setattr(evolution.logbook, "record", record_and_be_interrupted)
    evolution.run(5)
    assert evolution.interrupted and evolution.state() == before


def test_ctrl_c_in_a_callback_ends_the_run_quietly():
    def interrupt(evolution):
        raise KeyboardInterrupt

    evolution = Evolution(small_toolbox())
    evolution.run(9, callbacks=[interrupt])
    assert evolution.generation == 0 and evolution.interrupted and evolution.best.fitness.valid


def test_a_run_that_is_interrupted_at_its_start_has_no_best_painting_yet_and_begins_anew():
    calls = itertools.count()

    def warmth_until_interrupted(picture):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return warmth(picture)

    evolution = Evolution(small_toolbox(fitness=warmth_until_interrupted))
    evolution.run(4)
    assert evolution.interrupted and evolution.generation == -1
    with pytest.raises(IndexError, match="best: got no complete generation, expected at least the start"):
        print(evolution.best)
    evolution.run(4)
    assert evolution.state()["population"] == run(small_toolbox(), generations=4).state()["population"]


def test_callbacks_see_every_generation():
    seen = []
    Evolution(small_toolbox()).run(3, callbacks=[lambda evolution: seen.append(evolution.generation)])
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_fitness_that_is_no_finite_number_is_an_error(bad):
    with pytest.raises(ValueError, match=r"fitness: got \[.*\], expected 6 finite numbers"):
        toolbox = small_toolbox("original", fitness=lambda picture: bad)
        run(toolbox)


@pytest.mark.parametrize("name", ["count", "population"])
@pytest.mark.parametrize("make", [climbing_toolbox, original_toolbox])
def test_less_than_one_of_anything_is_refused(make, name):
    with pytest.raises(ValueError, match=f"{name}: got 0, expected a whole number of at least 1"):
        make(CIRCLES, **{"count": 5, "population": 5, name: 0}, fitness=PerPicture(warmth))


def test_toolbox_parts_can_be_exchanged():
    toolbox = small_toolbox("original")
    toolbox.register("mate", tools.cxUniform, indpb=0.3)
    toolbox.register("select", tools.selBest)
    first = run(toolbox).state()
    assert first["population"] != run(small_toolbox("original")).state()["population"]


def test_default_sizes_are_the_original_s():
    assert original_toolbox(Circles(), 50, PerPicture(warmth)).settings.population == 50
    assert climbing_toolbox(Circles(), 50, PerPicture(warmth)).settings.primitive.size == (256, 256)


def valued(*values):
    """Paintings of these fitnesses, each of its own shapes."""
    paintings = []
    for value in values:
        paintings.append(Painting([(1, 2, 3, 4, 5, round(value), 200)] * 7, CIRCLES))
        paintings[-1].fitness.values = (value,)
    return paintings


def scripted(*generations):
    """An evolution whose generations are written down: pairs of a population's fitnesses and of evaluations."""
    toolbox, script = small_toolbox(), iter(generations)

    def following(population=None):
        values, evaluations = next(script)
        return valued(*values), evaluations

    toolbox.register("start", following)
    toolbox.register("generation", following)
    return Evolution(toolbox, hall_of_fame=2)


def test_the_logbook_tells_what_each_generation_was():
    evolution = scripted(([1, 4, 7], 30), ([2, 2, 5], 3), ([8, 0, 0], 4))
    assert (evolution.generation, evolution.evaluations, evolution.population) == (-1, 0, [])
    evolution.run(2)
    expected = [(0, 30, 30, 7, 4, 1, 6**0.5), (1, 3, 33, 5, 3, 2, 2**0.5), (2, 4, 37, 8, 8 / 3, 0, 128**0.5 / 3)]
    names = ("gen", "nevals", "evaluations", "max", "avg", "min", "std")
    assert [tuple(record[name] for name in names) for record in evolution.logbook] == [
        pytest.approx(values) for values in expected
    ]
    assert all(type(record[name]) is float for record in evolution.logbook for name in names[3:])
    assert [painting.fitness.values[0] for painting in evolution.hall_of_fame] == [8, 7]
    assert (evolution.generation, evolution.evaluations, evolution.best_display_value) == (2, 37, 8)


def test_a_run_has_as_many_generations_as_it_is_told_and_goes_on_from_there():
    evolution = scripted(*[([number], 1) for number in range(9)])
    evolution.run(-1)
    assert evolution.generation == -1 and not evolution.hall_of_fame
    for last in (0, 0, 3, 2, 5):
        evolution.run(last)
    assert evolution.generation == 5 and evolution.logbook.select("gen") == list(range(6))


@pytest.mark.parametrize("until, generation", [(0.5, 1), (1.0, 1), (1.5, 2), (3.0, 3), (3.5, 4)])
def test_a_run_ends_as_soon_as_its_best_is_as_good_as_is_asked(until, generation):
    evolution = scripted(*[([number], 1) for number in range(9)])
    evolution.run(4, until=until)
    assert evolution.generation == generation and not evolution.interrupted
    evolution.run(8, until=until)
    assert evolution.generation == generation


def test_a_run_that_is_good_enough_at_its_start_ends_there():
    evolution = scripted(([3], 1), ([4], 1))
    evolution.run(9, until=3)
    assert evolution.generation == 0


def test_callbacks_begin_before_the_start_only_and_are_called_in_their_order():
    told = []

    class Begins:
        def begin(self, evolution):
            told.append(("begin", evolution.generation))

        def __call__(self, evolution):
            told.append(("first", evolution.generation))

    callbacks = [Begins(), lambda evolution: told.append(("second", evolution.generation))]
    evolution = scripted(*[([number], 1) for number in range(9)])
    evolution.run(1, callbacks=callbacks)
    evolution.run(2, callbacks=callbacks)
    assert told[0] == ("begin", -1)
    assert told[1:] == [(name, generation) for generation in range(3) for name in ("first", "second")]


def test_a_stop_of_a_run_that_is_over_does_not_end_the_next():
    evolution = scripted(*[([number], 1) for number in range(9)])
    evolution.run(2)
    evolution.stop()
    evolution.run(4)
    assert evolution.generation == 4 and not evolution.interrupted


def test_a_failing_generation_is_taken_back_memory_and_hall_of_fame_included():
    evolution = run(small_toolbox("compact"), generations=2)
    evolution.hall_of_fame.maxsize = 9
    before = json.dumps(evolution.state())

    def fail(population):
        evolution.toolbox.memory["tried"] = 10**6
        evolution.toolbox.rng.random()
        raise RuntimeError

    evolution.toolbox.register("generation", fail)
    with pytest.raises(RuntimeError):
        evolution.step()
    assert json.dumps(evolution.state()) == before and json.loads(before)["memory"]["tried"] > 0


def saved_state(strategy="compact"):
    return json.loads(json.dumps(run(small_toolbox(strategy), generations=3).state()))


def test_a_state_is_all_that_its_run_depends_on():
    evolution = run(small_toolbox("compact"), generations=3)
    state = evolution.state()
    assert list(state) == [
        "about",
        "generation",
        "evaluations",
        "random",
        "population",
        "hall_of_fame",
        "logbook",
        "memory",
    ]
    assert state["generation"] == 3 and state["evaluations"] == evolution.evaluations
    assert state["memory"] == {"tried": evolution.evaluations - evolution.logbook[0]["nevals"]}
    assert state["population"][0] == {
        "shapes": list(evolution.population[0]),
        "fitness": list(evolution.population[0].fitness.values),
    }
    assert "memory" not in run(small_toolbox("climb"), generations=1).state()


def test_a_state_is_taken_up_with_its_logbook_and_memory_in_place_of_what_there_was():
    state = saved_state()
    resumed = run(small_toolbox("compact"), generations=6)
    resumed.restore(state)
    assert json.loads(json.dumps(resumed.state())) == state
    assert resumed.logbook.select("gen") == [0, 1, 2, 3] and len(resumed.hall_of_fame) == 1
    assert all(type(shape) is tuple for painting in resumed.population for shape in painting)
    assert resumed.best.primitive == CIRCLES and resumed.best.fitness.valid


def test_a_run_that_goes_on_from_a_state_is_recorded_behind_what_was():
    resumed = Evolution(small_toolbox())
    resumed.restore(saved_state("climb"))
    resumed.run(5)
    whole = run(small_toolbox(), generations=5)
    assert list(resumed.logbook) == list(whole.logbook) and resumed.evaluations == whole.evaluations


def changed(state, **changes):
    return {**state, **changes}


LARGEST = 1 << 53


@pytest.mark.parametrize("name", ["generation", "evaluations"])
def test_numbers_of_a_state_are_up_to_what_every_reader_of_json_can_tell_apart(name):
    evolution, state = Evolution(small_toolbox("compact")), saved_state()
    evolution.restore(changed(state, **{name: LARGEST}))
    assert getattr(evolution, name) == LARGEST
    with pytest.raises(ValueError, match=f"{name}: got 9007199254740993, expected .* at most 9007199254740992"):
        evolution.restore(changed(state, **{name: LARGEST + 1}))
    evolution.restore(changed(state, evaluations=0))
    with pytest.raises(ValueError, match="evaluations: got -1"):
        evolution.restore(changed(state, evaluations=-1))


@pytest.mark.parametrize(
    "number, refused", [(0, False), (LARGEST, False), (-1, True), (LARGEST + 1, True), (1.5, True)]
)
def test_what_a_strategy_remembers_is_a_whole_number(number, refused):
    evolution, state = Evolution(small_toolbox("compact")), changed(saved_state(), memory={"tried": number})
    if refused:
        with pytest.raises(ValueError, match="tried: got .*, expected a whole number of at least 0"):
            evolution.restore(state)
        assert evolution.toolbox.memory == {} and evolution.generation == -1
    else:
        evolution.restore(state)
        assert evolution.toolbox.memory == {"tried": number}


def test_a_state_may_have_parents_beside_as_many_children():
    evolution, state = Evolution(small_toolbox()), saved_state("climb")
    painting = state["population"][0]
    evolution.restore(changed(state, population=[painting] * 12))
    assert len(evolution.population) == 12
    with pytest.raises(ValueError, match="population: got 13 paintings, the settings have 6"):
        evolution.restore(changed(state, population=[painting] * 13))


def test_before_its_start_a_state_has_no_paintings():
    before = json.loads(json.dumps(Evolution(small_toolbox()).state()))
    evolution = run(small_toolbox(), generations=2)
    evolution.restore(before)
    assert (evolution.generation, evolution.population, len(evolution.hall_of_fame)) == (-1, [], 0)
    evolution.run(8)
    assert evolution.state() == run(small_toolbox()).state()
    for name in ("population", "hall_of_fame"):
        with pytest.raises(ValueError, match=f"{name}: got no painting in generation 0, expected at least one"):
            evolution.restore(changed(saved_state("climb"), generation=0, **{name: []}))


@pytest.mark.parametrize("gene", range(7))
def test_genes_of_a_state_are_within_their_ranges_to_the_last(gene):
    evolution, state = Evolution(small_toolbox()), saved_state("climb")
    for end, step in zip(CIRCLES.ranges[gene], (-1, 1)):
        for value, refused in ((end, False), (end + step, True), (float(end), True), (bool(end), True)):
            shapes = [list(shape) for shape in state["population"][0]["shapes"]]
            shapes[-1][gene] = value
            changes = changed(state, population=[{"shapes": shapes, "fitness": [1.0]}])
            if refused:
                with pytest.raises(ValueError, match="shape: got .*, expected whole genes in"):
                    evolution.restore(changes)
            else:
                evolution.restore(changes)
                assert evolution.population[0][-1][gene] == end


@pytest.mark.parametrize("shape", [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 200, 7]])
def test_a_shape_of_a_state_has_as_many_genes_as_it_should(shape):
    state = saved_state("climb")
    with pytest.raises(ValueError, match="shape: got .*, expected whole genes in"):
        Evolution(small_toolbox()).restore(changed(state, population=[{"shapes": [shape] * 7, "fitness": [1.0]}]))


def test_the_next_gaussian_number_is_saved_too():
    evolution = run(small_toolbox(), generations=1)
    evolution.toolbox.rng.gauss(0, 1)
    state = json.loads(json.dumps(evolution.state()))
    resumed = Evolution(small_toolbox())
    resumed.restore(state)
    assert type(state["random"][2]) is float
    assert [resumed.toolbox.rng.gauss(0, 1) for _ in range(3)] == [evolution.toolbox.rng.gauss(0, 1) for _ in range(3)]


def test_a_picture_of_the_best_says_how_far_the_run_is():
    evolution = scripted(([0.25, 200], 30), ([123.45678], 3))
    assert evolution._repr_png_() is None and "before its first generation" in evolution._repr_html_()
    evolution.run(1)
    assert "fitness 200, generation 1, 33 evaluations" in evolution._repr_html_()
    assert evolution._repr_png_().startswith(b"\x89PNG")

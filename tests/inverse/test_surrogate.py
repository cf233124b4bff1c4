"""The original's way: the surrogate of JPEG, its training, and its reports."""

import theano_cpu  # noqa: F401
from theano_cpu.compile import compile_function
from theano_cpu.fuse import accelerate

import lasagne
import numpy as np
import pytest
import theano.tensor as T
from lasagne.layers import ElemwiseSumLayer, InputLayer, SliceLayer, get_all_param_values, get_output

from nsfw_experiments.inverse.surrogate import SurrogateAttack, build_surrogate
from open_nsfw import nsfw_score, resize_image

COFFEE = "img/coffee.jpg"


@pytest.fixture(scope="module")
def attack():
    return SurrogateAttack(COFFEE)


def original_surrogate(input_var):
    """The network as the original has it: zeros around, cropped at the end."""
    picture = layer = InputLayer((None, 3, 256, 256), input_var)
    for filters, nonlinearity in ((64, "rectify"), (64, "rectify"), (3, "linear")):
        function = getattr(lasagne.nonlinearities, nonlinearity)
        layer = lasagne.layers.Conv2DLayer(layer, filters, 5, pad="same", nonlinearity=function)
    layer = ElemwiseSumLayer([picture, layer])
    for axis in (2, 3):
        layer = SliceLayer(layer, slice(16, 240), axis)
    return layer


def test_the_surrogate_computes_what_the_originals_does():
    x = T.tensor4()
    ours, originals = build_surrogate(x), original_surrogate(x)
    lasagne.layers.set_all_param_values(originals, get_all_param_values(ours))
    assert ours.output_shape == originals.output_shape == (None, 3, 224, 224)
    picture = np.random.default_rng(0).normal(size=(1, 3, 256, 256)).astype("float32")
    values = compile_function([x], get_output(accelerate([ours, originals])))(picture)
    np.testing.assert_allclose(*values, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda attack: attack.run(5, every=0), "every: got 0, expected a whole number of at least 1"),
        (lambda attack: attack.run(-3), "iterations: got -3, expected a whole number of at least 0"),
        (lambda attack: attack.pretrain(-1), "iterations: got -1, expected a whole number of at least 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_first(call, message):
    with pytest.raises(ValueError, match=message):
        call(object.__new__(SurrogateAttack))


@pytest.mark.slow
def test_pretraining_makes_the_surrogate_better(attack):
    errors = attack.pretrain(6)
    assert errors[-1] < errors[0]


@pytest.mark.slow
def test_steps_train_picture_and_surrogate_in_turn_and_are_reported(attack):
    reports = []
    picture, returned = attack.run(2, every=1, report=reports.append)
    assert reports == returned and [report.iteration for report in reports] == [0, 1, 2]
    assert reports[0].max_norm == reports[0].l2_norm == 0  # of the picture before the step
    assert reports[0].score == pytest.approx(nsfw_score(resize_image(COFFEE)), abs=1e-6)
    # Adam's first step moves every value that has a gradient by its learning rate.
    assert reports[1].max_norm == pytest.approx(0.001, rel=0.1)
    assert reports[1].l2_norm > reports[1].max_norm
    assert picture.size == (256, 256)
    assert all(
        0 <= report.picture_loss <= 1 and report.surrogate_loss > 4 * (1 - report.picture_loss) for report in reports
    )
    assert str(reports[0]).startswith("i=0, score=0.01292, _nsfw_loss=")


@pytest.mark.slow
def test_ctrl_c_ends_a_run(attack):
    def stop(report):
        raise KeyboardInterrupt

    picture, reports = attack.run(100, every=1, report=stop)
    assert len(reports) == 1 and picture.size == (256, 256)

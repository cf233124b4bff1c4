"""Which operations take the place of others in a graph, which stay as they are, and that the values stay the same."""

import theano_cpu  # noqa: F401  # before theano

import numpy as np
import pytest
import theano
import theano.tensor as T
from theano.configparser import change_flags
from theano.gof import Query

from theano_cpu import ops
from theano_cpu.onednn.activation import Bfloat16, ReluGradient, Sum
from theano_cpu.onednn.layout import Layout
from theano_cpu.onednn.pooling import GlobalPool, GlobalPoolGradient, Pool, PoolGradient, Subsample, SubsampleGradient
from theano_cpu.onednn.rewrites import TAG

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")

#: The passes of `fast_compile`, and operations stay apart; nothing is compiled.
APART = theano.Mode(
    linker="py",
    optimizer=Query(include=["merge1", TAG, "add_destroy_handler", "merge3"], exclude=["theano_cpu_join"]),
)
PLAIN = theano.Mode(linker="py", optimizer=None)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def rewritten(outputs, *inputs):
    """The operations of a graph after all rewrites; its values are those that it had without."""
    with change_flags(on_opt_error="raise"):
        f = theano.function(inputs, outputs, mode=APART, on_unused_input="ignore")
    values = [random(*(2, 4, 6, 3)[: x.ndim], seed=seed).astype(x.dtype) for seed, x in enumerate(inputs)]
    before = [value.copy() for value in values]
    plain = theano.function(inputs, outputs, mode=PLAIN, on_unused_input="ignore")
    for got, expected in zip(f(*values), plain(*values), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    for value, same in zip(values, before):
        np.testing.assert_array_equal(value, same)
    return [node.op for node in f.maker.fgraph.toposort()]


def kinds(operations):
    return [type(op) for op in operations]


def ours(x):
    return Subsample((1, 1))(x)


def test_a_sum_of_pictures_is_computed_by_onednn_where_one_of_them_is_ours():
    x, y, z = T.tensor4(), T.tensor4(), T.tensor4()
    for total in x + ours(y), ours(x) + y, ours(x) + ours(y), x + y + ours(z):
        assert Sum in kinds(rewritten([total], x, y, z)[-2:])


def test_other_sums_stay_theanos():
    x, y = T.tensor4(), T.tensor4()
    means = ops.global_pool(x) + ops.global_pool(y)
    for total in (
        means,
        narrowed(x) + narrowed(y),
        x + y,
        ours(x) * y,
        ours(x) + T.constant(np.ones((1, 1, 1, 3), "float32")),
        ours(x).sum((0, 1)) + 1,
    ):
        assert Sum not in kinds(rewritten([total], x, y))
    double = T.dtensor4()
    assert Sum not in kinds(rewritten([T.cast(ours(x), "float64") + double, y], x, y, double))


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_the_sum_before_a_gradient_of_relu_becomes_part_of_it(slope):
    a, b, y = T.tensor4(), T.tensor4(), T.tensor4()
    [op] = rewritten([ReluGradient(slope)(Sum()(a, b), y)], a, b, y)
    assert type(op) is ReluGradient and op.negative_slope == slope


def test_a_sum_of_three_or_one_that_is_wanted_itself_stays_before_it():
    a, b, c, y = T.tensor4(), T.tensor4(), T.tensor4(), T.tensor4()
    assert kinds(rewritten([ReluGradient()(Sum()(a, b, c), y)], a, b, c, y)) == [Sum, ReluGradient]
    total = Sum()(a, b)
    assert sorted(map(str, kinds(rewritten([ReluGradient()(total, y), total], a, b, y)))) == sorted(
        map(str, [Sum, ReluGradient])
    )


@pytest.mark.parametrize("mode, first", [("max", ReluGradient), ("average_inc_pad", PoolGradient)])
def test_only_before_a_maximum_the_gradient_of_relu_looks_at_the_smaller_picture(mode, first):
    x, g = T.tensor4(), T.tensor4()
    pool = Pool((2, 2), (2, 2), (0, 0), mode, True)
    relu = T.nnet.relu(x)
    gradient = PoolGradient((2, 2), (2, 2), (0, 0), mode, True)(relu, pool(relu), pool(g))
    found = [
        op for op in rewritten([ReluGradient()(gradient, relu)], x, g) if isinstance(op, (ReluGradient, PoolGradient))
    ]
    assert kinds(found)[0] is first and len(found) == 2


def test_the_gradient_of_another_relu_or_one_that_is_wanted_itself_is_not_moved():
    x, y, g = T.tensor4(), T.tensor4(), T.tensor4()
    pool = Pool((2, 2), (2, 2), (0, 0), "max", True)
    gradient = PoolGradient((2, 2), (2, 2), (0, 0), "max", True)(x, pool(x), pool(g))
    for outputs in [ReluGradient()(gradient, y)], [ReluGradient()(gradient, x), gradient]:
        found = [op for op in rewritten(outputs, x, y, g) if isinstance(op, (ReluGradient, PoolGradient))]
        assert kinds(found) == [PoolGradient, ReluGradient]


# bfloat16


def narrowed(x):
    return Bfloat16(True)(x)


def widened(x):
    return Bfloat16(False)(x)


@pytest.mark.parametrize("make, expected", [
    (lambda x: widened(narrowed(widened(narrowed(x)))), [Bfloat16, Bfloat16]),
    (lambda x: ops.global_pool(widened(narrowed(x))), [Bfloat16, GlobalPool]),
    (lambda x: widened(narrowed(ops.subsample(x, 2))), [Bfloat16, Subsample, Bfloat16]),
    (lambda x: ops.subsample(widened(narrowed(x)), 2), [Bfloat16, Subsample, Bfloat16]),
    (lambda x: ops.pool2d(widened(narrowed(x)), 2), [Bfloat16, Pool, Bfloat16]),
    (lambda x: ops.pool2d(widened(narrowed(x)), 2, mode="average_inc_pad"), [Bfloat16, Bfloat16, Pool]),
    (lambda x: widened(narrowed(ops.to_nhwc(x))), [Layout, Bfloat16]),
    (lambda x: widened(narrowed(ops.to_nchw(x))), [Layout, Bfloat16, Bfloat16]),
    (lambda x: ops.subsample(x, 2), [Subsample]),
    (lambda x: ReluGradient()(x, widened(narrowed(x))), [Bfloat16, ReluGradient]),
    (lambda x: ReluGradient()(x, x), [ReluGradient]),
    (lambda x: SubsampleGradient((2, 2))(widened(narrowed(x)), ops.subsample(x, 2)),
     [Subsample, SubsampleGradient]),  # nothing is converted for its shape
    (lambda x: GlobalPoolGradient()(widened(narrowed(x)), ops.global_pool(x)),
     [GlobalPool, GlobalPoolGradient]),
])  # fmt: skip
def test_values_stay_bfloat16_between_operations_that_know_it(make, expected):
    x = T.tensor4()
    assert sorted(map(str, kinds(rewritten([make(x)], x)))) == sorted(map(str, expected))


def test_a_program_of_bfloat16_numbers_takes_and_gives_them():
    narrow = T.tensor4(dtype="uint16")
    f = theano.function([narrow], Subsample((1, 2))(Subsample((2, 1))(narrow)), mode=ops.fast_compile())
    assert len(f.maker.fgraph.apply_nodes) == 1
    values = np.arange(2 * 4 * 6 * 3, dtype="uint16").reshape(2, 4, 6, 3)
    got = f(values)
    assert got.dtype == "uint16"
    np.testing.assert_array_equal(got, values[:, ::2, ::2])


# In place


def test_what_nobody_else_needs_is_overwritten_and_the_callers_arrays_are_not():
    x, y, w = T.tensor4(), T.tensor4(), T.constant(random(3, 3, 1, 1))
    for output, inplace in [
        (Sum()(ours(x), y), True),
        (Sum()(x, y), False),
        (ReluGradient()(ours(x), y), True),
        (ReluGradient()(x, y), False),
        (ops.conv2d(x, w, residual=ours(y)), True),
        (ops.conv2d(x, w, residual=y), False),
    ]:
        assert rewritten([output], x, y)[-1].inplace is inplace
    assert not rewritten([ops.conv2d(x, w)], x)[-1].inplace


def test_functions_are_run_by_theanos_c_virtual_machine_and_keep_nothing():
    linker = ops.fast_compile().linker
    assert linker.use_cloop is True and linker.allow_gc is True

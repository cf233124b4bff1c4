"""`theano_cpu.shapes`: lengths of outputs, counted window by window."""

import pytest
import theano.tensor as T
import unoptimised
from hypothesis import given, settings
from hypothesis import strategies as st

from theano_cpu.shapes import conv_output_length, pool_output_length

LENGTHS, SMALL = st.integers(1, 40), st.integers(1, 7)


def counted_filters(length, size, stride, pad, dilation):
    """How many filters, `stride` apart, lie within the padded input."""
    reach = dilation * (size - 1) + 1
    return sum(start + reach <= length + 2 * pad for start in range(0, length + 2 * pad, stride))


def counted_windows(length, size, stride, pad, ceil):
    """How many windows of a pooling there are, as Caffe's pooling_layer.cpp lays them out."""
    if not ceil:
        return counted_filters(length, size, stride, pad, 1)
    count, start = 1, 0
    while start + size < length + 2 * pad and start + stride < length + pad:  # something is left, and begins in time
        count, start = count + 1, start + stride
    return count


@given(LENGTHS, SMALL, SMALL, st.integers(0, 6), SMALL)
def test_a_convolution_has_as_many_outputs_as_filters_lie_within_the_input(length, size, stride, pad, dilation):
    expected = counted_filters(length, size, stride, pad, dilation)
    assert max(conv_output_length(length, size, stride, pad, dilation), 0) == expected


@given(LENGTHS, SMALL, SMALL, st.data(), st.booleans())
def test_a_pooling_has_as_many_outputs_as_windows(length, size, stride, data, ceil):
    pad = data.draw(st.integers(0, size - 1))
    expected = counted_windows(length, size, stride, pad, ceil)
    assert max(pool_output_length(length, size, stride, pad, ceil), 0) == expected


@given(LENGTHS, SMALL)
def test_a_subsample_is_a_convolution_with_filters_of_length_one(length, step):
    assert conv_output_length(length, 1, step) == len(range(length)[::step])


@settings(max_examples=20)
@given(LENGTHS, SMALL, SMALL, st.data(), SMALL)
def test_symbolic_lengths_give_the_same(length, size, stride, data, dilation):
    pad = data.draw(st.integers(0, size - 1))
    n, k = T.lscalars("n", "k")
    outputs = [conv_output_length(n, k, stride, pad, dilation)]
    outputs += [pool_output_length(n, size, stride, pad, ceil) for ceil in (False, True)]
    expected = [conv_output_length(length, size, stride, pad, dilation)]
    expected += [pool_output_length(length, size, stride, pad, ceil) for ceil in (False, True)]
    assert [int(value) for value in unoptimised.function([n, k], outputs)(length, size)] == expected


@pytest.mark.parametrize("output_length", [
    lambda length: conv_output_length(length, 3, 2), lambda length: pool_output_length(length, 3, 2, 1, True),
])  # fmt: skip
def test_an_unknown_length_stays_unknown(output_length):
    assert output_length(None) is None

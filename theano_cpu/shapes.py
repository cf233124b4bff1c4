"""Lengths of outputs along one axis of a picture, under Lasagne's names.

They calculate with Python's integers and with symbolic Theano integers alike, so that layers, operations and their
inferred shapes share one formula. Nothing is imported here.
"""

from __future__ import annotations

from typing import Any


def conv_output_length(input_length: Any, filter_size: Any, stride: int, pad: int = 0, dilation: int = 1) -> Any:
    """Give the number of places along an axis where a filter lies within the padded input.

    Parameters
    ----------
    input_length : int, symbolic int or None
    filter_size : int or symbolic int
    stride : int
        At least 1.
    pad : int, optional
        Zeros added on both sides.
    dilation : int, optional
        Distance between neighbouring values of the filter, at least 1.

    Returns
    -------
    int, symbolic int or None
        ``(input_length + 2 * pad - (dilation * (filter_size - 1) + 1)) // stride + 1``, which is 0 or less where the
        filter is larger than the input; None for an unknown `input_length`.

    References
    ----------
    .. [1] Caffe, ``src/caffe/layers/conv_layer.cpp``,
       https://github.com/BVLC/caffe/blob/master/src/caffe/layers/conv_layer.cpp
    .. [2] ``lasagne.layers.conv.conv_output_length``, which has no dilation.

    Examples
    --------
    >>> conv_output_length(224, 7, stride=2, pad=3)
    112
    >>> conv_output_length(9, 3, stride=1, dilation=2)
    5
    >>> conv_output_length(None, 3, stride=1) is None
    True
    """
    if input_length is None:
        return None
    return (input_length + (2 * pad - (filter_size - 1) * dilation - 1)) // stride + 1


def pool_output_length(input_length: Any, pool_size: int, stride: int, pad: int, ceil: bool) -> Any:
    """Give the number of windows of a pooling along an axis.

    Parameters
    ----------
    input_length : int, symbolic int or None
    pool_size, stride : int
        At least 1.
    pad : int
        Less than `pool_size`; added on both sides.
    ceil : bool
        False leaves out windows that reach over the padded input's end. True keeps them, but, as Caffe, none that
        begins behind the input and the padding in front of it.

    Returns
    -------
    int, symbolic int or None
        None for an unknown `input_length`.

    References
    ----------
    .. [1] Caffe, ``src/caffe/layers/pooling_layer.cpp``, whose ``round_mode`` CEIL (the default) is ``ceil=True``,
       https://github.com/BVLC/caffe/blob/master/src/caffe/layers/pooling_layer.cpp
    .. [2] ``lasagne.layers.pool.pool_output_length``, whose ``ignore_border=True`` is ``ceil=False``.

    Examples
    --------
    >>> [pool_output_length(112, 3, stride=2, pad=0, ceil=ceil) for ceil in (False, True)]
    [55, 56]
    """
    if input_length is None:
        return None
    room = input_length + 2 * pad - pool_size
    if not ceil:
        return room // stride + 1
    # Products with comparisons and not min and max, for integers and Theano variables alike
    steps = (room + stride - 1) // stride
    steps = steps * (steps > 0)
    return steps + 1 - (steps * stride >= input_length + pad)

"""What the constructors of layers share: shapes of parameters, and errors that name the layer."""

from __future__ import annotations

from typing import Any

from theano.compile import SharedVariable


def shape_of(value: Any) -> tuple[int, ...]:
    """Give the shape of an array, or of a shared variable's present value.

    Parameters
    ----------
    value : ndarray or shared variable

    Returns
    -------
    tuple of int
    """
    return tuple((value.get_value(borrow=True) if isinstance(value, SharedVariable) else value).shape)


def called(layer: Any) -> str:
    """Say what error messages call a layer.

    Parameters
    ----------
    layer : lasagne.layers.Layer

    Returns
    -------
    str
        Its name, or its class if it has none.
    """
    return f"layer {layer.name!r}" if layer.name else type(layer).__name__


def expect(layer: Any, what: str, got: Any, expected: Any) -> None:
    """Compare what a layer was given with what it needs.

    Parameters
    ----------
    layer : lasagne.layers.Layer
    what : str
        What is compared, for the message.
    got, expected : object

    Raises
    ------
    ValueError
        If they differ; the message names the layer.
    """
    if got != expected:
        raise ValueError(f"{called(layer)}: {what}: got {got}, expected {expected}")

"""What the constructors of layers share: shapes of parameters, and errors that name the layer."""

from __future__ import annotations

from typing import Any

from theano.compile import SharedVariable


def shape_of(value: Any) -> tuple[int, ...]:
    """Give the shape of an array, or of a shared variable's present value."""
    return tuple((value.get_value(borrow=True) if isinstance(value, SharedVariable) else value).shape)


def called(layer: Any) -> str:
    """Say what error messages call a layer: by its name, or by its class if it has none."""
    return f"layer {layer.name!r}" if layer.name else type(layer).__name__


def expect(layer: Any, what: str, got: Any, expected: Any) -> None:
    """Raise a ValueError that names the layer unless `got` is what is `expected`."""
    if got != expected:
        raise ValueError(f"{called(layer)}: {what}: got {got}, expected {expected}")

"""What a network's files say of one layer, in Python's own types, and the error that names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nsfw_model import ModelFileError

MAX_SIZE = 1 << 16  # of one dimension of anything: channels, rows, kernels, strides
MAX_VALUES = 1 << 28  # of one blob


class PrototxtError(ModelFileError):
    """A prototxt, or the layers of a caffemodel, do not describe a network that can be built."""


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a network: what it is, what it is connected to, and its settings, defaults filled in.

    Two files describe the same network if and only if their specs are equal.

    Attributes
    ----------
    name, type : str
        Caffe's layer name and layer type.
    bottoms, tops : tuple of str
        Names of the blobs that go in and come out. In place if equal.
    settings : dict
        By layer type, see the modules of `nsfw_model.layer_types`.
    where : str
        File and line for error messages; not compared.

    Examples
    --------
    >>> spec = LayerSpec("pool1", "Pooling", ("conv1",), ("pool1",), {}, "net.prototxt:12")
    >>> print(spec.error("stride: got 0, expected 1 to 65536"))
    net.prototxt:12: layer 'pool1' (Pooling): stride: got 0, expected 1 to 65536
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    where: str = field(default="", compare=False)

    def error(self, message: str, kind: Callable[[str], ValueError] = PrototxtError) -> ValueError:
        """Return an exception whose text starts with the file, line, name and type of this layer.

        Parameters
        ----------
        message : str
        kind : callable
            The exception's class.

        Returns
        -------
        ValueError
            Not raised yet.
        """
        prefix = f"{self.where}: " if self.where else ""
        return kind(f"{prefix}layer {self.name!r} ({self.type}): {message}")

"""Architecture: a Caffe prototxt, read into one `LayerSpec` for each layer that runs in Caffe's TEST phase.

Nothing is skipped in silence. An unknown field or layer type, a rule that cannot be decided, a blob that
nobody makes, a size out of bounds: each is a `PrototxtError` that names file, line and layer. What only
training uses (fillers, learning rate multipliers, loss weights; "training only" in `schema`) is known and has
no effect on inference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from nsfw_model import ModelFileError
from nsfw_model.schema import LayerParameter, NetParameter

__all__ = ["LayerSpec", "PrototxtError", "layer_specs", "read_prototxt", "runs_in_test"]

MAX_FILE_BYTES = 4 << 20
MAX_LAYERS = 4096
MAX_SIZE = 1 << 16  # of one dimension of anything: channels, rows, kernels, strides
MAX_VALUES = 1 << 28  # of one blob


_OLD_FORMAT = (
    "got layers of Caffe's V1 format (`layers`), expected `layer`; Caffe's tools upgrade_net_proto_text and "
    "upgrade_net_proto_binary convert such files"
)


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
        By type, see the functions of this module that read them, such as `_convolution`.
    where : str
        File and line for error messages; not compared.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: dict = field(default_factory=dict)
    where: str = field(default="", compare=False)

    def error(self, message: str, kind: Callable[[str], ValueError] = PrototxtError) -> ValueError:
        """Return an exception whose text starts with the file, line, name and type of this layer."""
        prefix = f"{self.where}: " if self.where else ""
        return kind(f"{prefix}layer {self.name!r} ({self.type}): {message}")


def read_prototxt(path: str | Path) -> list[LayerSpec]:
    """Read the layers of a prototxt file that run in the TEST phase.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of LayerSpec
        In file order. Old files that declare their input at the top (``input: "data"``) get an Input layer of
        that name.

    Raises
    ------
    PrototxtError
        If the file is not understood as a whole.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> specs = read_prototxt("nsfw_model/deploy.prototxt")
    >>> specs[1].name, specs[1].type, specs[1].settings["kernel"]
    ('conv_1', 'Convolution', (7, 7))
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise PrototxtError(f"{path}: got {size} bytes, expected at most {MAX_FILE_BYTES} of text")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PrototxtError(f"{path}: expected text, got binary data at byte {error.start}") from error
    starts = _layer_starts(text)
    net = NetParameter()
    try:
        text_format.Parse(text, net)
    except text_format.ParseError as error:
        if "V1LayerParameter" in str(error):
            raise PrototxtError(f"{path}: {_OLD_FORMAT}") from error
        raise PrototxtError(_located(path, starts, error)) from error
    lines = [line for line, _ in starts]
    return layer_specs(net, path, lines if len(lines) == len(net.layer) else None)


def layer_specs(net: NetParameter, path: str | Path, lines: Sequence[int] | None = None) -> list[LayerSpec]:
    """Turn a NetParameter message into the layer specs of its TEST phase, with the checks of `read_prototxt`.

    Parameters
    ----------
    net : NetParameter
    path : str or Path
        For error messages.
    lines : sequence of int, optional
        The line of each layer, for error messages.

    Returns
    -------
    list of LayerSpec
    """
    if net.layers:
        raise PrototxtError(f"{path}: {_OLD_FORMAT}")
    if len(net.layer) > MAX_LAYERS:
        raise PrototxtError(f"{path}: got {len(net.layer)} layers, expected at most {MAX_LAYERS}")
    if net.state.phase != _TEST or net.state.level or net.state.stage:
        raise PrototxtError(f"{path}: state: expected the TEST phase without level and stages")
    specs = _legacy_inputs(net, path)
    shared: dict[str, LayerSpec] = {}
    for index, layer in enumerate(net.layer):
        where = f"{path}:{lines[index]}" if lines else f"{path}"
        if runs_in_test(layer, where):
            specs.append(_layer_spec(layer, where))
            _check_sharing(layer, specs[-1], shared)
    _check_names(specs, path)
    _check_wiring(specs)
    return specs


_TOKEN = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|\w+|[{}<>]|\n")


def _layer_starts(text):
    """Return (line, name) of each `layer` block; protobuf's parser keeps neither.

    Only error messages depend on this, so text that the parser refuses anyway may come out wrong.
    """
    starts, depth, line, before = [], 0, 1, ""
    for token in _TOKEN.findall(text):
        if token == "\n":
            line += 1
            continue
        if token.startswith("#"):
            continue
        if token in "{<":
            depth += 1
        elif token in "}>":
            depth -= 1
        elif depth == 0 and token == "layer":
            starts.append((line, ""))
        elif depth == 1 and before == "name" and token[0] in "\"'" and starts:
            starts[-1] = (starts[-1][0], token[1:-1])
        before = token
    return starts


def _located(path, starts, error):
    """Say where protobuf's parser stopped: file, line and layer."""
    line = error.GetLine()
    message = re.sub(r"^\d+:\d+ : ", "", str(error))
    inside = [name for start, name in starts if line is not None and start <= line]
    layer = f"layer {inside[-1]!r}: " if inside else ""
    return f"{path}:{line}: {layer}{message}" if line is not None else f"{path}: {message}"


def _legacy_inputs(net, path):
    """Input specs for the fields `input`, `input_shape` and `input_dim` of older files."""
    names, shapes, dims = list(net.input), [tuple(s.dim) for s in net.input_shape], list(net.input_dim)
    if dims and shapes:
        raise PrototxtError(f"{path}: got both input_dim and input_shape, expected one of them")
    if len(dims) != 4 * len(names) if dims else len(shapes) != len(names):
        got = f"{len(dims)} of input_dim" if dims else f"{len(shapes)} of input_shape"
        raise PrototxtError(
            f"{path}: got {len(names)} of input and {got}, expected 4 of input_dim or 1 of input_shape each"
        )
    if dims:
        shapes = [tuple(dims[i : i + 4]) for i in range(0, len(dims), 4)]
    specs = []
    for name, shape in zip(names, shapes):
        spec = LayerSpec(name, "Input", (), (name,), {"shape": shape}, f"{path}")
        _check_input_shape(spec, shape)
        specs.append(spec)
    return specs


def runs_in_test(layer: LayerParameter, where: str = "") -> bool:
    """Apply a layer's include or exclude rules to Caffe's TEST phase.

    Parameters
    ----------
    layer : LayerParameter
    where : str
        File and line, for error messages.

    Raises
    ------
    PrototxtError
        If a rule has no condition, or one that the phase alone does not decide.
    """
    spec = LayerSpec(layer.name, layer.type, (), (), where=where)
    if layer.include and layer.exclude:
        raise spec.error("got both include and exclude rules, expected one kind")
    rules = layer.include or layer.exclude
    if not rules:
        return True
    met = [_rule_is_met(rule, spec) for rule in rules]
    if None in met and True not in met:
        raise spec.error(
            "its include or exclude rule depends on level or stage, which only Caffe's command line knows; "
            "expected rules that the phase decides"
        )
    return (True in met) == bool(layer.include)


def _rule_is_met(rule, spec):
    """True, False, or None where the phase does not decide."""
    if not rule.ListFields():
        raise spec.error("got an include or exclude rule without a condition")
    if rule.HasField("phase") and rule.phase != _TEST:
        return False
    only_phase = not (rule.HasField("min_level") or rule.HasField("max_level") or rule.stage or rule.not_stage)
    return True if only_phase else None


_TEST = NetParameter.DESCRIPTOR.file.enum_types_by_name["Phase"].values_by_name["TEST"].number


def _layer_spec(layer, where):
    """Translate one LayerParameter message."""
    spec = LayerSpec(layer.name, layer.type, tuple(layer.bottom), tuple(layer.top), {}, where)
    if not layer.name:
        raise spec.error("got no name")
    if layer.blobs:
        raise spec.error("got blobs, expected the weights in a file of their own (a caffemodel, converted)")
    if layer.HasField("phase") and layer.phase != _TEST:
        raise spec.error("phase: got TRAIN, expected a layer of the TEST phase")
    if layer.type not in _LAYER_TYPES:
        raise spec.error(f"got an unknown layer type, expected one of {', '.join(sorted(_LAYER_TYPES))}")
    layer_type = _LAYER_TYPES[layer.type]
    for descriptor, _ in layer.ListFields():
        of_a_type = descriptor.name.endswith("_param") and descriptor.name not in (
            "transform_param",
            "loss_param",
        )
        if of_a_type and descriptor.name != layer_type.field:
            raise spec.error(f"got {descriptor.name}, which this layer type does not use")
    bottoms = "1 or more" if layer_type.bottoms is None else layer_type.bottoms
    if len(spec.bottoms) != bottoms if layer_type.bottoms is not None else not spec.bottoms:
        raise spec.error(f"got {len(spec.bottoms)} bottoms, expected {bottoms}")
    if len(spec.tops) != 1:
        raise spec.error(f"got {len(spec.tops)} tops, expected 1")
    settings = layer_type.read(getattr(layer, layer_type.field), spec)
    return LayerSpec(spec.name, spec.type, spec.bottoms, spec.tops, settings, where)


def _input(p, spec):
    if len(p.shape) != 1:
        raise spec.error(f"got {len(p.shape)} shapes, expected 1")
    shape = tuple(p.shape[0].dim)
    _check_input_shape(spec, shape)
    return {"shape": shape}


def _check_input_shape(spec, shape):
    if len(shape) not in (2, 4):
        raise spec.error(f"shape: got {shape}, expected (batch, channels, height, width) or (batch, values)")
    for size in shape:
        _in_bounds(spec, "shape", size, 1)
    if np.prod(shape, dtype=object) > MAX_VALUES:
        raise spec.error(f"shape: got {shape}, expected at most {MAX_VALUES} values")


def _convolution(p, spec):
    _first_axis_is_channels(spec, p.axis)
    kernel = _pair(spec, p, "kernel", list(p.kernel_size), "kernel_h", "kernel_w", None, 1)
    stride = _pair(spec, p, "stride", list(p.stride), "stride_h", "stride_w", 1, 1)
    pad = _pair(spec, p, "pad", list(p.pad), "pad_h", "pad_w", 0, 0)
    dilation = _pair(spec, p, "dilation", list(p.dilation), None, None, 1, 1)
    num_output = _in_bounds(spec, "num_output", p.num_output, 1)
    group = _in_bounds(spec, "group", p.group, 1)
    if num_output % group:
        raise spec.error(f"num_output: got {num_output}, expected a multiple of group {group}")
    return {
        "num_output": num_output,
        "kernel": kernel,
        "stride": stride,
        "pad": pad,
        "dilation": dilation,
        "group": group,
        "bias": p.bias_term,
    }


def _batch_norm(p, spec):
    if p.HasField("use_global_stats") and not p.use_global_stats:
        raise spec.error(
            "use_global_stats: got false, expected true: statistics of the batch would make "
            "the result for one picture depend on the others"
        )
    eps = _finite(spec, "eps", p.eps)
    if eps <= 0:
        raise spec.error(f"eps: got {eps}, expected a number above 0")
    return {"eps": eps}


def _scale(p, spec):
    if p.axis == 0 and p.num_axes != 0:
        raise spec.error("axis: got 0, expected at least 1: a factor for each picture of a batch cannot be learned")
    if p.num_axes < -1:
        raise spec.error(f"num_axes: got {p.num_axes}, expected -1 or more")
    return {"axis": p.axis, "num_axes": p.num_axes, "bias": p.bias_term}


def _relu(p, spec):
    return {"negative_slope": _finite(spec, "negative_slope", p.negative_slope)}


def _pooling(p, spec):
    mode = {0: "max", 1: "ave"}.get(p.pool)
    if mode is None:
        raise spec.error("pool: got STOCHASTIC, expected MAX or AVE")
    stride = _pair(spec, p, "stride", [p.stride] * p.HasField("stride"), "stride_h", "stride_w", 1, 1)
    pad = _pair(spec, p, "pad", [p.pad] * p.HasField("pad"), "pad_h", "pad_w", 0, 0)
    if p.global_pooling:
        if p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w"):
            raise spec.error("got global_pooling and a kernel size, expected one of them")
        if stride != (1, 1) or pad != (0, 0):
            raise spec.error(f"got global_pooling with stride {stride} and pad {pad}, expected stride 1 and pad 0")
        return {"mode": mode, "global_pooling": True}
    kernel = _pair(spec, p, "kernel", [p.kernel_size] * p.HasField("kernel_size"), "kernel_h", "kernel_w", None, 1)
    if any(p >= k for p, k in zip(pad, kernel)):
        raise spec.error(f"pad: got {pad}, expected less than the kernel {kernel}")
    return {"mode": mode, "kernel": kernel, "stride": stride, "pad": pad, "global_pooling": False}


def _eltwise(p, spec):
    operation = {0: "prod", 1: "sum", 2: "max"}[p.operation]
    coeff = tuple(_finite(spec, "coeff", c) for c in p.coeff)
    if coeff and operation != "sum":
        raise spec.error(f"coeff: got coefficients for {operation.upper()}, expected them for SUM only")
    if coeff and len(coeff) != len(spec.bottoms):
        raise spec.error(f"coeff: got {len(coeff)}, expected {len(spec.bottoms)}, one for each bottom")
    if len(spec.bottoms) < 2:
        raise spec.error(f"got {len(spec.bottoms)} bottoms, expected 2 or more")
    all_ones = all(c == 1 for c in coeff)
    return {"operation": operation, "coeff": None if all_ones else coeff}


def _inner_product(p, spec):
    _first_axis_is_channels(spec, p.axis)
    num_output = _in_bounds(spec, "num_output", p.num_output, 1)
    return {"num_output": num_output, "bias": p.bias_term, "transpose": p.transpose}


def _softmax(p, spec):
    if p.axis == 0:
        raise spec.error("axis: got 0, expected another: the batch is not normalised over")
    return {"axis": p.axis}


def _dropout(p, spec):
    ratio = _finite(spec, "dropout_ratio", p.dropout_ratio)
    if not 0 < ratio < 1:
        raise spec.error(f"dropout_ratio: got {ratio}, expected a number between 0 and 1")
    return {"ratio": ratio}


def _concat(p, spec):
    if p.HasField("axis") and p.HasField("concat_dim"):
        raise spec.error("got both axis and concat_dim, expected one of them")
    axis = p.concat_dim if p.HasField("concat_dim") else p.axis
    if axis == 0:
        raise spec.error("axis: got 0, expected another: batches are not joined")
    return {"axis": axis}


def _lrn(p, spec):
    local_size = _in_bounds(spec, "local_size", p.local_size, 1)
    if local_size % 2 == 0:
        raise spec.error(f"local_size: got {local_size}, expected an odd number")
    numbers = {name: _finite(spec, name, getattr(p, name)) for name in ("alpha", "beta", "k")}
    return {"local_size": local_size, **numbers, "within_channel": p.norm_region == 1}


@dataclass(frozen=True)
class _LayerType:
    field: str  # of the layer's own settings in LayerParameter
    bottoms: int | None  # None for one or more
    read: Callable  # (settings message, LayerSpec) -> settings


_LAYER_TYPES = {
    "Input": _LayerType("input_param", 0, _input),
    "Convolution": _LayerType("convolution_param", 1, _convolution),
    "BatchNorm": _LayerType("batch_norm_param", 1, _batch_norm),
    "Scale": _LayerType("scale_param", 1, _scale),
    "ReLU": _LayerType("relu_param", 1, _relu),
    "Pooling": _LayerType("pooling_param", 1, _pooling),
    "Eltwise": _LayerType("eltwise_param", None, _eltwise),
    "InnerProduct": _LayerType("inner_product_param", 1, _inner_product),
    "Softmax": _LayerType("softmax_param", 1, _softmax),
    "Dropout": _LayerType("dropout_param", 1, _dropout),
    "Concat": _LayerType("concat_param", None, _concat),
    "LRN": _LayerType("lrn_param", 1, _lrn),
}


def _pair(spec, p, what, values, name_h, name_w, default, least):
    """Read a setting for height and width: one value for both, two values, or the fields `_h` and `_w`."""
    has_h, has_w = (name is not None and p.HasField(name) for name in (name_h, name_w))
    if has_h or has_w:
        if values:
            raise spec.error(f"{what}: got both one field for height and width and {name_h} or {name_w}")
        if default != 0 and not (has_h and has_w):
            raise spec.error(f"{what}: got one of {name_h} and {name_w}, expected both")
        values = [getattr(p, name_h), getattr(p, name_w)]
    elif not values:
        if default is None:
            raise spec.error(f"{what}: got none")
        values = [default]
    if len(values) > 2:
        raise spec.error(f"{what}: got {len(values)} values, expected 1, or 2 for height and width")
    height, width = (_in_bounds(spec, what, value, least) for value in (values * 2 if len(values) == 1 else values))
    return height, width


def _in_bounds(spec, what, value, least):
    if not least <= value <= MAX_SIZE:
        raise spec.error(f"{what}: got {value}, expected {least} to {MAX_SIZE}")
    return value


def _finite(spec, what, value):
    """The nearest float32: protobuf releases differ in what they return for a float field's default."""
    if not np.isfinite(value):
        raise spec.error(f"{what}: got {value}, expected a finite number")
    return float(np.float32(value))


def _first_axis_is_channels(spec, axis):
    if axis != 1:
        raise spec.error(f"axis: got {axis}, expected 1, the channels")


def _check_names(specs, path):
    if not specs:
        raise PrototxtError(f"{path}: got no layer that runs in the TEST phase")
    repeated = [name for name, count in Counter(spec.name for spec in specs).items() if count > 1]
    if repeated:
        second = [spec for spec in specs if spec.name == repeated[0]][1]
        raise second.error("got the name of an earlier layer, expected a name of its own")


def _check_sharing(layer, spec, shared):
    """Refuse blobs that two layers share, which Caffe does for a parameter name that occurs twice."""
    for param in layer.param:
        if param.name and shared.setdefault(param.name, spec) is not spec:
            raise spec.error(
                f"param name {param.name!r}: got a blob shared with layer {shared[param.name].name!r}, "
                "expected blobs of its own"
            )


def _check_wiring(specs):
    """Each bottom is made earlier; each top is made once, or changed in place; one input, one output."""
    makers: dict[str, LayerSpec] = {}
    read: set[str] = set()
    for spec in specs:
        (top,) = spec.tops
        for bottom in spec.bottoms:
            if bottom not in makers:
                raise spec.error(f"bottom {bottom!r}: no earlier layer makes it")
            read.add(makers[bottom].name)
        if top in makers and top not in spec.bottoms:
            raise spec.error(f"top {top!r}: layer {makers[top].name!r} makes it already")
        if top in spec.bottoms and spec.type not in _IN_PLACE_TYPES:
            raise spec.error(f"top {top!r}: this layer type does not work in place")
        makers[top] = spec
    inputs = [spec for spec in specs if spec.type == "Input"]
    if len(inputs) != 1:
        raise [*specs[:1], *inputs][-1].error(f"got a network of {len(inputs)} inputs, expected 1")
    outputs = [spec for spec in specs if spec.name not in read]
    if len(outputs) != 1:
        names = ", ".join(repr(spec.name) for spec in outputs)
        raise outputs[0].error(f"got {len(outputs)} layers whose output nobody reads ({names}), expected 1")


_IN_PLACE_TYPES = ("BatchNorm", "Scale", "ReLU", "Dropout", "Softmax", "Eltwise")

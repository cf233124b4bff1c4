"""Architecture: a Caffe prototxt, read into one `LayerSpec` for each layer that runs in Caffe's TEST phase.

Nothing is skipped in silence. An unknown field or layer type, a rule that cannot be decided, a blob that
nobody makes, a size out of bounds: each is a `PrototxtError` that names file, line and layer. What only
training uses (fillers, learning rate multipliers, loss weights; "training only" in `schema`) is known and has
no effect on inference. Files of older formats are brought up to date first (`upgrade`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from nsfw_model.layer_types import LAYER_TYPES, all_settings
from nsfw_model.layer_types.record import Count
from nsfw_model.regular_file import read_regular
from nsfw_model.schema import LayerParameter, NetParameter
from nsfw_model.signatures import mistaken_for
from nsfw_model.spec import MAX_SIZE, MAX_VALUES, LayerSpec, PrototxtError
from nsfw_model.upgrade import V0_REFUSED, input_layers, upgrade_v1_layers

__all__ = [
    "MAX_SIZE",
    "MAX_VALUES",
    "LayerSpec",
    "PrototxtError",
    "layer_specs",
    "read_prototxt",
    "runs_in_test",
]

MAX_FILE_BYTES = 4 << 20
MAX_LAYERS = 4096


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
        raise PrototxtError(
            f"{path}: got {size} bytes, expected at most {MAX_FILE_BYTES} of text{mistaken_for(path, 'prototxt')}"
        )
    try:
        text = read_regular(path, MAX_FILE_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise PrototxtError(
            f"{path}: expected text, got binary data at byte {error.start}{mistaken_for(path, 'prototxt')}"
        ) from error
    starts = _layer_starts(text)
    net = NetParameter()
    try:
        text_format.Parse(text, net)
    except text_format.ParseError as error:
        raise PrototxtError(_located(path, starts, error) + mistaken_for(path, "prototxt")) from error
    lines = [line for line, _ in starts]
    return layer_specs(net, path, lines if len(lines) == len(net.layer) + len(net.layers) else None)


def layer_specs(net: NetParameter, path: str | Path, lines: Sequence[int] | None = None) -> list[LayerSpec]:
    """Turn a NetParameter message into the layer specs of its TEST phase, with the checks of `read_prototxt`.

    Parameters
    ----------
    net : NetParameter
        Layers of the V1 format in it are brought up to date in place.
    path : str or Path
        For error messages.
    lines : sequence of int, optional
        The line of each layer, for error messages.

    Returns
    -------
    list of LayerSpec

    Raises
    ------
    PrototxtError
        If the message is not understood as a whole.

    Examples
    --------
    >>> net = NetParameter(input=["data"], input_dim=[1, 3, 8, 8])
    >>> relu = net.layer.add(name="relu", type="ReLU", bottom=["data"], top=["relu"])
    >>> [spec.type for spec in layer_specs(net, "made here")]
    ['Input', 'ReLU']
    """
    upgrade_v1_layers(net, path)
    if len(net.layer) > MAX_LAYERS:
        raise PrototxtError(f"{path}: got {len(net.layer)} layers, expected at most {MAX_LAYERS}")
    if net.state.phase != _TEST or net.state.level or net.state.stage:
        raise PrototxtError(f"{path}: state: expected the TEST phase without level and stages")
    specs = [_layer_spec(layer, f"{path}") for layer in input_layers(net, path)]
    shared: dict[str, LayerSpec] = {}
    for index, layer in enumerate(net.layer):
        where = f"{path}:{lines[index]}" if lines else f"{path}"
        if runs_in_test(layer, where):
            specs.append(_layer_spec(layer, where))
            _check_sharing(layer, specs[-1], shared)
    _check_names(specs, path)
    _check_wiring(specs)
    return specs


# A string ends with its line at the latest: to look for its end again from each quote within would take quadratic time
_TOKEN = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\.|[^'\\\n])*'?|\w+|[{}<>]|\n")


def _layer_starts(text: str) -> list[tuple[int, str]]:
    """Return (line, name) of each `layer` or `layers` block; protobuf's parser keeps neither.

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
        elif depth == 0 and token in ("layer", "layers"):
            starts.append((line, ""))
        elif depth == 1 and before == "name" and token[0] in "\"'" and starts:
            starts[-1] = (starts[-1][0], token[1:-1])
        before = token
    return starts


_UNKNOWN_IN_V0 = 'Message type "caffe.V0LayerParameter" has no field named'


def _located(path, starts, error):
    """Say where protobuf's parser stopped: file, line and layer."""
    line = error.GetLine()
    message = re.sub(r"^\d+:\d+ : ", "", str(error))
    if message.startswith(_UNKNOWN_IN_V0):  # as every layer of that format has some
        message = V0_REFUSED
    inside = [name for start, name in starts if line is not None and start <= line]
    layer = f"layer {inside[-1]!r}: " if inside else ""
    return f"{path}:{line}: {layer}{message}" if line is not None else f"{path}: {message}"


def runs_in_test(layer: LayerParameter, where: str = "") -> bool:
    """Apply a layer's include or exclude rules to Caffe's TEST phase.

    Parameters
    ----------
    layer : LayerParameter
    where : str
        File and line, for error messages.

    Returns
    -------
    bool

    Raises
    ------
    PrototxtError
        If a rule has no condition, or one that the phase alone does not decide.

    Examples
    --------
    >>> layer = LayerParameter(name="data", type="Data")
    >>> layer.include.add().phase = 0  # TRAIN
    >>> runs_in_test(layer)
    False
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
_SETTINGS_FIELDS = {settings.field for settings in all_settings()}


def _layer_spec(layer: Any, where: str) -> LayerSpec:
    """Translate one LayerParameter message."""
    spec = LayerSpec(layer.name, layer.type, tuple(layer.bottom), tuple(layer.top), {}, where)
    if not layer.name:
        raise spec.error("got no name")
    if layer.blobs:
        raise spec.error("got blobs, expected the weights in a file of their own (a caffemodel, converted)")
    if layer.HasField("phase") and layer.phase != _TEST:
        raise spec.error("phase: got TRAIN, expected a layer of the TEST phase")
    layer_type = LAYER_TYPES.get(layer.type)
    if layer_type is None or layer_type.read is None:
        raise spec.error(_why_not(layer.type))
    own_field = layer_type.settings.field if layer_type.settings else None
    for descriptor, _ in layer.ListFields():
        if descriptor.name in _SETTINGS_FIELDS and descriptor.name != own_field:
            raise spec.error(f"got {descriptor.name}, which this layer type does not use")
    _check_count(spec, "bottoms", len(spec.bottoms), layer_type.bottoms)
    _check_count(spec, "tops", len(spec.tops), layer_type.tops)
    settings = layer_type.read(getattr(layer, own_field) if own_field else None, spec)
    return LayerSpec(spec.name, spec.type, spec.bottoms, spec.tops, settings, where)


def _why_not(layer_type: str) -> str:
    """Say what is wrong with a layer type that has no part in inference."""
    if layer_type not in LAYER_TYPES:
        known = sorted(name for name, record in LAYER_TYPES.items() if record.read is not None)
        return f"got an unknown layer type, expected one of {', '.join(known)}"
    if LAYER_TYPES[layer_type].training:
        return "got a layer that feeds or judges a network in training, expected layers that compute its output"
    return f"got a layer type that is not supported: {LAYER_TYPES[layer_type].refused}"


def _check_count(spec: LayerSpec, what: str, got: int, expected: Count) -> None:
    least, most = expected
    if got < least or (most is not None and got > most):
        text = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
        raise spec.error(f"got {got} {what}, expected {text}")


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
    unread: dict[str, LayerSpec] = {}
    for spec in specs:
        for bottom in spec.bottoms:
            if bottom not in makers:
                raise spec.error(f"bottom {bottom!r}: no earlier layer makes it")
            unread.pop(bottom, None)
        for top in spec.tops:
            if top in spec.bottoms and not LAYER_TYPES[spec.type].in_place:
                raise spec.error(f"top {top!r}: this layer type does not work in place")
            if top in makers and (makers[top] is spec or top not in spec.bottoms):
                raise spec.error(f"top {top!r}: layer {makers[top].name!r} makes it already")
            makers[top] = unread[top] = spec
    inputs = [spec for spec in specs if spec.type == "Input"]
    if len(inputs) != 1:
        raise [*specs[:1], *inputs][-1].error(f"got a network of {len(inputs)} inputs, expected 1")
    if len(unread) != 1:
        names = ", ".join(repr(top) for top in unread)
        first = next(iter(unread.values()))
        raise first.error(f"got {len(unread)} outputs that nobody reads ({names}), expected 1")

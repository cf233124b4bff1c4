"""Numbers that are none, into the network and out of it."""

import contextlib
import functools
import io
import json
import re
import struct
from pathlib import Path

import numpy as np
from attack import Attack, Attacks

from nsfw_command.main import main
from nsfw_model.weights import load_weights, save_weights
from open_nsfw import crop, get_scorer, make_jpg, model_files, nsfw_score, nsfw_scores, nsfw_score_fn

ROCKET = str(Path(__file__).resolve().parents[2] / "img" / "rocket.jpg")
METHODS = "scores", "logits", "logits_and_gradients"
ATTACKS = Attacks()


def prepare():
    """Compile once what all attacks call."""
    x = np.zeros((1, 3, 224, 224), np.float32)
    for method in METHODS:
        getattr(get_scorer(), method)(x)


def add(name, carry_out, expected):
    ATTACKS.append(Attack("finite", name, carry_out, expected, memory=None))


def _given(method, value, place):
    def carry_out(folder):
        x = np.zeros((2, 3, 224, 224), np.float64)
        x[place] = value
        return getattr(get_scorer(), method)(x)

    return carry_out


VALUES = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "1e39": 1e39, "-1e300": -1e300}
PLACES = {"the first value": (0, 0, 0, 0), "the last value": (1, 2, 223, 223), "every value": ...}
for method in METHODS:
    for shown, value in VALUES.items():
        for where, place in PLACES.items():
            refused = "ValueError: network input: got (nan|inf|-inf) at .*expected finite numbers"
            add(f"{shown} as {where} for {method}", _given(method, value, place), refused)
for shown, value in {"3e38": 3e38, "subnormal numbers": 1e-45}.items():
    for method in METHODS:
        finite = r"ModelFileError: .*the network gives (nan|inf|-inf) at|finite"

        def carry_out(folder, method=method, value=value):
            given = np.full((1, 3, 224, 224), value, np.float32)
            found = getattr(get_scorer(), method)(given)
            arrays = found if isinstance(found, tuple) else (found,)
            return "finite" if all(np.isfinite(array).all() for array in arrays) else found

        add(f"{shown} everywhere for {method}", carry_out, finite)


@functools.cache
def _layers():
    return load_weights(model_files()[0])


def _weights(folder, value, layer):
    """Weights of which one layer's are this value."""
    layers = list(_layers())
    layers[layer] = (layers[layer][0], [np.full_like(blob, value) for blob in layers[layer][1]])
    save_weights(folder / "nsfw.pkl", layers)
    return folder / "nsfw.pkl"


OVERFLOWS = "ModelFileError: .*nsfw.pkl: the network gives (nan|inf|-inf) at .* its weights are too large"
for value in 3e38, -3e38:
    for method in METHODS:

        def carry_out(folder, method=method, value=value):
            x = np.full((1, 3, 224, 224), 50, np.float32)
            return getattr(get_scorer(_weights(folder, value, -1)), method)(x)

        add(f"{value} as the weights of the last layer, for {method}", carry_out, OVERFLOWS)


def _overflow_within(folder):
    """3e38 in the first layer, of both signs: behind its ReLU there are numbers again."""
    (name, (filters, *others)), *rest = _layers()
    signs = np.arange(filters.size).reshape(filters.shape) % 2 * 2 - 1
    save_weights(folder / "nsfw.pkl", [(name, [np.float32(3e38) * signs.astype(np.float32), *others]), *rest])
    return get_scorer(folder / "nsfw.pkl").scores(np.full((1, 3, 224, 224), 50, np.float32))


add("3e38 as the weights of the first layer", _overflow_within, "ModelFileError: .*layer 'conv_1' gives (nan|inf|-inf)")


def _through(function):
    return lambda folder: function(_weights(folder, 3e38, -1))


add("3e38 through nsfw_score", _through(lambda weights: nsfw_score(ROCKET, weights)), OVERFLOWS)
add(
    "3e38 through nsfw_scores",
    _through(lambda weights: list(nsfw_scores([ROCKET], nsfw_pkl_path=weights, on_error="return"))),
    OVERFLOWS,
)
add(
    "nan through nsfw_score_fn",
    lambda folder: nsfw_score_fn(np.full((1, 3, 224, 224), np.nan)),
    "ValueError: network input: got nan",
)
for shown, value in {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}.items():

    def carry_out(folder, value=value):
        return nsfw_score_fn(crop(make_jpg(np.full((1, 3, 256, 256), value, np.float32))))

    add(f"{shown} through make_jpg", carry_out, "ValueError: network input: got (nan|inf|-inf) at")
STRANGE = {
    "complex": np.full((1, 3, 224, 224), complex(0, np.nan)),
    "no moments": np.full((1, 3, 224, 224), np.datetime64("NaT")),
    "texts": np.full((1, 3, 224, 224), "5"),
    "masked": np.ma.masked_invalid(np.full((1, 3, 224, 224), np.nan)),
}
for shown, array in STRANGE.items():
    for method in METHODS:

        def carry_out(folder, method=method, array=array):
            return getattr(get_scorer(), method)(array)

        add(f"{shown} values for {method}", carry_out, "ValueError: network input: got .* expected (real numbers|none)")
add(
    "masked pixels",
    lambda folder: nsfw_score(np.ma.masked_array(np.zeros((30, 30, 3), np.uint8), mask=True)),
    "PictureError: .*got masked pixels",
)


def _written(weights, *options):
    """Exit code, and what the command wrote of a network that overflows."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(["score", ROCKET, "--nsfw-pkl", str(weights), *options])
    return f"{code} {out.getvalue()!r} {err.getvalue()}"


for options in (), ("--json",), ("--csv",):
    refusal = r"2 '(file,score,error[a-z_,]*.n|\[.n\].n)?' open-nsfw: error: .*the network gives (nan|inf|-inf)"
    add(
        f"3e38 through the command {' '.join(options)}",
        _through(lambda weights, options=options: _written(weights, *options)),
        refusal,
    )


@ATTACKS.on("finite", "WeightsError: .*not finite", memory=None)
def nan_in_a_file_of_weights(folder):
    path = _weights(folder, 1, 0)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<f", 1), struct.pack("<f", np.nan), 1))
    return load_weights(path)


@ATTACKS.on("finite", "ValueError: .*finite|WeightsError: .*finite", memory=None)
def nan_is_not_saved(folder):
    return _weights(folder, np.nan, 0)


@ATTACKS.on("finite", r"\[0\.[0-9]+, 0\.[0-9]+, 0\.[0-9]+\]$", memory=None)
def scores_beside_a_picture_that_cannot_be_scored_are_numbers(folder):
    (folder / "no.jpg").write_bytes(b"")
    scores = list(nsfw_scores([ROCKET, folder / "no.jpg", ROCKET, ROCKET], on_error="return"))
    return json.dumps([score for score in scores if isinstance(score, float)], allow_nan=False)


def _gone_on_with(score, *options):
    """Exit code, and what the command wrote of rows in which a score was changed."""

    def carry_out(folder):
        path = folder / "rows.jsonl"
        with contextlib.redirect_stderr(io.StringIO()):
            main(["score", ROCKET, "--out", str(path), "--quiet"])
        path.write_text(re.sub('"score": [^,]+', f'"score": {score}', path.read_text()))
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(["score", ROCKET, "--out", str(path), "--resume", *options])
        return f"{code} {out.getvalue()!r} {err.getvalue()}"

    return carry_out


for score in "NaN", "Infinity", "1e400", "7.5", "-3", "true", '"0.5"', "[1]":
    for options in (), ("--json",), ("--threshold", "0.8"):
        add(
            f"the score {score} in rows that are gone on with {' '.join(options)}",
            _gone_on_with(score, *options),
            "2 '' .*rows.jsonl: what is behind byte 0 is no row: score: got",
        )

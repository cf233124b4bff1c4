"""nsfw.pkl: what is read, what is refused, and that nothing in a file is ever run."""

import hashlib
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pickles
import pytest
import weights_of_strangers
from attack import outcome_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nsfw_model import weights
from nsfw_model.weights import WeightsError, load_weights, save_weights

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# What `open-nsfw convert` makes of Yahoo's caffemodel; tests/test_caffemodel.py repeats the conversion.
SHA256 = "4ddcb802d5f8efd4f8735c24f46666b9eb0717b09ee7f993c2a579464ab4f964"
PARTS = [b".", b"\x00", b"\x01", b"numpy\n", b"ndarray\n"]  # of pickles, beside opcodes
LAYERS = [
    ("conv", [np.linspace(-1, 1, 24, dtype="float32").reshape(2, 3, 2, 2), np.float32([0.5, -0.25])]),
    ("fc", [np.arange(6, dtype="float32").reshape(2, 3)]),
]


def assert_same(got, expected):
    assert [name for name, _ in got] == [name for name, _ in expected]
    for (_, ours), (_, theirs) in zip(got, expected):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert a.dtype == np.float32 and a.flags.c_contiguous and a.flags.writeable
            np.testing.assert_array_equal(a, b)


def write(folder, data):
    path = folder / "net.pkl"
    path.write_bytes(data)
    return path


class TestShippedFile:
    def test_is_the_one_that_was_converted(self):
        assert hashlib.sha256((ROOT / "nsfw.pkl").read_bytes()).hexdigest() == SHA256

    def test_holds_the_whole_network(self):
        layers = load_weights(ROOT / "nsfw.pkl")
        assert len(layers) == 160
        assert sum(blob.size for _, blobs in layers for blob in blobs) == 5_944_567

    def test_holds_the_variance_that_needs_epsilon(self):
        layers = load_weights(ROOT / "nsfw.pkl")
        variances = [(blobs[1] / blobs[2]).min() for name, blobs in layers if name.startswith("bn_")]
        assert min(variances) == pytest.approx(2.1414e-15, rel=1e-4)

    def test_loads_with_pickle_too(self):
        assert_same(load_weights(ROOT / "nsfw.pkl"), pickle.loads((ROOT / "nsfw.pkl").read_bytes()))


class TestReading:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_every_protocol(self, protocol, tmp_path):
        assert_same(load_weights(write(tmp_path, pickle.dumps(LAYERS, protocol))), LAYERS)

    # Written by CPython 2.7.18's cPickle with NumPy 1.16.6: LAYERS, the last array in Fortran order.
    @pytest.mark.parametrize("protocol", [0, 1, 2])
    def test_pickles_of_python_2(self, protocol):
        layers = load_weights(HERE / "data" / f"python2_protocol{protocol}.pkl")
        assert_same(layers, [("conv_1", LAYERS[0][1]), LAYERS[1]])

    @pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
    def test_names_of_numpy_1_and_2(self, module, tmp_path):
        data = pickles.weights(pickles.array()).replace(b"numpy.core.multiarray", module)
        assert_same(load_weights(write(tmp_path, data)), [("conv", [np.float32([1, 2])])])

    def test_arrays_in_fortran_order(self, tmp_path):
        layers = [("fc", [np.asfortranarray(LAYERS[1][1][0])])]
        assert_same(load_weights(write(tmp_path, pickle.dumps(layers))), [LAYERS[1]])

    def test_tuples_in_place_of_lists_and_layers_without_blobs(self, tmp_path):
        layers = (("relu", ()), ["fc", LAYERS[1][1]])
        assert_same(load_weights(write(tmp_path, pickle.dumps(list(layers)))), [("relu", []), LAYERS[1]])

    @pytest.mark.parametrize(
        "layers",
        [
            pytest.param([("fc", [np.ones((1,) * 8, "float32")])], id="eight dimensions"),
            pytest.param([("fc", [np.float32([number]) for number in range(16)])], id="sixteen arrays of a layer"),
            pytest.param([("n" * 1024, [])], id="a name of 1024 characters"),
            pytest.param([(str(number), []) for number in range(4096)], id="4096 layers"),
        ],
    )
    def test_weights_just_within_the_limits(self, layers, tmp_path):
        assert_same(load_weights(write(tmp_path, pickle.dumps(layers))), layers)

    def test_a_missing_file_is_an_oserror(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load_weights(tmp_path / "none.pkl")

    def test_a_file_over_the_limit_is_not_even_read(self, tmp_path):
        path = tmp_path / "net.pkl"
        with path.open("wb") as file:
            file.truncate(weights.MAX_FILE_BYTES + 1)
        with pytest.raises(WeightsError, match=r"net.pkl: got 1073741825 bytes, expected at most 1073741824"):
            load_weights(path)


class TestWriting:
    def test_bytes_depend_on_the_values_alone(self, tmp_path):
        # so that the committed file can be made again, on any release of Python and NumPy
        save_weights(tmp_path / "net.pkl", LAYERS)
        digest = hashlib.sha256((tmp_path / "net.pkl").read_bytes()).hexdigest()
        assert digest == "16456d2dceb6e7c7a112a40bf1cda4c73d01e077a16665fc7bf09edb73209ee0"

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
                st.lists(
                    npst.arrays(
                        np.float32,
                        npst.array_shapes(max_dims=4, max_side=4),
                        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
                    ),
                    max_size=3,
                ),
            ),
            max_size=5,
            unique_by=lambda layer: layer[0],
        )
    )
    def test_what_is_written_is_read(self, tmp_path, layers):
        save_weights(tmp_path / "net.pkl", layers)
        assert_same(load_weights(tmp_path / "net.pkl"), layers)
        assert_same(pickle.loads((tmp_path / "net.pkl").read_bytes()), layers)

    @pytest.mark.parametrize("array", [np.ones(2), np.float32([np.nan])])
    def test_what_could_not_be_read_is_not_written(self, array, tmp_path):
        with pytest.raises(WeightsError, match="layer 'fc': expected finite float32 values, got float"):
            save_weights(tmp_path / "net.pkl", [("fc", [array])])

    def test_a_file_as_large_as_the_limit_is_written_and_read_and_no_larger_one(self, tmp_path, monkeypatch):
        path, size = tmp_path / "net.pkl", len(weights.pickled(LAYERS))
        monkeypatch.setattr(weights, "MAX_FILE_BYTES", size)
        save_weights(path, LAYERS)
        assert_same(load_weights(path), LAYERS)
        monkeypatch.setattr(weights, "MAX_FILE_BYTES", size - 1)
        refusal = f"got weights of {size} bytes, expected at most {size - 1}"
        with pytest.raises(WeightsError, match=refusal):
            save_weights(tmp_path / "another.pkl", LAYERS)
        assert list(tmp_path.iterdir()) == [path]


class TestAttacks:
    @pytest.mark.parametrize("attack", pickles.ATTACKS, ids=lambda attack: attack.__name__)
    def test_fails(self, attack, tmp_path, monkeypatch):
        data = attack()
        if len(data) > 1 << 16:  # too slow while memory is traced
            (carried_out,) = [
                one for one in weights_of_strangers.ATTACKS if one.name == attack.__name__.replace("_", " ")
            ]
            assert carried_out.held(outcome_of(carried_out))
            return
        path = write(tmp_path, data)
        monkeypatch.delenv(pickles.MARK, raising=False)
        tracemalloc.start()
        try:
            if attack in pickles.HARMLESS:
                assert load_weights(path) == []
            else:
                with pytest.raises(WeightsError, match="net.pkl: ") as refusal:
                    load_weights(path)
                assert pickles.REFUSALS[attack] in str(refusal.value)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert pickles.MARK not in os.environ
        assert peak < 1 << 25

    @pytest.mark.parametrize("attack", pickles.RUN_CODE, ids=lambda attack: attack.__name__)
    def test_would_have_succeeded_with_pickle(self, attack, monkeypatch):
        monkeypatch.delenv(pickles.MARK, raising=False)
        pickle.loads(attack())
        assert os.environ.pop(pickles.MARK) == "1"

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_damaged_files_are_weights_or_refused(self, tmp_path, data):
        protocol = data.draw(st.integers(0, 5))
        damaged = bytearray(pickle.dumps(LAYERS, protocol))
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        try:
            layers = load_weights(write(tmp_path, bytes(damaged)))
        except WeightsError:
            return
        for name, blobs in layers:
            assert isinstance(name, str)
            assert all(blob.dtype == np.float32 and np.isfinite(blob).all() for blob in blobs)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from([*weights._STEPS, *PARTS]), max_size=30))
    def test_any_sequence_of_opcodes_is_weights_or_refused(self, tmp_path, parts):
        try:
            assert load_weights(write(tmp_path, b"".join(parts))) == []
        except WeightsError:
            pass


def test_messages_say_what_and_where(tmp_path):
    data = pickles.weights(pickles.array(shape=(3,), values=struct.pack("<2f", 1, 2)))
    with pytest.raises(
        WeightsError,
        match=r"net.pkl: byte \d+: got 8 bytes as .* an array of shape \(3,\), expected 12 bytes",
    ):
        load_weights(write(tmp_path, data))

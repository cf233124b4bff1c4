"""Programs on disk: the same numbers without Theano, and nothing at all of a file that is not what was saved."""

import gc
import io
import re
import weakref

import theano_cpu  # noqa: F401  # before theano

import numpy as np
import pytest
import theano
import theano.tensor as T

from theano_cpu import onednn, ops
from theano_cpu.onednn import saved as saved_programs
from theano_cpu.onednn.saved import SavedProgram, SavedProgramError, save_program

pytestmark = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def compiled(outputs=lambda means, pooled: [pooled, means]):
    x = T.tensor4("x")
    pooled = ops.pool2d(ops.conv2d(ops.to_nhwc(x), np.ones((4, 3, 2, 2), "float32"), relu=True), 2)
    return theano.function([x], outputs(ops.global_pool(pooled), pooled), mode=ops.fast_compile())


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a.program"
    with path.open("wb") as file:
        assert save_program(file, compiled(), {"a": [1, 2]})
    return path


def test_a_saved_program_computes_what_the_function_does(saved):
    program, function = SavedProgram(saved), compiled()
    assert program.is_whole() and program.facts == {"a": [1, 2]}
    for count in (1, 3):
        x = np.random.default_rng(count).normal(size=(count, 3, 9, 8)).astype("float32")
        for got, expected in zip(program(x), function(x), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_results_of_earlier_calls_are_kept(saved):
    program, x = SavedProgram(saved), np.ones((1, 3, 9, 8), "float32")
    first = program(x)[0]
    kept = first.copy()
    program(2 * x)
    np.testing.assert_array_equal(first, kept)


def test_an_error_names_the_step_and_the_program_goes_on(saved):
    program = SavedProgram(saved)
    with pytest.raises(ValueError, match="Convolution.*expected C = 3"):
        program(np.ones((1, 2, 9, 8), "float32"))
    assert program(np.ones((1, 3, 9, 8), "float32"))[1].shape == (1, 4)


def test_nothing_of_a_call_is_kept(saved):
    program, x = SavedProgram(saved), np.ones((1, 3, 9, 8), "float32")
    wrong = np.ones((1, 2, 9, 8), "float32")
    results = program(x)
    with pytest.raises(ValueError, match="expected C = 3"):
        program(wrong)
    held = [weakref.ref(array) for array in (x, wrong, *results)]
    del x, wrong, results
    gc.collect()
    assert [reference() for reference in held] == [None] * 4


def test_without_its_native_module_it_cannot_be_loaded_and_says_so(saved, monkeypatch):
    def refuses(path):
        raise onednn.OneDnnUnavailableError("another oneDNN")

    for load_built in (lambda path: None), refuses:
        monkeypatch.setattr(saved_programs, "load_built", load_built)
        program = SavedProgram(saved)
        assert not program.load()
        with pytest.raises(onednn.OneDnnUnavailableError, match=rf"module {re.escape(native_file())} is gone"):
            program(np.ones((1, 3, 9, 8), "float32"))
    monkeypatch.undo()
    assert program.load() and program(np.ones((1, 3, 9, 8), "float32"))[1].shape == (1, 4)


def native_file():
    return onednn.native_module().__file__


def test_outputs_may_be_in_any_order(tmp_path):
    function = compiled(lambda means, pooled: [means, pooled])
    with (tmp_path / "a").open("wb") as file:
        assert save_program(file, function, {})
    x = np.random.default_rng(0).normal(size=(1, 3, 9, 8)).astype("float32")
    for got, expected in zip(SavedProgram(tmp_path / "a")(x), function(x), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_output_that_no_step_computes_is_not_saved():
    for other in T.constant(np.float32(1)), T.constant(np.ones((1, 2), "float32")):
        file = io.BytesIO()
        assert not save_program(file, compiled(lambda means, pooled, other=other: [means, other]), {})
        assert not file.getvalue()


def test_what_is_gone_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        SavedProgram(tmp_path / "none")


@pytest.mark.parametrize("function", [
    lambda: compiled(lambda means, pooled: [T.tanh(means)]),
    lambda: theano.function([x := T.tensor4(), y := T.tensor4()], ops.to_nhwc(ops.to_nhwc(x)) + y),
    lambda: theano.function([x := T.tensor4()], ops.subsample(x, 2), mode=ops.fast_compile()),
], ids=["something besides", "two inputs", "one operation"])  # fmt: skip
def test_what_is_no_single_program_is_not_saved(function):
    file = io.BytesIO()
    assert not save_program(file, function(), {}) and not file.getvalue()


def test_a_file_with_a_changed_weight_is_not_whole(saved):
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    assert not SavedProgram(saved).is_whole()


@pytest.mark.parametrize("change", [
    lambda data: b"",
    lambda data: data[:10],
    lambda data: data[:200],
    lambda data: data[:-4],
    lambda data: data + b"more",
    lambda data: b"x" + data[1:],
    lambda data: data.replace(b'"results"', b'"resolts"'),
    lambda data: data[:21] + b"\xff" * 8 + data[29:],
])  # fmt: skip
def test_a_damaged_file_is_no_program(saved, change):
    damaged = change(saved.read_bytes())
    saved.unlink()
    saved.write_bytes(damaged)
    with pytest.raises(SavedProgramError, match="a.program"):
        SavedProgram(saved)

"""Finding, building and loading the native module; its threads, its manners and its rewrites of graphs."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import theano_cpu
import joined
import numpy as np
import psutil
import pytest
import theano
import theano.tensor as T

from theano_cpu import onednn, ops
from theano_cpu.onednn import runtime
from theano_cpu.onednn.activation import Bfloat16, ReluGradient, Sum
from theano_cpu.onednn.convolution import Convolution
from theano_cpu.onednn.pooling import PoolGradient, Subsample

needs_onednn = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def python(code, **environment):
    """Run code in a fresh process and return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(Path(theano_cpu.__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def operations(function):
    return [type(op) for op in joined.operations(function)]


@needs_onednn
def test_info_names_engine_version_and_threads():
    info = onednn.info()
    assert info["engine"] == "onednn" and info["problem"] is None
    assert info["version"].split(".")[0] == "3"
    assert info["threads"] == onednn.num_threads() >= 1
    assert Path(info["library"]).exists() and Path(info["native"]).exists()
    assert theano_cpu.onednn_available() is True


def test_the_environment_chooses_the_engine(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    assert onednn.engine() == "theano" and not onednn.onednn_available() and not theano_cpu.onednn_available()
    monkeypatch.setenv("THEANO_CPU_ENGINE", "gpu")
    with pytest.raises(ValueError, match="THEANO_CPU_ENGINE is 'gpu', expected one of onednn, theano"):
        onednn.engine()


@pytest.fixture
def fresh_runtime(monkeypatch):
    """Forget what was loaded, before and after."""
    monkeypatch.setattr(runtime, "_loaded", None)
    runtime._problem.cache_clear()
    yield
    runtime._problem.cache_clear()


def test_without_onednn_theano_is_the_engine_and_the_reason_is_told(fresh_runtime, monkeypatch, tmp_path):
    monkeypatch.delenv("THEANO_CPU_ENGINE", raising=False)
    monkeypatch.setenv("THEANO_CPU_ONEDNN", str(tmp_path))
    assert not onednn.onednn_available()
    assert "expected a folder with lib/libdnnl.so" in onednn.info()["problem"]
    monkeypatch.setenv("THEANO_CPU_ENGINE", "onednn")
    with pytest.raises(onednn.OneDnnUnavailableError, match="THEANO_CPU_ONEDNN is .* expected a folder with"):
        onednn.engine()


def loaded(isa, fast, version=(3, 7, 2)):
    """What the native module says of itself."""
    versions = {"compiled": (3, 7, 2), "loaded": version, "isa": isa}
    return SimpleNamespace(versions=lambda: versions, is_fast=lambda: fast)


@pytest.mark.parametrize("machine, isa, name", [("aarch64", 1, "Advanced SIMD"), ("x86_64", 1, "SSE4.1")])
def test_a_processor_that_onednn_has_only_slow_convolutions_for_is_left_to_theano(monkeypatch, machine, isa, name):
    monkeypatch.setattr(runtime.platform, "machine", lambda: machine)
    runtime._check(loaded(isa, fast=True), Path("libdnnl.so"))
    with pytest.raises(onednn.OneDnnUnavailableError, match=rf"libdnnl.so has no .* this processor \({name}\)"):
        runtime._check(loaded(isa, fast=False), Path("libdnnl.so"))


def test_another_onednn_in_the_process_is_told_apart():
    with pytest.raises(onednn.OneDnnUnavailableError, match="another package has brought along"):
        runtime._check(loaded(0x7, fast=True, version=(3, 9, 0)), Path("libdnnl.so"))


@needs_onednn
def test_builds_of_one_version_have_native_modules_of_their_own(tmp_path):
    library, include = onednn.find_onednn()
    other = tmp_path / library.name
    other.write_bytes(b"another build")
    assert runtime._key(library, include) != runtime._key(other, include)


@needs_onednn
def test_without_a_compiler_the_message_says_so(fresh_runtime, monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "_key", lambda library, include: "never built")
    with (
        theano.configparser.change_flags(cxx=""),
        pytest.raises(onednn.OneDnnUnavailableError, match=r"install g\+\+"),
    ):
        onednn.native_module()


@needs_onednn
def test_a_failing_compiler_is_quoted_and_leaves_nothing_behind(tmp_path):
    library, _ = onednn.find_onednn()
    target = tmp_path / "with space" / "native.so"
    (tmp_path / "dnnl.h").write_text("#include <lost.h>\n")
    with pytest.raises(onednn.OneDnnUnavailableError, match="(?s)compiling the oneDNN native module failed.*lost.h"):
        runtime._build(target, library, tmp_path)
    assert {path.suffix for path in target.parent.iterdir()} == {".lock"}


@needs_onednn
@pytest.mark.slow
def test_two_processes_build_once_in_a_folder_with_spaces(tmp_path):
    code = """
        import theano_cpu
        from theano_cpu import onednn
        from theano_cpu.onednn import runtime
        compile = runtime._compile
        def counted(*args):
            print("BUILT")
            compile(*args)
        runtime._compile = counted
        onednn.native_module()
        print(onednn.info()["native"])
    """
    folder = tmp_path / "compile dir"
    outputs = [None, None]

    def run(i):
        outputs[i] = python(code, THEANO_FLAGS=f'base_compiledir="{folder}",cxx=g++')

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = "\n".join(outputs)
    assert text.count("BUILT") == 1 and text.count(str(folder)) == 2


@needs_onednn
@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    code = """
        import theano_cpu
        import numpy as np, theano, theano.tensor as T
        from theano.gof import cmodule
        from theano_cpu import ops
        from theano_cpu.onednn import runtime

        def counted(function):
            def count(*args, **kwargs):
                print("COMPILED", function.__name__)
                return function(*args, **kwargs)
            return count

        runtime._compile = counted(runtime._compile)
        cmodule.GCC_compiler.compile_str = staticmethod(counted(cmodule.GCC_compiler.compile_str))
        x, w, direction = T.tensor4(), T.tensor4(), T.matrix()
        y = ops.softmax(ops.global_pool(ops.conv2d(ops.to_nhwc(x), w, relu=True)))
        outputs = [y * direction, T.grad(None, x, known_grads={y: direction})]
        for mode in (ops.fast_compile(), None):
            f = theano.function([x, w, direction], outputs, mode=mode)
            f(np.ones((1, 3, 5, 5), "float32"), np.ones((2, 3, 3, 3), "float32"), np.ones((1, 2), "float32"))
        print("done")
    """
    flags = f"base_compiledir={tmp_path},cxx=g++"
    first = python(code, THEANO_FLAGS=flags)
    assert "COMPILED _compile" in first and "COMPILED compile_str" in first
    files = {path for path in tmp_path.rglob("*") if path.suffix in (".so", ".cpp")}
    assert python(code, THEANO_FLAGS=flags) == "done"
    assert {path for path in tmp_path.rglob("*") if path.suffix in (".so", ".cpp")} == files


@needs_onednn
def test_the_number_of_threads_is_that_of_the_environment_or_the_one_set():
    code = """
        import theano_cpu
        from theano_cpu import onednn
        print(onednn.num_threads())
    """
    assert python(code, OMP_NUM_THREADS="3") == "3"
    before = onednn.num_threads()
    try:
        for count in (1, 3):
            onednn.set_num_threads(count)
            assert onednn.num_threads() == count
            compare_with_one_thread()
    finally:
        onednn.set_num_threads(None)
    assert onednn.num_threads() == before


def compare_with_one_thread():
    """Forward and gradients of one convolution, against what one thread computes."""
    x, w = T.tensor4(), T.tensor4()
    y = ops.conv2d(x, w, pad=1, relu=True)
    f = theano.function([x, w], [y, *T.grad(None, [x, w], known_grads={y: y})], mode=ops.fast_compile())
    values = random(2, 30, 31, 8), random(16, 8, 3, 3, seed=1)
    got = f(*values)
    onednn.set_num_threads(1)
    for a, b in zip(got, f(*values)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count, error", [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_wrong_numbers_of_threads(count, error):
    with pytest.raises(error, match="number of threads"):
        onednn.set_num_threads(count)


@needs_onednn
def test_many_python_threads_compute_at_once():
    x, w, b = random(1, 20, 20, 16), random(16, 16, 3, 3, seed=1), random(16, seed=2)
    tx = T.tensor4()
    y = ops.pool2d(ops.conv2d(ops.conv2d(tx, w, b, pad=1, relu=True), w, b, residual=tx, pad=1), 3, 2)
    functions = [theano.function([tx], y, mode=ops.fast_compile()) for _ in range(4)]
    expected = functions[0](x)
    wrong = []

    def work(f):
        for scale in range(1, 40):
            if not np.allclose(f(x), expected, rtol=1e-5, atol=1e-4):
                wrong.append(scale)

    threads = [threading.Thread(target=work, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_onednn
def test_other_python_threads_run_during_a_convolution():
    x, w = random(8, 64, 64, 64), random(64, 64, 3, 3)
    tx = T.tensor4()
    f = theano.function([tx], ops.conv2d(tx, w, pad=1), mode=ops.fast_compile())
    f(x)
    stop, counted = threading.Event(), [0]

    def count():
        while not stop.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = counted[0]
        f(x)
        during = counted[0] - before
    finally:
        stop.set()
        thread.join()
    assert during > 100


@needs_onednn
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes_as_its_parent_does():
    """OpenMP's threads do not survive a fork: the forked thread would wait for them for ever."""
    code = """
        import theano_cpu, numpy as np, os, theano, theano.tensor as T, warnings
        from theano_cpu import ops
        warnings.simplefilter("ignore")
        x = T.tensor4()
        f = theano.function([x], ops.conv2d(x, np.ones((16, 16, 3, 3), "float32")), mode=ops.fast_compile())
        ones = np.ones((1, 40, 40, 16), "float32")
        expected = f(ones)
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            same = all(np.array_equal(f(ones), expected) for _ in range(20))
            if grandchild:
                same = same and os.waitpid(grandchild, 0)[1] == 0
            try:
                f(np.ones((1, 40, 40, 8), "float32"))
            except ValueError as error:
                same = same and "expected C = 16" in str(error)
            os._exit(0 if same else 1)
        print(os.waitpid(child, 0)[1], np.array_equal(f(ones), expected))
    """
    assert python(code, OMP_NUM_THREADS="2").split("\n") == ["0 True"]


@needs_onednn
@pytest.mark.parametrize("count", [1, 3])
def test_the_interpreter_may_end_while_daemon_threads_compute(count):
    code = f"""
        import theano_cpu, numpy as np, atexit, theano, theano.tensor as T, threading, time
        from theano_cpu import ops
        atexit.register(lambda: print(g(ones).shape, flush=True))
        x = T.tensor4()
        make = lambda: theano.function([x], ops.conv2d(x, np.ones((64, 64, 3, 3), "float32")), mode=ops.fast_compile())
        ones = np.ones((1, 80, 80, 64), "float32")
        g = make()
        for f in [make() for _ in range({count})]:
            f(ones)
            threading.Thread(target=lambda f=f: [f(ones) for _ in range(10**6)], daemon=True).start()
        time.sleep(0.3)
    """
    for _ in range(3):
        assert python(code) == "(1, 78, 78, 64)"


@needs_onednn
def test_memory_does_not_grow():
    x, w, b = T.tensor4(), T.tensor4(), T.vector()
    y = ops.softmax(ops.global_pool(ops.pool2d(ops.conv2d(ops.to_nhwc(x), w, b, relu=True), 3, 2)))
    g = T.matrix()
    f = theano.function([x, w, b, g], [y, *T.grad(None, [x, w, b], known_grads={y: g})], mode=ops.fast_compile())
    values = random(1, 3, 64, 64), random(32, 3, 3, 3, seed=1), random(32, seed=2), random(1, 32, seed=3)

    def used_after(count):
        for _ in range(count):
            f(*values)
        gc.collect()
        return psutil.Process().memory_info().rss

    before = used_after(50)
    assert used_after(300) - before < 4 << 20  # one leaked picture per call would be 15 MB


@needs_onednn
def test_arrays_outlive_the_function_and_are_not_overwritten_by_later_calls():
    x = T.tensor4()
    f = theano.function([x], ops.subsample(x, 1), mode=ops.fast_compile())
    values = [random(1, 8, 8, 4, seed=seed) for seed in range(20)]
    kept = [f(value) for value in values]
    del f
    gc.collect()
    for got, expected in zip(kept, values):
        np.testing.assert_array_equal(got, expected)


@needs_onednn
def test_no_operation_of_usual_shapes_falls_to_slow_reference_code():
    x, w7, w3, w1, wd = T.tensor4(), T.tensor4(), T.tensor4(), T.tensor4(), T.tensor4()
    y = ops.conv2d(ops.to_nhwc(x), w7, stride=2, pad=3, relu=True)
    y = ops.conv2d(ops.conv2d(y, w3, pad=1), w1, residual=y)
    y = ops.conv2d(ops.conv2d(y, w3, pad=1, stride=2), wd, pad=2, dilation=2, groups=16)
    g = T.tensor4()
    weights = [w7, w3, w1, wd]
    f = theano.function([x, *weights, g], T.grad(None, [x, *weights], known_grads={y: g}), mode=ops.fast_compile())
    shapes = [(16, 3, 7, 7), (16, 16, 3, 3), (16, 16, 1, 1), (16, 1, 3, 3)]
    f(random(1, 3, 32, 32), *[random(*shape) for shape in shapes], random(1, 8, 8, 16))
    used = [name for thunk in f.fn.thunks for name in onednn.native_module().implementations(thunk.cthunk)]
    assert len(used) >= 12
    assert not [name for name in used if "ref" in name]


@needs_onednn
def test_the_sum_of_two_gradients_and_its_relu_gradient_are_one_operation():
    x, w = T.tensor4(), random(4, 4, 3, 3)
    hidden = ops.conv2d(x, w, pad=1, relu=True)
    y = ops.conv2d(hidden, w, residual=hidden, pad=1)
    g = T.tensor4()
    gradient = T.grad(None, x, known_grads={y: g})
    f = theano.function([x, g], gradient, mode=ops.fast_compile())
    plain = theano.function([x, g], gradient, mode="FAST_COMPILE")
    assert operations(f).count(ReluGradient) == 1 and Sum not in operations(f)
    assert len(operations(f)) < len(operations(plain))
    values = random(1, 5, 5, 4), random(1, 5, 5, 4, seed=1)
    before = values[1].copy()
    np.testing.assert_allclose(f(*values), plain(*values), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(values[1], before)


@needs_onednn
@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_a_rectifier_before_maximum_pooling_has_its_gradient_computed_on_the_smaller_picture(slope):
    x, w = T.tensor4(), random(4, 4, 3, 3)
    y = ops.pool2d(ops.conv2d(x, w, relu=True, negative_slope=slope), 3, 2)
    g = T.tensor4()
    gradient = T.grad(None, x, known_grads={y: g})
    f = theano.function([x, g], gradient, mode=ops.fast_compile())
    kinds = operations(f)
    assert kinds.index(ReluGradient) < kinds.index(PoolGradient)
    values = random(2, 9, 9, 4), random(2, 3, 3, 4, seed=1)
    plain = theano.function([x, g], gradient, mode="FAST_COMPILE")
    np.testing.assert_allclose(f(*values), plain(*values), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_a_value_used_thrice_sums_its_gradients():
    x = T.tensor4()
    y = [ops.subsample(x, step) for step in (1, 2, 3)]
    g = [T.tensor4() for _ in y]
    gradient = T.grad(None, x, known_grads=OrderedDict(zip(y, g)))
    f = theano.function([x, *g], gradient, mode=ops.fast_compile())
    assert Sum in operations(f)
    values = (
        random(1, 6, 6, 2),
        np.ones((1, 6, 6, 2), "f4"),
        np.ones((1, 3, 3, 2), "f4"),
        np.ones((1, 2, 2, 2), "f4"),
    )
    assert f(*values)[0, 0, 0, 0] == 3 and f(*values)[0, 2, 2, 0] == 2 and f(*values)[0, 1, 1, 0] == 1


@needs_onednn
def test_bfloat16_is_refused_on_cpus_without_it(monkeypatch):
    monkeypatch.setattr(ops, "has_bfloat16", lambda: False)
    with pytest.raises(NotImplementedError, match="needs a CPU with AVX512_BF16 or AMX.*precision='float32'"):
        ops.conv2d(T.tensor4(), random(2, 3, 3, 3), precision="bfloat16")


@needs_onednn
def test_bfloat16_values_pass_between_convolutions_unconverted(monkeypatch):
    monkeypatch.setattr(ops, "has_bfloat16", lambda: True)
    x, w = T.tensor4(), random(4, 4, 3, 3)
    first = ops.conv2d(x, w, pad=1, relu=True, precision="bfloat16")
    y = ops.conv2d(first, w, residual=ops.subsample(first, 2), stride=2, pad=1, precision="bfloat16")
    f = theano.function([x], y, mode=ops.fast_compile())
    kinds = operations(f)
    assert kinds.count(Bfloat16) == 2 and kinds.count(Convolution) == 2 and kinds.count(Subsample) == 1
    assert f.maker.fgraph.outputs[0].dtype == "float32"


@needs_onednn
def test_weights_are_not_trained_in_bfloat16(monkeypatch):
    monkeypatch.setattr(ops, "has_bfloat16", lambda: True)
    x, w = T.tensor4(), T.tensor4()
    with pytest.raises(theano.gradient.NullTypeGradError, match="weights are not trained in bfloat16"):
        T.grad(ops.conv2d(x, w, precision="bfloat16").sum(), w)


def bfloat16_network(x, precision):
    """A ReLU, a residual, a stride, pools of both kinds: all that a gradient passes."""
    first = ops.conv2d(ops.to_nhwc(x), random(16, 3, 3, 3), random(16), pad=1, stride=2, relu=True, precision=precision)
    pooled = ops.pool2d(first, 3, 2)
    inner = ops.conv2d(pooled, random(16, 16, 3, 3, seed=1), pad=1, relu=True, precision=precision)
    y = ops.conv2d(inner, random(16, 16, 1, 1, seed=2), residual=pooled, precision=precision)
    return ops.global_pool(ops.subsample(y, 2))


@needs_onednn
@pytest.mark.skipif(onednn.onednn_available() and not onednn.has_bfloat16(), reason="no bfloat16 on this CPU")
def test_gradients_in_bfloat16_are_close_to_those_in_float32():
    x, g = T.tensor4(), T.matrix()
    found = []
    for precision in "float32", "bfloat16":
        means = bfloat16_network(x, precision)
        gradient = T.grad(None, x, known_grads={means: g})
        for mode in ops.fast_compile(), theano.Mode(linker="py", optimizer=None):
            values = random(2, 3, 20, 20, seed=3), random(2, 16, seed=4)
            found.append(theano.function([x, g], gradient, mode=mode)(*values))
    exact, _, narrow, unoptimised = found
    cosine = (exact * narrow).sum() / np.linalg.norm(exact) / np.linalg.norm(narrow)
    assert 0.99 < cosine < 1 - 1e-7
    np.testing.assert_allclose(unoptimised, narrow, atol=0.01 * np.abs(narrow).max())


@needs_onednn
def test_gradients_in_bfloat16_convert_nothing_for_its_shape(monkeypatch):
    monkeypatch.setattr(ops, "has_bfloat16", lambda: True)
    x, g = T.tensor4(), T.matrix()
    gradient = T.grad(None, x, known_grads={bfloat16_network(x, "bfloat16"): g})
    kinds = operations(theano.function([x, g], gradient, mode=ops.fast_compile()))
    # The pooling's gradient compares float32; the residual's picture is looked at once more
    assert kinds.count(Bfloat16) == 2


@needs_onednn
@pytest.mark.skipif(onednn.onednn_available() and not onednn.has_bfloat16(), reason="no bfloat16 on this CPU")
def test_bfloat16_is_close_to_float32():
    x, w, b = random(1, 9, 9, 16), random(16, 16, 3, 3, seed=1), random(16, seed=2)
    tx = T.tensor4()
    narrow, wide = (
        theano.function([tx], ops.conv2d(tx, w, b, tx, pad=1, precision=precision), mode=ops.fast_compile())(x)
        for precision in ("bfloat16", "float32")
    )
    assert 0 < np.linalg.norm(narrow - wide) / np.linalg.norm(wide) < 1e-2

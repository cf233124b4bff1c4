"""Finding, building and loading the native module; its threads, its manners and its rewrites of graphs."""

import gc
import os
import platform
import re
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
    versions = onednn.native_module().versions()
    assert info["version"] == "{}.{}.{}".format(*versions["loaded"]) and info["version"].split(".")[0] == "3"
    assert info["instruction_set"] == runtime._instruction_set(versions["isa"])
    assert info["bfloat16"] is onednn.has_bfloat16()
    assert info["threads"] == onednn.num_threads() >= 1
    assert Path(info["library"]) == onednn.find_onednn()[0] and Path(info["native"]).exists()
    assert theano_cpu.onednn_available() is True


def test_what_info_does_not_know_is_a_key_error(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    monkeypatch.setattr(runtime, "_problem", lambda: "not here")
    assert onednn.info() == {"engine": "theano", "problem": "not here"}
    for key in "helper", "native", "colour":
        with pytest.raises(KeyError, match=key):
            onednn.info()[key]


def test_the_environment_chooses_the_engine(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    assert onednn.engine() == "theano" and not onednn.onednn_available() and not theano_cpu.onednn_available()
    monkeypatch.setenv("THEANO_CPU_ENGINE", "gpu")
    with pytest.raises(ValueError, match="THEANO_CPU_ENGINE is 'gpu', expected one of onednn, theano"):
        onednn.engine()


def test_an_engine_is_named_in_any_case_and_the_one_that_can_be_used_is_taken_where_none_is(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", " Theano ")
    assert onednn.engine() == "theano"
    for nothing in "", " ":
        monkeypatch.setenv("THEANO_CPU_ENGINE", nothing)
        for problem, taken in ("not here", "theano"), (None, "onednn"):
            monkeypatch.setattr(runtime, "_problem", lambda problem=problem: problem)
            assert onednn.engine() == taken and onednn.onednn_available() is (taken == "onednn")


def test_where_theano_computes_nothing_is_asked_of_onednn(monkeypatch):
    monkeypatch.setenv("THEANO_CPU_ENGINE", "theano")
    monkeypatch.setattr(runtime, "native_module", lambda: pytest.fail("oneDNN was asked"))
    onednn.forget_overflows()
    assert onednn.overflowed() is False


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


@needs_onednn
def test_instruction_sets_have_the_numbers_of_onednns_header():
    header = (onednn.find_onednn()[1] / "oneapi/dnnl/dnnl_types.h").read_text()
    numbers = {int(number, 16) for number in re.findall(r"dnnl_cpu_isa_\w+ = (0x\w+),", header)} - {0}
    assert len(numbers) >= 11 and numbers <= runtime._INSTRUCTION_SETS.keys()


@pytest.mark.parametrize("machine, isa, name", [
    # dnnl_cpu_isa_t in include/oneapi/dnnl/dnnl_types.h
    ("x86_64", 0x3, "AVX"),
    ("x86_64", 0x7, "AVX2"),
    ("x86_64", 0xF, "AVX2 with VNNI"),
    ("x86_64", 0x1F, "AVX2 with VNNI 2"),
    ("x86_64", 0x27, "AVX-512"),
    ("x86_64", 0x67, "AVX-512 with VNNI"),
    ("x86_64", 0xE7, "AVX-512 with bfloat16"),
    ("x86_64", 0x1EF, "AVX-512 with float16"),
    ("x86_64", 0xFEF, "AVX-512 with AMX"),
    ("x86_64", 0x1FEF, "AVX-512 with AMX float16"),
    ("x86_64", 0x201FF, "AVX10.2"),
    ("x86_64", 0x22FFF, "AVX10.2 with AMX 2"),
    ("x86_64", 0x77, "0x77"),
    # dnnl_cpu_isa_asimd and _sve_* in src/cpu/aarch64/cpu_isa_traits.hpp
    ("aarch64", 0x3, "SVE, 128 bits"),
    ("aarch64", 0x7, "SVE, 256 bits"),
    ("aarch64", 0x27, "SVE, 512 bits"),
    ("aarch64", 0x1F, "0x1f"),
])  # fmt: skip
def test_an_instruction_set_has_its_name(monkeypatch, machine, isa, name):
    monkeypatch.setattr(runtime.platform, "machine", lambda: machine)
    assert runtime._instruction_set(isa) == name


@pytest.mark.parametrize("isa, multiplies", [
    (0x1, False), (0x1F, False), (0x27, False), (0x67, False),
    (0xE7, True), (0x1EF, True), (0xFEF, True), (0x1FEF, True), (0x201FF, True), (0x22FFF, True),
])  # fmt: skip
def test_bfloat16_is_multiplied_from_its_instruction_set_on(monkeypatch, isa, multiplies):
    monkeypatch.setattr(runtime, "native_module", lambda: loaded(isa, fast=True))
    assert onednn.has_bfloat16() is multiplies


@pytest.fixture
def not_loaded(monkeypatch):
    """A process that has not loaded the native module yet, and what it would load."""
    asked = []
    monkeypatch.setattr(runtime, "_loaded", None)
    monkeypatch.setattr(runtime, "find_onednn", lambda: (Path("libdnnl.so"), Path("include")))
    monkeypatch.setattr(runtime, "load_onednn", lambda *places: asked.append(places))
    monkeypatch.setattr(runtime, "_load", lambda *places: asked.append(places) or "the module")
    return asked


@needs_onednn
def test_a_native_module_that_was_built_is_loaded_once_and_one_that_is_not_whole_never(not_loaded, tmp_path):
    whole = Path(np.random.mtrand.__file__).read_bytes()
    path = tmp_path / "native.so"
    assert runtime.load_built(str(path)) is None
    path.write_bytes(whole[: len(whole) // 2])
    assert runtime.load_built(str(path)) is None and not_loaded == []
    path.write_bytes(whole)
    for _ in range(2):
        assert runtime.load_built(str(path)) == "the module"
    assert not_loaded == [(Path("libdnnl.so"), Path("include")), (path, Path("libdnnl.so"))]


@pytest.mark.parametrize("fast", [True, False])
def test_a_native_module_is_looked_at_when_it_is_loaded_and_closed_at_the_end(fast, monkeypatch):
    module = loaded(0x7, fast=fast)
    module.close = lambda: None
    registered = []
    loader = SimpleNamespace(exec_module=lambda module: None)
    monkeypatch.setattr(runtime.importlib.machinery, "ExtensionFileLoader", lambda name, path: loader)
    monkeypatch.setattr(runtime.importlib.util, "spec_from_loader", lambda name, loader: "spec")
    monkeypatch.setattr(runtime.importlib.util, "module_from_spec", lambda spec: module)
    monkeypatch.setattr(runtime.atexit, "register", registered.append)
    if fast:
        assert runtime._load(Path("native.so"), Path("libdnnl.so")) is module and registered == [module.close]
    else:
        with pytest.raises(onednn.OneDnnUnavailableError, match="only slow ones for any"):
            runtime._load(Path("native.so"), Path("libdnnl.so"))


def test_what_is_no_native_module_cannot_be_loaded(tmp_path):
    (tmp_path / "native.so").write_bytes(b"text")
    with pytest.raises(onednn.OneDnnUnavailableError, match="^the oneDNN native module .*native.so cannot be loaded: "):
        runtime._load(tmp_path / "native.so", Path("libdnnl.so"))


def test_another_onednn_in_the_process_is_told_apart():
    with pytest.raises(onednn.OneDnnUnavailableError, match="another package has brought along"):
        runtime._check(loaded(0x7, fast=True, version=(3, 9, 0)), Path("libdnnl.so"))


@needs_onednn
def test_builds_of_one_version_have_native_modules_of_their_own(tmp_path):
    library, include = onednn.find_onednn()
    other = tmp_path / library.name
    other.write_bytes(b"another build")
    assert runtime._key(library, include) != runtime._key(other, include)


@pytest.fixture
def key_of(tmp_path, monkeypatch):
    """The name of the native module, for sources and an oneDNN that there are not."""
    header = tmp_path / "include/oneapi/dnnl/dnnl_version.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define DNNL_VERSION_MAJOR 3")
    (tmp_path / "native").mkdir()
    (tmp_path / "native/a.cpp").write_text("int a;")
    (tmp_path / "libdnnl.so").write_bytes(b"a build")
    monkeypatch.setattr(runtime, "_SOURCES", tmp_path / "native")
    return lambda: runtime._key(tmp_path / "libdnnl.so", tmp_path / "include")


@pytest.mark.parametrize("change", [
    lambda patch, folder: (folder / "native/a.cpp").write_text("int b;"),
    lambda patch, folder: (folder / "native/a.cpp").rename(folder / "native/b.cpp"),
    lambda patch, folder: (folder / "native/b.hpp").touch(),
    lambda patch, folder: (folder / "include/oneapi/dnnl/dnnl_version.h").write_text("#define DNNL_VERSION_MAJOR 4"),
    lambda patch, folder: (folder / "libdnnl.so").write_bytes(b"another build"),
    lambda patch, folder: patch.setattr(runtime.sysconfig, "get_config_var", lambda name: "cpython-399"),
    lambda patch, folder: patch.setattr(runtime.np, "__version__", "9.9"),
    lambda patch, folder: patch.setattr(runtime, "_FLAGS", [*runtime._FLAGS, "-g"]),
    lambda patch, folder: patch.setattr(runtime, "_OPTIMISED", {**runtime._OPTIMISED, "values.cpp": "-O2"}),
    lambda patch, folder: patch.setattr(runtime.processor, "fingerprint", lambda: "another"),
])  # fmt: skip
def test_whatever_the_native_module_depends_on_is_in_its_name(key_of, change, monkeypatch, tmp_path):
    before = key_of()
    assert key_of() == before and len(before) == 32
    change(monkeypatch, tmp_path)
    assert key_of() != before


def test_the_native_module_is_named_for_the_compiler_and_for_the_processor_that_the_user_names(key_of, monkeypatch):
    machines = iter("abcdefgh")
    monkeypatch.setattr(runtime.processor, "fingerprint", lambda: next(machines))
    with theano.configparser.change_flags(**{"gcc.cxxflags": "-march=x86-64-v3"}):
        for_many = key_of()
        assert key_of() == for_many
        with theano.configparser.change_flags(cxx="clang++"):
            assert key_of() != for_many
    assert key_of() not in (for_many, key_of())


@pytest.mark.parametrize("flags, march", [("", "native"), ("-O2 -march=x86-64-v3", "x86-64-v3")])
def test_the_native_module_is_compiled_for_this_processor_or_the_one_that_the_user_names(monkeypatch, flags, march):
    commands = []
    monkeypatch.setattr(runtime, "_run_all", lambda some: commands.append(list(some)))
    with theano.configparser.change_flags(**{"gcc.cxxflags": flags, "cxx": "a compiler"}):
        runtime._compile(Path("/a folder/native.so"), Path("/lib/libdnnl.so"), Path("/include"))
    compiling, [linking] = commands
    assert [command[command.index("-c") + 1 :] for command in compiling] == [
        [str(runtime._SOURCES / f"{name}.cpp"), "-o", f"/a folder/{name}.o"]
        for name in ("convolution", "module", "values")
    ]
    assert all({"-I/include", f"-I{np.get_include()}"} <= set(command) for command in compiling)
    # A product and its sum are rounded once, or scores would depend on who computes them
    assert all({"-ffp-contract=fast", f"-march={march}"} <= set(command) for command in (*compiling, linking))
    assert [command[0] for command in (*compiling, linking)] == ["a compiler"] * 4
    objects = [f"/a folder/{name}.o" for name in ("convolution", "module", "values")]
    assert ("-mprefer-vector-width=512" in linking) == (platform.machine() == "x86_64")  # others refuse it
    assert linking[linking.index("-shared") + 1 :] == [*objects, "-o", "/a folder/native.so", "/lib/libdnnl.so"]


def test_all_commands_are_run_at_once_and_the_first_that_fails_is_quoted():
    def running(code):
        return [sys.executable, "-c", code]

    runtime._run_all([running("")])
    commands = [running(""), running("import sys; sys.exit('one\\nwrong')"), running("import sys; sys.exit('two')")]
    with pytest.raises(onednn.OneDnnUnavailableError, match="(?s)native module failed:\n.*sys.exit.*\none\nwrong"):
        runtime._run_all(iter(commands))


@pytest.fixture
def building(monkeypatch, tmp_path):
    """Builds into a folder, with a compiler that writes what it is to make."""
    made = []

    def compile(target, library, include):
        made.append(target)
        target.write_bytes(Path(np.random.mtrand.__file__).read_bytes())

    monkeypatch.setattr(runtime, "_compile", compile)
    with theano.configparser.change_flags(cxx="g++"):
        yield lambda path: runtime._build(path, Path("libdnnl.so"), Path("include")) or made


def test_a_build_takes_its_place_as_a_whole_and_is_made_once(building, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(runtime, "sync", lambda path: synced.append((path, path.exists(), (target).exists())))
    target = tmp_path / "theano_cpu_onednn" / "native.so"
    left = target.parent / "build-killed"
    left.mkdir(parents=True)
    (left / "values.o").touch()
    (target.parent / "another.so").touch()
    [made] = building(target)
    assert made.parent.parent == target.parent and made.name == target.name
    assert synced == [(made, True, False)]  # on the disk before it has its name
    assert sorted(path.name for path in target.parent.iterdir()) == ["another.so", "build.lock", "native.so"]
    assert building(target) == [made]
    target.write_bytes(target.read_bytes()[:5000])
    assert len(building(target)) == 2  # one that a power cut left is none


def test_a_folder_that_cannot_be_written_is_named(building, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(onednn.OneDnnUnavailableError, match="native module cannot be written to .*/file: "):
        building(tmp_path / "file" / "native.so")


def test_a_build_waits_for_another_that_is_under_way(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with runtime._locked(tmp_path / "lock"), open(tmp_path / "lock") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(tmp_path / "lock") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_where_locks_are_not_to_be_had_a_build_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with runtime._locked(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()


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


@needs_onednn
@pytest.mark.parametrize("count", [np.int64(2), 2])
def test_a_number_of_threads_may_be_numpys(count):
    try:
        onednn.set_num_threads(count)
        assert onednn.num_threads() == 2
    finally:
        onednn.set_num_threads(None)


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

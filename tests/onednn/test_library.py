"""Where oneDNN is found, which is taken, and what is said of one that cannot be used."""

import platform
import re
import shutil
import sys

import pytest

from theano_cpu import ops
from theano_cpu.onednn import library as places
from theano_cpu.onednn.library import OneDnnUnavailableError, find_onednn, load_onednn

needs_onednn = pytest.mark.skipif(not ops.onednn_available(), reason="oneDNN is not the engine here")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="oneDNN is used on Linux only")


def installed(prefix, folder="lib", name="libdnnl.so.3", version="3.7.2", threads="OMP", library=True, headers=True):
    """Write the files by which an installed oneDNN is known."""
    if library:
        (prefix / folder).mkdir(parents=True)
        (prefix / folder / name).touch()
    if headers:
        major, minor, patch = version.split(".")
        include = prefix / "include"
        (include / "oneapi/dnnl").mkdir(parents=True)
        (include / "dnnl.h").touch()
        (include / "oneapi/dnnl/dnnl_version.h").write_text(
            f"/// Major version\n#define DNNL_VERSION_MAJOR {major}\n"
            f"#define DNNL_VERSION_MINOR {minor}\n#define DNNL_VERSION_PATCH {patch}\n"
        )
        (include / "oneapi/dnnl/dnnl_config.h").write_text(f"#define DNNL_CPU_RUNTIME DNNL_RUNTIME_{threads}\n")
    return prefix


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of which every place is empty: a virtual environment, made from another, and a system."""
    monkeypatch.delenv("THEANO_CPU_ONEDNN", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "conda"))
    monkeypatch.setattr(places.site, "USER_BASE", str(tmp_path / "user"))
    monkeypatch.setattr(places, "_SYSTEM_PREFIXES", (str(tmp_path / "usr/local"), str(tmp_path / "usr")))
    monkeypatch.setattr(places, "_file_of", lambda distribution, name: None)
    return tmp_path


def test_nothing_installed_is_said_with_what_to_do(machine, monkeypatch):
    monkeypatch.setattr(places.platform, "machine", lambda: "x86_64")
    with pytest.raises(OneDnnUnavailableError, match="^oneDNN is not installed: pip install onednn-cpu-gomp=="):
        find_onednn()
    monkeypatch.setattr(places.platform, "machine", lambda: "aarch64")
    with pytest.raises(OneDnnUnavailableError, match="^oneDNN is not installed: .*3.2 or newer.*libdnnl-dev"):
        find_onednn()


def test_the_environment_comes_before_the_one_it_was_made_from_and_that_before_the_system(machine):
    for prefix in ("usr", "usr/local", "conda", "user", "venv"):
        installed(machine / prefix)
        assert find_onednn() == (machine / prefix / "lib/libdnnl.so.3", machine / prefix / "include")


def test_wheels_that_were_installed_elsewhere_come_before_the_system(machine, monkeypatch):
    wheels = installed(machine / "target")
    installed(machine / "usr")
    files = {
        "onednn-cpu-gomp": wheels / "lib/libdnnl.so.3",
        "onednn-devel-cpu-gomp": wheels / "include/dnnl.h",
    }
    monkeypatch.setattr(places, "_file_of", lambda distribution, name: files[distribution])
    assert find_onednn() == (wheels / "lib/libdnnl.so.3", wheels / "include")


def test_a_users_own_wheel_comes_before_the_system_that_python_belongs_to(machine, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(machine / "usr"))
    installed(machine / "usr")
    installed(machine / "user")
    assert find_onednn()[1] == machine / "user/include"


@pytest.mark.parametrize("folder", [f"lib/{platform.machine()}-linux-gnu", "lib64"])
def test_the_librarys_folder_may_be_debians_or_fedoras(machine, folder):
    installed(machine / "usr", folder)
    assert find_onednn()[0] == machine / "usr" / folder / "libdnnl.so.3"


@pytest.mark.parametrize("name", ["libdnnl.so", "libdnnl.so.3.6"])
def test_the_library_may_have_debians_names(machine, name):
    installed(machine / "usr", name=name)
    assert find_onednn()[0].name == name


def test_the_environment_variable_names_the_only_place(machine, monkeypatch):
    installed(machine / "venv")
    chosen = installed(machine / "chosen")
    monkeypatch.setenv("THEANO_CPU_ONEDNN", f" {chosen} ")
    assert find_onednn() == (chosen / "lib/libdnnl.so.3", chosen / "include")
    monkeypatch.setenv("THEANO_CPU_ONEDNN", str(machine / "empty"))
    expected = re.escape(f"THEANO_CPU_ONEDNN is {str(machine / 'empty')!r}, expected a folder with lib/libdnnl.so and")
    with pytest.raises(OneDnnUnavailableError, match=expected):
        find_onednn()


@pytest.mark.parametrize(
    "flaw, message",
    [
        ({"headers": False}, "oneDNN's library .*/lib/libdnnl.so.3 is without its headers"),
        ({"library": False}, "oneDNN's headers in .*/include are without their library"),
        ({"version": "2.6.3", "name": "libdnnl.so"}, "is version 2.6.3, expected 3.2 or newer, below 4"),
        ({"version": "3.1.9"}, "is version 3.1.9, expected 3.2"),
        ({"version": "4.0.0"}, "is version 4.0.0, expected 3.2 or newer, below 4"),
        ({"version": ".."}, "is version unknown, expected 3.2"),
        ({"threads": "SYCL"}, "computes in threads of SYCL, expected OpenMP's"),
        ({"threads": "TBB"}, "computes in threads of TBB, expected OpenMP's"),
    ],
)
def test_one_that_cannot_be_used_is_passed_over_and_named_where_there_is_no_other(machine, flaw, message):
    installed(machine / "conda", **flaw)
    with pytest.raises(OneDnnUnavailableError, match=f"^[^\n]*{message}[^\n]*: [^\n]+$"):
        find_onednn()
    installed(machine / "usr")
    assert find_onednn()[1] == machine / "usr/include"


def test_versions_from_3_2_on_are_taken(machine):
    for version in ("3.2.0", "3.12.1", "3.99.0"):
        shutil.rmtree(machine / "venv", ignore_errors=True)
        installed(machine / "venv", version=version)
        assert find_onednn()[1] == machine / "venv/include"


def test_all_that_cannot_be_used_are_named_in_one_sentence(machine):
    installed(machine / "venv", headers=False)
    installed(machine / "usr", version="2.6.3")
    with pytest.raises(
        OneDnnUnavailableError, match="without its headers, and oneDNN in .* is version 2.6.3, expected"
    ):
        find_onednn()


@needs_onednn
def test_headers_of_another_version_than_the_library_are_refused(tmp_path):
    library, include = find_onednn()
    copied = installed(tmp_path, version="3.99.0", library=False) / "include"
    load_onednn(library, include)
    with pytest.raises(
        OneDnnUnavailableError, match=r"is oneDNN 3\.\d+\.\d+ and the headers in .* are of 3\.99\.0: install"
    ):
        load_onednn(library, copied)


def test_a_file_that_is_no_library_is_refused(tmp_path):
    prefix = installed(tmp_path)
    with pytest.raises(OneDnnUnavailableError, match=r"libdnnl\.so\.3 cannot be loaded: "):
        load_onednn(prefix / "lib/libdnnl.so.3", prefix / "include")


@needs_onednn
def test_onednn_is_found_where_its_wheels_were_installed():
    if not (wheel := places._file_of("onednn-cpu-gomp", "libdnnl.so.3")):
        pytest.skip("oneDNN is not from the wheels here")
    headers = places._file_of("onednn-devel-cpu-gomp", "dnnl.h")
    assert wheel.name == "libdnnl.so.3" and headers == headers.parents[1] / "include/dnnl.h"


def test_other_systems_than_linux_are_left_to_theano(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OneDnnUnavailableError, match="Linux only, and this is darwin"):
        find_onednn()

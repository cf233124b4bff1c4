"""The image of docs/Dockerfile, made and run without Docker: its steps in Debian's own root, by namespaces."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ports import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docs" / "Dockerfile"
SLOW_TO_MAKE = 1800
pytestmark = pytest.mark.timeout(2 * SLOW_TO_MAKE)
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def instructions():
    """The Dockerfile's instructions, by stage: a list of (name, argument) for each FROM."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, argument = line.partition(" ")
        stages += [[]] if name == "FROM" else []
        stages[-1].append((name, argument))
    return stages


def run(*command, check=True, **options):
    process = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=SLOW_TO_MAKE, errors="replace", **options
    )
    assert process.returncode == 0 or not check, process.stdout[-2000:] + process.stderr[-4000:]
    return process


def test_the_final_image_has_no_compiler_and_no_root():
    build, final = instructions()
    assert any("g++" in argument for _, argument in build)
    assert not any("g++" in argument or "dev" in argument for _, argument in final)
    assert dict(final)["USER"] not in ("root", "0", "0:0")


def test_the_page_shows_the_dockerfile():
    page = (ROOT / "docs" / "deployment.md").read_text()
    shown = re.search(r"^```dockerfile\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert DOCKERFILE.read_text().endswith("\n\n" + shown[1])


class Image:
    """A root file system, and what the Dockerfile says of processes in it."""

    def __init__(self, root):
        self.root, self.environment, self.user, self.entry, self.default = root, {}, None, [], []

    def follow(self, stage, others):
        """Do what the instructions of a stage say, but FROM."""
        for name, argument in stage[1:]:
            getattr(self, f"_{name.lower()}")(argument, others)

    def _run(self, argument, others):
        """Run a command as ``docker build`` does; nothing of this machine can be written by it."""
        script = ["mount -t proc proc $root/proc"]
        for outside in "/dev", "/etc/resolv.conf", "/etc/pip.conf", "/opt/wheels", "/opt/pypi", "/opt/pypi-more":
            if os.path.exists(outside):
                place = f"$root{outside}"
                make = f"mkdir -p {place}" if os.path.isdir(outside) else f"mkdir -p $(dirname {place}); touch {place}"
                script += [make, f"mount --bind {outside} {place}", f"mount -o remount,bind,ro {place}"]
        ours = "THEANO", "PYTHON", "PIP_CONSTRAINT"  # these are about this machine's Python
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        if "PIP_CERT" in os.environ:
            certificates = os.environ["PIP_CERT"]
            shutil.copy(certificates, f"{self.root}/certificates")
            environment.update((name, "/certificates") for name in os.environ if os.environ[name] == certificates)
        environment.update(root=str(self.root), PATH=PATH)
        script = [*script, 'exec chroot $root /bin/sh -ec "$0"']
        run("unshare", "--mount", "--pid", "--fork", "sh", "-ec", "\n".join(script), argument, env=environment)

    def _copy(self, argument, others):
        source, _, target = argument.rpartition(" ")
        target = Path(f"{self.root}{target}")
        if source.startswith("--from="):
            stage, path = source.removeprefix("--from=").split()
            run("cp", "-a", f"{others[stage].root}{path}", target)
        else:
            listed = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
            for name in filter(None, listed.split("\0")):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target / name)

    def _env(self, argument, others):
        self.environment.update(pair.split("=", 1) for pair in argument.split())

    def _user(self, argument, others):
        self.user = argument

    def _workdir(self, argument, others):
        self.folder = argument

    def _expose(self, argument, others):
        pass  # it says what is there, and does nothing

    def _entrypoint(self, argument, others):
        self.entry = json.loads(argument)

    def _cmd(self, argument, others):
        self.default = json.loads(argument)

    def start(self, *arguments, entry=None, writable=None, check=True):
        """As ``docker run --read-only --network none``, with ``img`` and a writable folder as volumes."""
        command, environment = self._started(arguments, entry, writable)
        return run("unshare", "--net", *command, env=environment, check=check)

    def _started(self, arguments, entry=None, writable=None):
        program = " ".join(map(repr, [*(entry or self.entry), *arguments]))
        script = f"""
            mount --bind {self.root} {self.root}
            mount --bind {ROOT}/img {self.root}/mnt
            {f"mount --bind {writable} {self.root}/srv" if writable else ""}
            mount -o remount,bind,ro {self.root}
            mount -o remount,bind,ro {self.root}/mnt
            mount -t proc proc {self.root}/proc
            cd {self.root}
            exec chroot --userspec={self.user} {self.root} /bin/sh -c "cd {self.folder}; exec {program}"
        """
        command = "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script
        return command, {"PATH": PATH, "HOME": "/nonexistent", **self.environment}

    @contextlib.contextmanager
    def serve(self, port):
        """As ``docker run --read-only``, with a port of this machine."""
        command, environment = self._started([*self.default, "--port", str(port)])
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The final image, made in the roots of Debian's stable release, which has this Python."""
    if not (hasattr(os, "getuid") and os.getuid() == 0 and shutil.which("debootstrap") and (ROOT / ".git").exists()):
        pytest.skip("NOT TESTED: docs/Dockerfile; its steps need root, debootstrap and a clone")
    top = tmp_path_factory.mktemp("image")
    plain = top / "plain"
    run("debootstrap", "--variant=minbase", "--include=python3", "stable", plain)
    run("cp", "-a", plain, top / "build")
    build, final = Image(top / "build"), Image(plain)
    build._run("apt-get update && apt-get install --yes --no-install-recommends python3-venv python3-dev", {})
    stages = instructions()
    build.follow(stages[0], {})
    final.follow(stages[1], {"build": build})
    final.build = build
    yield final
    shutil.rmtree(top, ignore_errors=True)


@pytest.mark.slow
def test_the_image_has_neither_compiler_nor_headers(image):
    assert not list(image.root.glob("usr/include/python3*")) and not list(image.root.glob("usr/bin/*g++*"))
    assert image.start(entry=["/bin/sh", "-c", "id -u; touch /opt/file"], check=False).returncode != 0


@pytest.mark.slow
def test_the_image_scores_as_the_builder_does(image, tmp_path):
    there = image.start("score", "/mnt/rocket.jpg", "/mnt/coffee.jpg").stdout
    assert there.splitlines()[0] == "0.000463  /mnt/rocket.jpg"
    builder = image.build
    builder.user, builder.folder, builder.entry = "0:0", "/", image.entry
    builder.environment = {"THEANO_FLAGS": "base_compiledir=/srv/compiled", "TMPDIR": "/srv"}
    assert builder.start("score", "/mnt/rocket.jpg", "/mnt/coffee.jpg", writable=tmp_path).stdout == there
    assert list((tmp_path / "compiled").rglob("*.so")), "the builder compiled for itself"


@pytest.mark.slow
def test_the_image_inverts_and_evolves(image, tmp_path):
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    arguments = "/mnt/rocket.jpg", "--target", "0.3", "--tolerance", "0.3", "--iterations", "5", "--out", "/srv/r.png"
    inverted = image.start("inverse", *arguments, writable=tmp_path)
    assert (tmp_path / "r.png").exists(), inverted.stdout + inverted.stderr
    evolved = image.start("evolve", "--generations", "3", "--out", "/srv/evolved", writable=tmp_path)
    assert (tmp_path / "evolved" / "best.png").exists(), evolved.stdout + evolved.stderr


@pytest.mark.slow
def test_the_image_serves(image):
    httpx = pytest.importorskip("httpx")
    port = free_port()
    with image.serve(port) as process:
        url, ends = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/readyz", timeout=60).status_code == 200:
                    break
            assert process.poll() is None and time.monotonic() < ends, process.stderr.read()
            time.sleep(0.2)
        answer = httpx.post(f"{url}/v1/score", content=(ROOT / "img" / "rocket.jpg").read_bytes(), timeout=60)
    assert f"{answer.json()['results'][0]['score']:.6f}" == "0.000463"

"""Unpack the releases of Theano and Lasagne beside this file, for a build: ``python third_party/unpack.py FOLDER``.

Files are copied unchanged, and each release gets a ``.dist-info`` folder as an installed one has: its own metadata, its
licence, and a RECORD of its files (the packaging standard "Recording installed projects"). Nothing of theirs is run.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"
"""Checksums as ``sha256sum --check`` reads them, one line for each release."""

PACKAGES = "theano", "lasagne"


class ChangedArchiveError(Exception):
    """A release beside this file is missing, or not the one that the registry has."""


def checksums(folder: Path = HERE) -> dict[str, str]:
    """Read the pinned checksums.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the releases.

    Returns
    -------
    dict of str to str
        Hexadecimal SHA-256 by file name.

    Examples
    --------
    >>> sorted(checksums())
    ['Lasagne-0.1.tar.gz', 'Theano-1.0.5.tar.gz']
    """
    lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def unpack(target: Path, folder: Path = HERE) -> None:
    """Make `target` a folder that Python can import Theano and Lasagne from.

    It appears as a whole or not at all. One that is complete already is left alone.

    Parameters
    ----------
    target : pathlib.Path
        Replaced if it is there.
    folder : pathlib.Path
        The folder of the releases.

    Raises
    ------
    ChangedArchiveError
        A release is missing or has another checksum than the pinned one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as made:
    ...     unpack(Path(made, "bundled"))
    ...     sorted(path.name for path in Path(made, "bundled").iterdir())
    ['Lasagne-0.1.dist-info', 'SHA256SUMS', 'Theano-1.0.5.dist-info', 'lasagne', 'theano']
    """
    if is_complete(target, folder):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="unpacking-") as work:
        new, old = Path(work, "new"), Path(work, "old")
        for name, digest in checksums(folder).items():
            _unpack_release(_checked(folder / name, digest), new)
        shutil.copyfile(folder / SUMS, new / SUMS)
        if target.exists():
            target.rename(old)
        new.rename(target)


def is_complete(target: Path, folder: Path = HERE) -> bool:
    """Say whether a folder holds what `unpack` would make of these releases.

    Parameters
    ----------
    target : pathlib.Path
    folder : pathlib.Path
        The folder of the releases.

    Returns
    -------
    bool
        Files are compared by their sizes.

    Examples
    --------
    >>> is_complete(Path("docs"))
    False
    """
    if not (target / SUMS).exists() or (target / SUMS).read_bytes() != (folder / SUMS).read_bytes():
        return False
    records = [row for path in target.glob("*.dist-info/RECORD") for row in csv.reader(path.read_text().splitlines())]
    files = [(target / path, int(size)) for path, _, size in records]
    return bool(files) and all(path.is_file() and path.stat().st_size == size for path, size in files)


def _checked(archive: Path, digest: str) -> Path:
    if not archive.exists():
        raise ChangedArchiveError(f"{archive} is missing: get the whole of this project again")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != digest:
        raise ChangedArchiveError(
            f"{archive} is not the release that PyPI has: its SHA-256 is {found}, expected {digest}; "
            "get this project again from a place that you trust"
        )
    return archive


def _unpack_release(archive: Path, target: Path) -> None:
    release = archive.name.removesuffix(".tar.gz")
    record = io.StringIO()
    writer = csv.writer(record, lineterminator="\n")
    for path, content in _files(archive, release):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        writer.writerow((path, f"sha256={digest}", len(content)))
    (target / f"{release}.dist-info" / "RECORD").write_text(record.getvalue(), encoding="utf-8")


def _files(archive: Path, release: str) -> Iterator[tuple[str, bytes]]:
    """Where each file of a release belongs, and its content."""
    metadata = {
        "PKG-INFO": f"{release}.dist-info/METADATA",
        "LICENSE": f"{release}.dist-info/licenses/LICENSE",
        "LICENSE.txt": f"{release}.dist-info/licenses/LICENSE.txt",
    }
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(release + "/")
            path = metadata.get(name) or (name if _is_needed(name) else None)
            content = tar.extractfile(member)  # None for folders
            if path is not None and content is not None:
                yield path, content.read()


def _is_needed(name: str) -> bool:
    package, *parts = name.split("/")
    if package not in PACKAGES:
        return False
    if name.startswith("theano/tests/"):
        # Theano imports its own: unittest_tools, breakpoint and their like
        return len(parts) == 2 and not parts[1].startswith("test_")
    return "tests" not in parts


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))

"""Theano 1.0.5 and Lasagne 0.1 as they travel with this package, for where neither is installed.

They lie in the folder ``bundled``, byte for byte as they were released; ``third_party/README.md`` in the repository
tells where they are from. `install` puts a finder at the end of ``sys.meta_path``: whatever ``theano`` or ``lasagne``
can be found elsewhere comes first.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from theano_compat.import_hook import before
from theano_compat.requirements import TheanoEnvironmentError

if TYPE_CHECKING:
    from importlib.metadata import PathDistribution

BUNDLED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bundled")
RELEASES = {"theano": "Theano-1.0.5", "lasagne": "Lasagne-0.1"}
_INSTALL_AGAIN = "install this package again (in a checkout: pip install --editable .)"


def install() -> None:
    """Put the finder at the end of ``sys.meta_path``, unless it is there already."""
    if BundleFinder not in sys.meta_path:
        sys.meta_path.append(BundleFinder)


class BundleFinder:
    """Finds the bundled packages, and their metadata, where no others are installed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a bundled package, None for all other modules.

        Raises
        ------
        TheanoEnvironmentError
            Files of the bundle are missing or have another size.
        """
        if name not in RELEASES:
            return None
        check_sizes(RELEASES[name])
        return PathFinder.find_spec(name, [BUNDLED])

    @staticmethod
    def find_distributions(context: Any) -> Iterator[PathDistribution]:
        """Yield what `importlib.metadata` is to know of the bundled packages, such as their versions."""
        from importlib.metadata import PathDistribution
        from pathlib import Path

        if "path" in vars(context):
            return  # somebody asks for what lies in certain folders
        for package, release in RELEASES.items():
            wanted = context.name is None or context.name.lower() == package
            if wanted and PathFinder.find_spec(package) is None:
                yield PathDistribution(Path(BUNDLED, release + ".dist-info"))


@before("theano")
def check_release(theano: ModuleType) -> bool:
    """Other releases, and PyMC's fork, are laid out in other modules than those that are repaired here"""
    folder = os.path.dirname(theano.__file__ or "")
    if not os.path.isdir(os.path.join(folder, "gof")):
        from importlib.metadata import packages_distributions

        owners = ", ".join(packages_distributions().get("theano", ())) or "not installed by pip"
        raise TheanoEnvironmentError(
            f"theano_compat keeps Theano 1.0.5 working, and {folder} is another Theano ({owners}): uninstall it, "
            "or take an environment without it; the Theano that comes with theano_compat is used then"
        )
    return False


def check_sizes(release: str) -> None:
    """Check that a bundled release is there as a whole. This takes about a millisecond.

    Parameters
    ----------
    release : str
        Its name and version, such as ``"Theano-1.0.5"``.

    Raises
    ------
    TheanoEnvironmentError
        A file is missing or has another size than it had when it was unpacked.

    Examples
    --------
    >>> check_sizes("Theano-1.0.5")
    """
    for path, _, size in _record(release):
        file = os.path.join(BUNDLED, path)
        try:
            found = os.stat(file).st_size
        except OSError:
            raise TheanoEnvironmentError(f"{file} of the bundled {release} is missing: {_INSTALL_AGAIN}") from None
        if found != int(size):
            raise TheanoEnvironmentError(
                f"{file} of the bundled {release} was changed: it has {found} bytes, expected {size}; {_INSTALL_AGAIN}"
            )


def changed_files(release: str) -> list[str]:
    """Compare a bundled release with the checksums that its files had when it was unpacked.

    Parameters
    ----------
    release : str
        Its name and version, such as ``"Theano-1.0.5"``.

    Returns
    -------
    list of str
        Paths of files whose content is another one.

    Raises
    ------
    TheanoEnvironmentError
        As `check_sizes` does.

    Examples
    --------
    >>> changed_files("Lasagne-0.1")
    []
    """
    from base64 import urlsafe_b64encode
    from hashlib import sha256

    check_sizes(release)
    changed = []
    for path, digest, _ in _record(release):
        file = os.path.join(BUNDLED, path)
        with open(file, "rb") as content:
            found = urlsafe_b64encode(sha256(content.read()).digest()).decode().rstrip("=")
        if digest != f"sha256={found}":
            changed.append(file)
    return changed


def is_bundled(package: ModuleType) -> bool:
    """Say whether an imported package is a bundled one.

    Parameters
    ----------
    package : module
        ``theano`` or ``lasagne``.

    Returns
    -------
    bool

    Examples
    --------
    >>> import theano
    >>> is_bundled(theano) in (True, False)
    True
    """
    return os.path.dirname(os.path.dirname(os.path.abspath(package.__file__ or ""))) == BUNDLED


def _record(release: str) -> list[list[str]]:
    """The rows of its RECORD: path, checksum, size in bytes."""
    path = os.path.join(BUNDLED, release + ".dist-info", "RECORD")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    except OSError:
        raise TheanoEnvironmentError(
            f"neither an installed {release.partition('-')[0]} nor the bundled {release} can be found "
            f"({path} is missing): {_INSTALL_AGAIN}"
        ) from None

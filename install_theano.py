"""Install Theano 1.0.5 and Lasagne 0.1 from PyPI into the environment of the Python that runs this.

On Python 3.10 and 3.11 this is what ``pip install Theano==1.0.5 Lasagne==0.1`` does. On 3.12 and later
Theano's setup.py fails, because the standard library's configparser lost two names: they are put back, for
the time of the build only, by a sitecustomize.py in a temporary folder. Nothing of Theano itself changes.

Usage: python install_theano.py
"""

import os
import subprocess
import sys
import tempfile

RELEASES = ["Theano==1.0.5", "Lasagne==0.1"]

CONFIGPARSER_OF_PYTHON_3_11 = """
import configparser

if not hasattr(configparser, "SafeConfigParser"):
    configparser.SafeConfigParser = configparser.ConfigParser
    configparser.RawConfigParser.readfp = lambda self, file, name=None: self.read_file(file, name)
"""


def pip_install(*arguments: str, **environment: str) -> None:
    """Run ``pip install`` in the environment of this Python, with variables set beside the present ones."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def main() -> None:
    """Install both.

    Raises
    ------
    SystemExit
        On a Python that Theano cannot run on.
    subprocess.CalledProcessError
        pip has failed, and said why.
    """
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        sys.exit(
            f"Python 3.10 to 3.13 is needed, and {sys.executable} is {sys.version.split()[0]}: "
            "run this with one of those, or make PYTHON=python3.13"
        )
    pip_install("setuptools", "wheel")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "sitecustomize.py"), "w") as file:
            file.write(CONFIGPARSER_OF_PYTHON_3_11)
        # pip's isolated build environments would ignore PYTHONPATH
        pip_install("--no-build-isolation", "--no-deps", *RELEASES, PYTHONPATH=folder)


if __name__ == "__main__":
    main()

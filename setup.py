"""Which files are installed. What else there is to say of the project stands in pyproject.toml.

On Python 3.12 and later it is installed through `make`, see README.md.
"""

from pathlib import Path
from shutil import copyfile

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py


class BuildWithWeights(build_py):
    """Carries nsfw.pkl, which users know at the top of the checkout, into the installed nsfw_model."""

    def run(self):
        super().run()
        if not getattr(self, "editable_mode", False):
            copyfile("nsfw.pkl", Path(self.build_lib, "nsfw_model", "nsfw.pkl"))


PACKAGES = find_packages(include=["nsfw_model*", "theano_compat*", "theano_cpu*", "nsfw_experiments*", "nsfw_command*"])

setup(
    package_dir={"": "."},  # makes an editable install one line in a .pth file, which type checkers understand
    packages=[*PACKAGES, "open_nsfw-stubs"],
    py_modules=["open_nsfw"],
    include_package_data=False,
    package_data={
        "": ["py.typed"],
        "nsfw_model": ["deploy.prototxt", "LICENSE"],
        "open_nsfw-stubs": ["*.pyi"],
        "theano_compat": ["*.h"],
        "theano_cpu.onednn": ["native/*.hpp", "native/*.cpp"],
    },
    cmdclass={"build_py": BuildWithWeights},
)

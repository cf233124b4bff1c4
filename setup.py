"""Which files are installed. What else there is to say of the project stands in pyproject.toml."""

import sys
from pathlib import Path
from shutil import copyfile

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
from third_party.unpack import unpack  # build tools do not put this folder on the path


class BuildWithGuests(build_py):
    """Brings into the packages what lies elsewhere in the checkout: the weights, Theano and Lasagne, a notebook."""

    def run(self):
        super().run()
        if self.editable_mode:
            unpack(Path("theano_compat", "bundled"))
        else:
            unpack(Path(self.build_lib, "theano_compat", "bundled"))
            # users know it at the top of the checkout
            copyfile("nsfw.pkl", Path(self.build_lib, "nsfw_model", "nsfw.pkl"))
            self._bring_playground(Path(self.build_lib, "nsfw_experiments", "playground"))

    def _bring_playground(self, package):
        """Its notebook, and the pictures to begin with."""
        copyfile("notebooks/Playground.ipynb", package / "Playground.ipynb")
        Path(package, "pictures").mkdir(exist_ok=True)
        for picture in [*Path("img").glob("*.jpg"), *Path("img").glob("*.png")]:
            copyfile(picture, package / "pictures" / picture.name)


PACKAGES = find_packages(include=["nsfw_*", "theano_compat*", "theano_cpu*"])

setup(
    package_dir={"": "."},  # makes an editable install one line in a .pth file, which type checkers understand
    packages=[*PACKAGES, "open_nsfw-stubs"],
    py_modules=["open_nsfw"],
    include_package_data=False,
    package_data={
        "": ["py.typed"],
        "nsfw_command": ["report.css", "report.html", "report.js"],
        "nsfw_experiments.playground": ["preview.jpg", "front/*", "voila/templates/playground/*"],
        "nsfw_model": ["deploy.prototxt", "LICENSE"],
        "open_nsfw-stubs": ["*.pyi"],
        "theano_compat": ["*.h"],
        "theano_cpu.onednn": ["native/*.hpp", "native/*.cpp"],
    },
    cmdclass={"build_py": BuildWithGuests},
)

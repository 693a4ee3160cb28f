# SPDX-License-Identifier: Apache-2.0
"""Where the package's parts lie: code in compiler/, data beside it. Everything else is in pyproject.toml."""

from setuptools import find_packages, setup

DATA = ("boards", "runtime_c", "templates")

setup(
    packages=["tinyc", *(f"tinyc.{name}" for name in (*find_packages("compiler"), *DATA))],
    package_dir={"tinyc": "compiler", **{f"tinyc.{name}": name for name in DATA}},
)

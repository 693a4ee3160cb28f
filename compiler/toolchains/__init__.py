# SPDX-License-Identifier: Apache-2.0
"""Compilers: finding one that works for a core, compiling and linking with it, and what came out."""

from __future__ import annotations

from .build import Image, Objects, build_image, compile_objects
from .elf import Sizes, Symbol
from .find import Toolchain, find, install_line, kinds, try_kind

__all__ = [
    "Image",
    "Objects",
    "Sizes",
    "Symbol",
    "Toolchain",
    "build_image",
    "compile_objects",
    "find",
    "install_line",
    "kinds",
    "try_kind",
]

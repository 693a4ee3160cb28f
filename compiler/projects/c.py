# SPDX-License-Identifier: Apache-2.0
"""`--format c`: the library files as they are, in one flat folder, and nothing that has a main."""

from __future__ import annotations

from collections.abc import Mapping

from .info import ProjectInfo


def wrap(library: Mapping[str, bytes], info: ProjectInfo) -> Mapping[str, bytes]:
    """The library, unchanged."""
    return dict(library)

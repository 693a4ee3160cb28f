# SPDX-License-Identifier: Apache-2.0
"""`--format c`: the library files as they are, in one flat folder, and nothing that has a main."""

from __future__ import annotations

from collections.abc import Mapping

from ._render import shared_header
from .info import Firmware


def wrap(firmware: Firmware) -> Mapping[str, bytes]:
    """The libraries, unchanged, and the header of the memory that they share."""
    return {**firmware.library, **shared_header(firmware, "")}

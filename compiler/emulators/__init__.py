# SPDX-License-Identifier: Apache-2.0
"""Emulators: running an image, its output bytes and exact instruction counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import ToolError, UsageError, suggestion
from ..targets.cpus import Cpu
from .base import Emulator, Run
from .cores import proves
from .host import Host
from .qemu import Qemu
from .unicorn import Unicorn

#: By name, the one to prefer first: unicorn also measures the stack.
EMULATORS: Final[Mapping[str, Emulator]] = {"unicorn": Unicorn(), "qemu": Qemu(), "host": Host()}


def find_emulator(name: str, cpu: Cpu) -> Emulator:
    """The emulator called `name`, ready for `cpu`; "auto" is the best that is ready.

    Raises UsageError for an unknown name, ToolError with the line that installs what is missing.
    """
    if name == "auto":
        ready = choose_emulators(cpu)
        if ready:
            return ready[0]
        reasons = [f"{emulator.name}: {emulator.unavailable(cpu)}" for emulator in EMULATORS.values()]
        raise ToolError("emulator", f"none is ready for {cpu.title}", hint="; ".join(reasons))
    if name not in EMULATORS:
        raise UsageError("emulator", f"unknown emulator '{name}'", hint=suggestion(name, ("auto", *EMULATORS)))
    reason = EMULATORS[name].unavailable(cpu)
    if reason is not None:
        problem, _, hint = reason.partition(": ")
        raise ToolError("emulator", problem, hint=hint)
    return EMULATORS[name]


def choose_emulators(cpu: Cpu) -> tuple[Emulator, ...]:
    """The emulators that are ready for `cpu`, best first; empty when there is none."""
    return tuple(emulator for emulator in EMULATORS.values() if emulator.unavailable(cpu) is None)


__all__ = ["EMULATORS", "Emulator", "Run", "choose_emulators", "find_emulator", "proves"]

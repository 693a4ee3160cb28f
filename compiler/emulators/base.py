# SPDX-License-Identifier: Apache-2.0
"""What every emulator takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import MismatchError, ToolError, UsageError, suggestion
from ..targets.cpus import Cpu
from ..toolchains import Image

#: Something that the program talks with: what it wrote → what it can read next, behind what it has not read yet.
Peer = Callable[[bytes], bytes]

#: Exit status of a program that its startup code stopped after a processor fault (tinyc_startup.h).
STATUS_FAULT = 125


@dataclass(frozen=True)
class Edges:
    """What happened at one address, to the blocks of instructions that were executed one after the other.

    Attributes:
        started: blocks that begin here. `ended`: blocks whose last byte is before this.
        left: of those that ended, how many did not go on here, because a branch was taken.
        entered: of those that begin here, how many were not reached from the instruction before.
    """

    started: int
    ended: int
    left: int
    entered: int


@dataclass(frozen=True)
class Profile:
    """Which instructions the first call of the entry function executed, exactly; see tinyc.cycles for what it is good for.

    Attributes:
        start, code: address and bytes of the executable section.
        layers: per layer (as in Run.layers; one if there are no marks) what happened at each address.
    """

    start: int
    code: bytes = field(repr=False)
    layers: tuple[Mapping[int, Edges], ...] = field(repr=False)


@dataclass(frozen=True)
class Run:
    """What a program did.

    Attributes:
        output: the bytes it wrote to the host channel.
        instructions: exact number executed in the entry function and what it calls, over all its calls; None where the
            emulator cannot count. Instructions skipped by a Thumb IT block count, as in QEMU's own numbers.
        calls: calls of the entry function, or None.
        functions: the same instructions per function; empty where not counted.
        layers: instructions from one call of a marked function to the next, within the first call of the entry
            function. What comes before the first mark counts to the first layer, what comes after the last to the last.
        stack: the most bytes below the entry function's stack pointer that were written, or None; at most 256 KiB are
            looked at.
        profile: when asked for, where the emulator can count.
    """

    output: bytes
    instructions: int | None = None
    calls: int | None = None
    functions: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[int, ...] | None = None
    stack: int | None = None
    profile: Profile | None = None


class Emulator(Protocol):
    """Runs images."""

    @property
    def name(self) -> str:
        """`host`, `unicorn` or `qemu`."""

    def unavailable(self, cpu: Cpu) -> str | None:
        """Why code for `cpu` cannot run here, with the line that installs what is missing; None when it can."""

    def version(self) -> str | None:
        """Version of the emulator, or None when it is not installed."""

    def run(
        self,
        image: Image,
        stdin: bytes,
        *,
        entry: str,
        marks: Sequence[str] = (),
        timeout: float,
        profile: bool = False,
        peer: Peer | None = None,
    ) -> Run:
        """Runs `image` with `stdin` on its input, watching the function `entry`; with `profile` also Run.profile. A `peer` answers
        what the program writes, as it is written.

        Raises MismatchError when the program faults or ends with a status, ToolError when it takes over `timeout`
        seconds or the emulator fails, UsageError when `entry` or a mark is no function of the image.
        """


def watched(image: Image, entry: str, marks: Sequence[str]) -> tuple[int, frozenset[str]]:
    """Index of `entry` in image.functions, and the marks that are linked in. Raises UsageError without `entry`."""
    names = [function.name for function in image.functions]
    if entry not in names:
        raise UsageError("entry function", f"the image has no function '{entry}'", hint=suggestion(entry, names))
    return names.index(entry), frozenset(marks)


def make_profile(start: int, code: bytes, rows: Iterable[tuple[int, int, Edges]], layers: int) -> Profile:
    """The profile of a run from its rows of (layer, address, edges)."""
    found: list[dict[int, Edges]] = [{} for _ in range(max(layers, 1))]
    for layer, address, edges in rows:
        found[layer][address] = edges
    return Profile(start, code, tuple(found))


def fault(image: Image, emulator: str, what: str, pc: int | None) -> MismatchError:
    """The error for a program that the processor stopped, naming the function."""
    place = ""
    if pc is not None:
        function = image.function_at(pc)
        place = f" at pc {pc:#x}" + (f" in {function}" if function else "")
    return MismatchError(f"{image.cpu.title} in {emulator}", f"the program stopped{place}: {what}")


def bad_status(image: Image, emulator: str, status: int) -> MismatchError:
    """The error for a program that ended with a nonzero status."""
    return MismatchError(f"{image.cpu.title} in {emulator}", f"the program ended with status {status}", expected="0")


def too_slow(image: Image, emulator: str, timeout: float, pc: int | None = None) -> ToolError:
    """The error for a run over its time limit."""
    function = None if pc is None else image.function_at(pc)
    place = "" if pc is None else f"; it was at pc {pc:#x}" + (f" in {function}" if function else "")
    return ToolError(
        f"{image.cpu.title} in {emulator}",
        f"the program did not end within {timeout:g} seconds{place}",
        hint="try fewer inputs, or a faster emulator",
    )

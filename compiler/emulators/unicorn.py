# SPDX-License-Identifier: Apache-2.0
"""Runs bare-metal Arm and RISC-V images in unicorn (pip), with exact counts from a hook in C.

The emulated memory is numpy arrays that unicorn maps by pointer, so input, output and the stack are plain slices. The
image's host functions are intercepted by address; the image is the one that QEMU runs.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ToolError
from ..targets.cpus import Cpu
from ..toolchains import Image
from ..toolchains.elf import read_section, read_segments
from ..toolchains.layout import MACHINES, Region
from .base import Edges, Peer, Profile, Run, bad_status, fault, make_profile, too_slow, watched
from .cores import CORES
from .native import library

#: The line that installs unicorn.
INSTALL = "pip install 'tinyc[emulate]'"
_LAYER_CAPACITY = 4096
_ROW_CAPACITY = 1 << 17
_NO_FUNCTION = 0xFFFFFFFF
_PRIVATE_PERIPHERALS = Region(0xE0000000, 1 << 20)

_Bytes = npt.NDArray[np.uint8]


class _Function(ctypes.Structure):
    """tinyc_function of runtime_c/emulation/tinyc_count.h."""

    _fields_ = [
        ("start", ctypes.c_uint32),
        ("end", ctypes.c_uint32),
        ("marked", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64),
    ]


class _Edges(ctypes.Structure):
    """tinyc_edges of runtime_c/emulation/tinyc_count.h."""

    _fields_ = [
        ("started", ctypes.c_uint64),
        ("ended", ctypes.c_uint64),
        ("left", ctypes.c_uint64),
        ("entered", ctypes.c_uint64),
    ]


class _Row(ctypes.Structure):
    """tinyc_row of runtime_c/emulation/tinyc_count.h."""

    _fields_ = [("edges", _Edges), ("layer", ctypes.c_uint32), ("address", ctypes.c_uint32)]


class _Counter(ctypes.Structure):
    """tinyc_counter of runtime_c/emulation/tinyc_count.h."""

    _fields_ = [
        ("functions", ctypes.POINTER(_Function)),
        ("layers", ctypes.POINTER(ctypes.c_uint64)),
        ("edges", ctypes.POINTER(_Edges)),
        ("rows", ctypes.POINTER(_Row)),
        ("instructions", ctypes.c_uint64),
        ("calls", ctypes.c_uint64),
        ("layer_base", ctypes.c_uint64),
        ("function_count", ctypes.c_uint32),
        ("layer_capacity", ctypes.c_uint32),
        ("layer_count", ctypes.c_uint32),
        ("watched", ctypes.c_uint32),
        ("inside", ctypes.c_uint32),
        ("return_address", ctypes.c_uint32),
        ("previous", ctypes.c_uint32),
        ("previous_end", ctypes.c_uint32),
        ("code_start", ctypes.c_uint32),
        ("code_size", ctypes.c_uint32),
        ("row_capacity", ctypes.c_uint32),
        ("row_count", ctypes.c_uint32),
    ]


class _Block(ctypes.Structure):
    """tinyc_block of runtime_c/emulation/unicorn_hook.c."""

    _fields_ = [("size", ctypes.c_uint32), ("count", ctypes.c_uint32), ("function", ctypes.c_uint32)]


class _Hook(ctypes.Structure):
    """tinyc_hook of runtime_c/emulation/unicorn_hook.c."""

    _fields_ = [
        ("counter", _Counter),
        ("code", ctypes.c_char_p),
        ("blocks", ctypes.POINTER(_Block)),
        ("stack", ctypes.c_void_p),
        ("read_register", ctypes.c_void_p),
        ("foreign", ctypes.c_uint64),
        ("code_start", ctypes.c_uint32),
        ("code_size", ctypes.c_uint32),
        ("stack_start", ctypes.c_uint32),
        ("stack_size", ctypes.c_uint32),
        ("stack_register", ctypes.c_uint32),
        ("is_thumb", ctypes.c_uint32),
        ("entry_stack", ctypes.c_uint32),
        ("stack_used", ctypes.c_uint32),
    ]


@dataclass(frozen=True)
class Unicorn:
    """Cortex-M0+ to M33 and RV32, exact counts, stack high-water mark."""

    name: str = "unicorn"

    def unavailable(self, cpu: Cpu) -> str | None:
        """unicorn has no M55 and no Xtensa."""
        if not CORES[cpu.name].unicorn:
            other = "host" if cpu.name == "host" else "qemu"
            return f"unicorn has no {cpu.title}: use --emulator {other}"
        return None if self.version() else f"unicorn is not installed: {INSTALL}"

    def version(self) -> str | None:
        """Version of the Python package, or None when it cannot be imported."""
        return _version()

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
        """See Emulator.run."""
        entry_index, marked = watched(image, entry, marks)
        machine = _Machine(image, stdin, peer)
        counting = _Counting(machine, entry_index, marked, profile)
        machine.run(self.name, timeout)
        return counting.result(bytes(machine.output), bool(marks))


@lru_cache(maxsize=1)
def _version() -> str | None:
    try:
        importlib.import_module("unicorn")
        return importlib.metadata.version("unicorn")
    except Exception:  # a broken install fails in many ways, among them OSError for its shared library
        return None


def _unicorn(name: str) -> ModuleType:
    return importlib.import_module(name)


@dataclass
class _Machine:
    """An engine with the image loaded, and the host channel."""

    image: Image
    stdin: bytes
    peer: Peer | None = None
    output: bytearray = field(default_factory=bytearray)
    position: int = 0
    status: int | None = None

    def __post_init__(self) -> None:
        self.uc = _unicorn("unicorn")
        self.is_arm = self.image.cpu.family == "cortex-m"
        self.engine = self._engine()
        self.memory = [(region, np.zeros(region.size, np.uint8)) for region in MACHINES[self.image.machine].regions]
        for region, array in self.memory:
            self.engine.mem_map_ptr(region.origin, region.size, self.uc.UC_PROT_ALL, array.ctypes.data)
        entry, segments = read_segments(self.image.elf)
        for segment in segments:
            self.slice(segment.address, len(segment.data))[:] = np.frombuffer(segment.data, np.uint8)
        self.entry = entry | 1 if self.is_arm else entry
        for name, action in (("read", self._read), ("write", self._write), ("exit", self._exit)):
            symbol = self.image.symbols.get(f"tinyc_host_{name}")  # unused ones are not linked in
            if symbol is not None:
                self.engine.hook_add(self.uc.UC_HOOK_CODE, action, begin=symbol.address, end=symbol.address)

    def _engine(self) -> Any:
        uc, model = self.uc, CORES[self.image.cpu.name].unicorn
        if not self.is_arm:
            return uc.Uc(uc.UC_ARCH_RISCV, uc.UC_MODE_RISCV32)
        engine = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB | uc.UC_MODE_MCLASS)
        engine.ctl_set_cpu_model(getattr(_unicorn("unicorn.arm_const"), f"UC_CPU_ARM_{model}"))
        engine.mem_map(_PRIVATE_PERIPHERALS.origin, _PRIVATE_PERIPHERALS.size)
        return engine

    def slice(self, address: int, size: int) -> _Bytes:
        """The emulated memory at `address`; raises MismatchError when the program points outside of it."""
        for region, array in self.memory:
            if region.origin <= address and address + size <= region.origin + region.size:
                start = address - region.origin
                return array[start : start + size]
        raise fault(self.image, "unicorn", f"{size} bytes at {address:#x} are not memory", None)

    def register(self, name: str) -> int:
        """Number of a register in unicorn's tables: `SP`, `PC`, an argument `0`, `1` or the return address `LINK`."""
        arm = {"0": "R0", "1": "R1", "LINK": "LR"}
        riscv = {"0": "A0", "1": "A1", "LINK": "RA"}
        prefix, names = ("ARM", arm) if self.is_arm else ("RISCV", riscv)
        table = _unicorn(f"unicorn.{prefix.lower()}_const")
        number: int = getattr(table, f"UC_{prefix}_REG_{names.get(name, name)}")
        return number

    def get(self, name: str) -> int:
        """Value of a register, see `register`."""
        value: int = self.engine.reg_read(self.register(name))
        return value

    def _return(self) -> None:
        self.engine.reg_write(self.register("PC"), self.get("LINK"))

    def _read(self, *_hook: object) -> None:
        address, size = self.get("0"), self.get("1")
        chunk = self.stdin[self.position : self.position + size]
        self.position += len(chunk)
        self.slice(address, len(chunk))[:] = np.frombuffer(chunk, np.uint8)
        self.engine.reg_write(self.register("0"), len(chunk))
        self._return()

    def _write(self, *_hook: object) -> None:
        written = self.slice(self.get("0"), self.get("1")).tobytes()
        self.output += written
        if self.peer is not None:
            self.stdin, self.position = self.stdin[self.position :] + self.peer(written), 0
        self._return()

    def _exit(self, *_hook: object) -> None:
        self.status = self.get("0")
        self.engine.emu_stop()

    def run(self, emulator: str, timeout: float) -> None:
        """Runs until the program exits; raises as Emulator.run does."""
        try:
            self.engine.emu_start(self.entry, 0xFFFFFFFF, timeout=int(timeout * 1e6))
        except self.uc.UcError as error:
            raise fault(self.image, emulator, str(error), self.get("PC")) from error
        if self.status is None:
            raise too_slow(self.image, emulator, timeout, self.get("PC"))
        if self.status:
            raise bad_status(self.image, emulator, self.status)


class _Counting:
    """The C hook on a machine; without a native compiler it is absent, and the run counts nothing."""

    def __init__(self, machine: _Machine, entry: int, marks: frozenset[str], profile: bool) -> None:
        self.image = machine.image
        self.hook: _Hook | None = None
        try:
            self.library = ctypes.CDLL(str(library("unicorn_hook.c")))
        except (ToolError, OSError):
            return
        if ctypes.c_uint32.in_dll(self.library, "tinyc_hook_size").value != ctypes.sizeof(_Hook):
            raise ToolError("unicorn", "the counting hook and its Python mirror disagree", hint="report this as a bug")
        self.hook = self._fill(machine, entry, marks)
        if profile:
            self._add_profile(self.hook)
        self._install(machine)

    def _fill(self, machine: _Machine, entry: int, marks: frozenset[str]) -> _Hook:
        start, code = read_section(self.image.elf, ".text")
        functions = [_Function(f.address, f.address + f.size, f.name in marks) for f in self.image.functions]
        self.functions = (_Function * len(functions))(*functions)
        self.layers = (ctypes.c_uint64 * _LAYER_CAPACITY)()
        self.blocks = (_Block * (len(code) // 2 + 1))()
        ram, array = machine.memory[-1]
        used = self.image.symbols["tinyc_bss_end"].address - ram.origin
        unicorn_library = _unicorn("unicorn.unicorn_py3.unicorn").uclib
        return _Hook(
            counter=_Counter(
                functions=self.functions,
                layers=self.layers,
                function_count=len(functions),
                layer_capacity=_LAYER_CAPACITY,
                watched=entry,
                previous=_NO_FUNCTION,
            ),
            code=code,
            blocks=self.blocks,
            stack=array.ctypes.data + used,
            read_register=ctypes.cast(unicorn_library.uc_reg_read, ctypes.c_void_p).value,
            code_start=start,
            code_size=len(code),
            stack_start=ram.origin + used,
            stack_size=ram.size - used,
            stack_register=machine.register("SP"),
            is_thumb=machine.is_arm,
        )

    def _add_profile(self, hook: _Hook) -> None:
        self.edges = (_Edges * (hook.code_size // 2 + 1))()
        self.rows = (_Row * _ROW_CAPACITY)()
        hook.counter.edges, hook.counter.rows = self.edges, self.rows
        hook.counter.row_capacity = _ROW_CAPACITY
        hook.counter.code_start, hook.counter.code_size = hook.code_start, hook.code_size

    def _install(self, machine: _Machine) -> None:
        """Past unicorn's Python hooks, which would call back into Python for every block."""
        self.handle = ctypes.c_size_t()
        problem = _unicorn("unicorn.unicorn_py3.unicorn").uclib.uc_hook_add(
            machine.engine._uch,
            ctypes.byref(self.handle),
            ctypes.c_int(machine.uc.UC_HOOK_BLOCK),
            ctypes.cast(self.library.tinyc_hook_block, ctypes.c_void_p),
            ctypes.cast(ctypes.byref(self.hook), ctypes.c_void_p) if self.hook else None,
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )
        if problem:
            raise ToolError("unicorn", f"it refused the counting hook (error {problem})")

    def result(self, output: bytes, has_marks: bool) -> Run:
        """The finished run; without counts if the hook is absent or the watched function never returned."""
        hook = self.hook
        if hook is None or hook.foreign or hook.counter.inside:
            return Run(output)
        functions: dict[str, int] = {}
        for function, counted in zip(self.image.functions, self.functions, strict=True):
            if counted.instructions:
                functions[function.name] = functions.get(function.name, 0) + counted.instructions
        layers = min(hook.counter.layer_count, _LAYER_CAPACITY)
        return Run(
            output,
            instructions=hook.counter.instructions,
            calls=hook.counter.calls,
            functions=functions,
            layers=tuple(self.layers[:layers]) if has_marks else None,
            stack=hook.stack_used if hook.counter.calls else None,
            profile=self._profile(hook),
        )

    def _profile(self, hook: _Hook) -> Profile | None:
        """None when none was asked for, or the hook lacked the room for a row or a layer."""
        count, layers = hook.counter.row_count, hook.counter.layer_count
        if not hook.counter.edges or not 0 < count <= _ROW_CAPACITY or layers > _LAYER_CAPACITY:
            return None
        rows = (
            (row.layer, row.address, Edges(at.started, at.ended, at.left, at.entered))
            for row in self.rows[:count]
            for at in (row.edges,)
        )
        return make_profile(*read_section(self.image.elf, ".text"), rows, layers)

# SPDX-License-Identifier: Apache-2.0
"""Runs images in QEMU: whole machines for Arm and RISC-V, user mode for Xtensa, exact counts from a TCG plugin."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MismatchError, ToolError
from ..targets.cpus import Cpu
from ..toolchains import Image
from ..toolchains.elf import read_section
from ..toolchains.find import ask_version
from .base import STATUS_FAULT, Edges, Peer, Profile, Run, bad_status, fault, make_profile, too_slow, watched
from .cores import CORES, QEMU_PACKAGES
from .native import library

_SYSTEM = ("-nographic", "-monitor", "none", "-serial", "null", "-semihosting-config", "enable=on,target=native")
_FAULT = re.compile(r"tinyc-fault cause=([0-9a-f]{8}) pc=([0-9a-f]{8})")
_ENCODINGS = {"riscv": 0, "cortex-m": 1, "xtensa": 2}  # as in runtime_c/emulation/qemu_plugin.c
_NO_PLUGIN = re.compile(r"plugin", re.IGNORECASE)


@dataclass(frozen=True)
class Qemu:
    """Every core but this computer's own; exact counts where a native compiler can build the plugin."""

    name: str = "qemu"

    def unavailable(self, cpu: Cpu) -> str | None:
        """See Emulator.unavailable."""
        program = CORES[cpu.name].qemu
        if not program:
            return f"QEMU is not used for {cpu.title}: use --emulator host"
        if program_version(program) is None:
            found = "does not start" if shutil.which(program) else "is not installed"
            return f"{program} {found}: apt-get install {QEMU_PACKAGES[program]}"
        return None

    def version(self) -> str | None:
        """Version of the first QEMU program that is there, or None."""
        return next((found for found in map(program_version, QEMU_PACKAGES) if found), None)

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
        """See Emulator.run. `stack` is not measured, and nothing is counted when there is a `peer`."""
        entry_index, marked = watched(image, entry, marks)
        with tempfile.TemporaryDirectory(prefix="tinyc-") as folder:
            place = Path(folder)
            (place / "tinyc_in.bin").write_bytes(stdin)
            plugin = _plugin(image)
            if plugin is not None:
                start, code = read_section(image.elf, ".text")
                (place / "tinyc_plugin.code").write_bytes(code)
                heading = (_ENCODINGS[image.cpu.family], int(profile), start, len(code), entry_index)
                (place / "tinyc_plugin.in").write_text(_plugin_input(image, heading, marked))
            output = self._run(image, place, plugin, timeout, peer)
            return _result(image, output, place / "tinyc_plugin.out", bool(marks), profile)

    def _run(self, image: Image, place: Path, plugin: Path | None, timeout: float, peer: Peer | None) -> bytes:
        if peer is not None:
            return self._talk(image, place, peer, timeout)
        with (place / "tinyc_in.bin").open("rb") as stdin:
            try:
                done = subprocess.run(
                    _command(image, plugin), cwd=place, stdin=stdin, capture_output=True, timeout=timeout, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise too_slow(image, self.name, timeout) from error
        message = done.stderr.decode(errors="replace")
        if done.returncode == 0:
            written = place / "tinyc_out.bin"
            return done.stdout if _is_user_mode(image) else written.read_bytes() if written.is_file() else b""
        if plugin is not None and _NO_PLUGIN.search(message):
            return self._run(image, place, None, timeout, None)
        raise _failure(image, self.name, done.returncode, message)

    def _talk(self, image: Image, place: Path, peer: Peer, timeout: float) -> bytes:
        """Through named pipes in place of the files of semihosting; counts nothing."""
        if _is_user_mode(image) or not hasattr(os, "mkfifo"):
            raise ToolError(
                self.name, "a program that talks needs semihosting and named pipes", hint="--emulator unicorn"
            )
        (place / "tinyc_in.bin").unlink()
        given, written = (_named_pipe(place / name) for name in ("tinyc_in.bin", "tinyc_out.bin"))
        try:
            with subprocess.Popen(
                _command(image, None), cwd=place, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
            ) as done:
                try:
                    output = _converse(done, given, written, peer, timeout)
                except subprocess.TimeoutExpired as error:
                    raise too_slow(image, self.name, timeout) from error
                finally:
                    done.kill()
                message = (done.stderr.read() if done.stderr else b"").decode(errors="replace")
                status = done.wait()
        finally:
            os.close(given)
            os.close(written)
        if status:
            raise _failure(image, self.name, status, message)
        return output


def _named_pipe(path: Path) -> int:
    """A pipe of that name, open at both ends here: so opening it waits for nobody."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def _converse(process: subprocess.Popen[bytes], given: int, written: int, peer: Peer, timeout: float) -> bytes:
    """Answers what comes out of the pipe `written` into the pipe `given`, until the process ends: all that came."""
    output, waiting, end = bytearray(), b"", time.monotonic() + timeout
    while True:
        ended = process.poll() is not None
        readable, writable, _ = select.select([written], [given] if waiting else [], [], 0 if ended else 0.05)
        if readable:
            data = os.read(written, 1 << 16)
            output += data
            waiting += peer(data)
        elif ended:
            return bytes(output)
        if writable:
            waiting = waiting[os.write(given, waiting) :]
        if time.monotonic() > end:
            raise subprocess.TimeoutExpired("qemu", timeout)


def program_version(program: str) -> str | None:
    """Version of a QEMU program, or None when it is missing or does not start."""
    path = shutil.which(program)
    line = ask_version(path, "--version") if path else None
    found = re.search(r"\d+\.\d+[.\d]*", line or "")
    return found[0] if found else None


def _is_user_mode(image: Image) -> bool:
    return bool(CORES[image.cpu.name].qemu_core)


def _command(image: Image, plugin: Path | None) -> list[str]:
    runs = CORES[image.cpu.name]
    program = shutil.which(runs.qemu)
    if program is None:
        raise ToolError("qemu", f"{runs.qemu} is not installed", hint=f"apt-get install {QEMU_PACKAGES[runs.qemu]}")
    # A comma in an option's value is written twice.
    counting = [] if plugin is None else ["-plugin", str(plugin).replace(",", ",,")]
    elf = str(image.elf.resolve())
    if runs.qemu_core:
        return [program, "-cpu", runs.qemu_core, *counting, elf]
    bios = ["-bios", "none"] if image.cpu.family == "riscv" else []
    return [program, "-M", image.machine, *bios, *_SYSTEM, *counting, "-kernel", elf]


def _failure(image: Image, emulator: str, status: int, message: str) -> MismatchError | ToolError:
    report = _FAULT.search(message)
    lines = [line for line in message.splitlines() if line.strip()]
    if report:
        pc = int(report[2], 16)
        return fault(image, emulator, f"processor exception {int(report[1], 16)}", pc or None)
    if "Lockup" in message:
        return fault(image, emulator, "a fault in the fault handler, most likely the stack pointer is wrong", None)
    if status < 0:
        return fault(image, emulator, signal.strsignal(-status) or f"signal {-status}", None)
    if lines and lines[-1].startswith("qemu-"):
        return ToolError(emulator, lines[-1])
    if status == STATUS_FAULT:
        return fault(image, emulator, "it could not write its output", None)
    return bad_status(image, emulator, status)


def _plugin(image: Image) -> Path | None:
    """The counting plugin for the installed QEMU; QEMU 9 needs API version 2 or later. None without a compiler."""
    version = program_version(CORES[image.cpu.name].qemu) or "0"
    api = "2" if int(version.split(".")[0]) >= 9 else "1"
    try:
        return library("qemu_plugin.c", {"TINYC_PLUGIN_VERSION": api})
    except ToolError:
        return None


def _plugin_input(image: Image, heading: Sequence[int], marks: frozenset[str]) -> str:
    rows = [f"{f.address} {f.address + f.size} {int(f.name in marks)}" for f in image.functions]
    return "\n".join([" ".join(map(str, (*heading, len(rows)))), *rows, ""])


def _result(image: Image, output: bytes, report: Path, has_marks: bool, profile: bool) -> Run:
    """Without counts when the plugin did not run or the watched function never returned."""
    if not report.is_file():
        return Run(output)
    rows = [line.split() for line in report.read_text().splitlines()]
    instructions, calls, inside, _ = (int(word) for word in rows[0][1:])
    if inside:
        return Run(output)
    functions: dict[str, int] = {}
    for _, index, count in (row for row in rows if row[0] == "function" and row[2] != "0"):
        name = image.functions[int(index)].name
        functions[name] = functions.get(name, 0) + int(count)
    layers = tuple(int(row[1]) for row in rows if row[0] == "layer")
    return Run(
        output,
        instructions,
        calls,
        functions,
        layers if has_marks else None,
        profile=_profile(image, rows, len(layers)) if profile else None,
    )


def _profile(image: Image, rows: Sequence[Sequence[str]], layers: int) -> Profile | None:
    """None when the plugin lacked the room for a row."""
    edges = [[int(word) for word in row[1:]] for row in rows if row[0] == "edges"]
    counted = next((int(row[1]) for row in rows if row[0] == "rows"), 0)
    if counted == 0 or counted != len(edges) or any(row[0] >= max(layers, 1) for row in edges):
        return None
    return make_profile(
        *read_section(image.elf, ".text"), ((layer, address, Edges(*rest)) for layer, address, *rest in edges), layers
    )

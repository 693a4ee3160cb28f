# SPDX-License-Identifier: Apache-2.0
"""A simulated Edge TPU on USB: knows the protocol, checks every byte that a driver sends, and executes nothing.

What it checks: the form of control requests, register widths, the order of the start (power states, clocks, run control), the
states of a firmware update, headers, the order and the bytes of every transfer of a program, that parameters are in the chip
before a program that needs them, and that nothing is sent while an output waits. What it does not: the arithmetic. Outputs are
made up, so a run on this device proves the protocol, and says nothing about results or timing.

Sources: google-coral/libedgetpu driver/usb and google-coral/coralmicro libs/tpu (both Apache-2.0).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from ..accelerators.edgetpu.executable import (
    AwaitInterrupt,
    Executable,
    Fence,
    Kind,
    Layer,
    Package,
    ReceiveOutput,
    SendInput,
    SendInstructions,
    SendParameters,
    Step,
)
from ..graph import Array


class Status(IntEnum):
    """Results of a transfer, as in tinyc_edgetpu.h."""

    OK = 0
    STALL = 1
    TIMEOUT = 2
    GONE = 3
    ERROR = 4


class ProtocolError(Exception):
    """The driver did what the device does not take; the message says what, and what was expected."""


@dataclass(frozen=True)
class Setup:
    request_type: int
    request: int
    value: int
    index: int
    length: int


#: What can go wrong with a transfer: `stall`, `timeout`, `unplug`, `error`; `short` moves half of the bytes, `nothing` none,
#: `overrun` claims more than were asked for; `event` announces an output instead of the end; `corrupt` changes a byte that is read.
FAULTS = ("stall", "timeout", "unplug", "error", "short", "nothing", "overrun", "event", "corrupt")

_FAILS = {"stall": Status.STALL, "timeout": Status.TIMEOUT, "unplug": Status.GONE, "error": Status.ERROR}

CHIP, CHIP_ID = 0x1A000, 0x89A
SCU_0, SCU_2, SCU_3, CREDIT = 0x1A30C, 0x1A314, 0x1A318, 0x1907C
RUN, TILES, DEEP_SLEEP, IDLE = 0x44018, 0x48788, 0x40020, 0x4A000
EVENTS, ENDPOINTS, CHUNK = 0x4C148, 0x4C160, 0x4C058
THERMOMETER = (0x1A0D0, 0x1A0D8, 0x1A0DC)

#: Everything that has to run before a program can.
RUN_CONTROLS = (
    *(RUN, 0x44158, 0x44198, 0x441D8, 0x44218, 0x400C0, 0x40150, 0x40110),
    *(0x40250, 0x40298, 0x402E0, 0x40328, 0x40190, 0x401D0, 0x40210),
)
REGISTERS = frozenset(
    (CHIP, SCU_0, SCU_2, SCU_3, CREDIT, TILES, DEEP_SLEEP, IDLE, EVENTS, ENDPOINTS, CHUNK, *THERMOMETER, *RUN_CONTROLS)
)
RESET = {CHIP: CHIP_ID, SCU_0: 0x3F << 8, SCU_3: 0x80050410, IDLE: 0x9000}

#: Reads of a register until what was written shows.
LATENCY = 2

DFU_IDLE, DFU_DNLOAD_SYNC, DFU_DNLOAD_IDLE, DFU_UPLOAD_IDLE, DFU_ERROR = 2, 3, 5, 9, 10
DFU_BLOCK = 256

EVENT_BYTES = 16
HEADER_BYTES = 8


def made_up(layer: Layer, run: int) -> bytes:
    """A tensor for an output: any bytes, the same ones for the same layer and run, in the host's representation."""
    size, seed = layer.bytes, f"{layer.name}/{run}".encode()
    return hashlib.shake_128(seed).digest(size)


def wire_input(layer: Layer, tensor: bytes) -> bytes:
    """What goes to the device for all of a tensor: signs inverted, then zeros to the layer's size."""
    return _flip(tensor, layer) + bytes(max(0, layer.padded_bytes - layer.bytes))


def wire_output(layer: Layer, tensor: bytes) -> bytes:
    """What the device sends so that the host ends up with `tensor`: every element at its place, 0xEE between."""
    wire = np.full(layer.padded_bytes, 0xEE, np.uint8)
    flipped = np.frombuffer(_flip(tensor, layer), np.uint8).reshape(-1, layer.z * layer.data_type.bytes)
    for vector, start in zip(flipped, _vector_starts(layer), strict=True):
        wire[start : start + len(vector)] = vector
    return wire.tobytes()


def _flip(tensor: bytes, layer: Layer) -> bytes:
    if not layer.data_type.flips_sign:
        return tensor
    elements = np.frombuffer(tensor, np.uint8).reshape(-1, layer.data_type.bytes).copy()
    elements[:, -1] ^= 0x80
    return elements.tobytes()


def _vector_starts(layer: Layer) -> list[int]:
    """The byte where each vector of z elements begins, in NHWC order; element by element, by the vendor's formula."""
    if layer.slices:
        return _slice_starts(layer)
    if layer.y == 1 and layer.x == 1:
        return [execution * layer.size for execution in range(layer.executions)]
    at = layer.layout
    assert at is not None
    found = []
    for y in range(layer.y):
        for x in range(layer.x):
            tile = at.tile_offset[at.y_tile[y] + at.x_tile[x]]
            found.append((tile + at.y_offset[y] * at.row_size[x] + at.x_offset[x]) * layer.data_type.bytes)
    return found


def _slice_starts(layer: Layer) -> list[int]:
    found = []
    for place in np.ndindex(*layer.shape[:-1]):
        for part in layer.slices:
            pairs = list(zip(place, part.ranges[:-1], part.strides[:-1], strict=True))
            if all(first <= i <= last for i, (first, last), _ in pairs):
                steps = sum((i - first) * stride for i, (first, _), stride in pairs)
                found.append(part.offset + steps * layer.data_type.bytes)
                break
    return found


@dataclass
class _Program:
    """An executable that may be what the driver is running, and how far it is."""

    package: int
    executable: Executable
    steps: tuple[Step, ...]
    at: int = 0

    @property
    def step(self) -> Step:
        return self.steps[self.at]

    @property
    def name(self) -> str:
        return f"package {self.package} {self.executable.kind.title} step {self.at}"


@dataclass
class Device:
    """One chip.

    Attributes:
        packages: what drivers may run on it.
        inputs: tensors of the next runs in order, each by the name of its layer; what is sent is compared with them.
        outputs: makes the tensor of an output, from its layer and the number of the run.
        firmware: with it the chip begins as a DFU device, and this is what it should be given.
        chunk_limit: the largest packet of the host's bulk IN endpoint in bytes.
        faults: number of a transfer, counted from 0 over all kinds → one of FAULTS.
        chip: what the chip says that it is. `stuck`: its power state never changes.
        runs: what was run: (package, kind).
        received: bytes of bulk transfers that were checked.
        log: kind and size of all transfers.
        needs_reset: a transfer failed, so what is in flight is undefined until the core sleeps.
    """

    packages: Sequence[Package]
    inputs: list[Mapping[str, bytes]] = field(default_factory=list)
    outputs: Callable[[Layer, int], bytes] = made_up
    firmware: bytes | None = None
    chunk_limit: int = 512
    faults: Mapping[int, str] = field(default_factory=dict)
    chip: int = CHIP_ID
    stuck: bool = False
    dfu_state: int = DFU_IDLE
    runs: list[tuple[int, Kind]] = field(default_factory=list)
    received: int = 0
    inferences: int = 0
    transfers: int = 0
    log: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gone = False
        self.power_on()

    # ---- life

    def power_on(self) -> None:
        """As after plugging it in."""
        self.gone = False
        self.dfu = self.firmware is not None
        self.dfu_state = DFU_IDLE
        self.stored = bytearray()
        self.block = 0
        self.dnload_pending = False
        self.detached = False
        self._reset_registers()

    def reset_bus(self) -> None:
        """What the host does after the firmware is there: the chip comes back with it."""
        if self.dfu and not (self.detached and bytes(self.stored) == self.firmware):
            raise ProtocolError("bus reset before the firmware was there and the chip detached")
        self.dfu = False
        self._reset_registers()

    def _reset_registers(self) -> None:
        self.registers = {address: RESET.get(address, 0) for address in REGISTERS} | {CHIP: self.chip}
        self.pending: dict[int, list[int]] = {}
        self.asleep = False
        self._reset_core()
        self.needs_reset = False

    def _reset_core(self) -> None:
        for address in REGISTERS:
            if address >> 16 == 4:
                self.registers[address] = RESET.get(address, 0)
        self.candidates: list[_Program] = []
        self.header = b""
        self.payload: tuple[int, int] | None = None
        self.collected = bytearray()
        self.output = b""
        self.cached: set[int] = set()
        self.token = 0
        self.credit_pulse = 0

    # ---- transfers

    def control_in(self, setup: Setup) -> tuple[Status, bytes]:
        fault = self._begin("control in", setup.length)
        if fault in _FAILS:
            return self._fail(fault), b""
        data = self._dfu_in(setup) if self.dfu else self._read(setup)
        if data is None:
            return Status.STALL, b""
        if fault == "corrupt":
            data = bytes([data[0] ^ 1]) + data[1:]
        return Status.OK, self._cut(data, fault)

    def control_out(self, setup: Setup, data: bytes) -> tuple[Status, int]:
        fault = self._begin("control out", setup.length)
        if fault in _FAILS:
            return self._fail(fault), 0
        if len(data) != setup.length:
            raise ProtocolError(f"{len(data)} bytes for a request of {setup.length}")
        if fault in ("short", "nothing"):
            return Status.OK, len(data) // 2 if fault == "short" else 0
        if fault == "overrun":
            return Status.OK, len(data) + 1
        taken = self._dfu_out(setup, data) if self.dfu else self._write(setup, data)
        return (Status.OK, len(data)) if taken else (Status.STALL, 0)

    def bulk_out(self, data: bytes) -> tuple[Status, int]:
        fault = self._begin("bulk out", len(data))
        if fault in _FAILS:
            self.needs_reset = True
            return self._fail(fault), 0
        if fault == "overrun":
            self.needs_reset = True
            return Status.OK, len(data) + 1
        if fault == "nothing":
            self.needs_reset = True
            return Status.OK, 0
        if fault == "short":
            data = data[: max(1, len(data) // 2)]
        self._take(data)
        return Status.OK, len(data)

    def bulk_in(self, size: int) -> tuple[Status, bytes]:
        fault = self._begin("bulk in", size)
        if fault in _FAILS or fault == "nothing":
            self.needs_reset = True
            return (self._fail(fault), b"") if fault in _FAILS else (Status.OK, b"")
        self._require_running("a bulk in")
        program = self._only("a bulk in")
        if not isinstance(program.step, ReceiveOutput):
            raise ProtocolError(f"a bulk in at {program.name}, which is {program.step}")
        if not self.output:
            self.output = self._output(program, program.step)
            self.collected = bytearray()
        return Status.OK, self._packets(program, size, fault)

    def _packets(self, program: _Program, size: int, fault: str) -> bytes:
        """A packet that is shorter than the endpoint's ends the transfer."""
        packet = self.registers[CHUNK] * 8
        sent = bytearray()
        while self.output and len(sent) < size:
            data = self.output[:packet]
            if len(sent) + len(data) > size:
                raise ProtocolError(f"a bulk in of {size} bytes where a packet of {len(data)} comes at {len(sent)}")
            self.output = self.output[packet:]
            sent += data
            if len(data) < self.chunk_limit or fault == "short":
                break
        if not self.output:
            self._advance(program)
        return bytes(sent) + (b"!" if fault == "overrun" else b"")

    def event_in(self, size: int) -> tuple[Status, bytes]:
        fault = self._begin("event in", size)
        if fault in _FAILS:
            self.needs_reset = True
            return self._fail(fault), b""
        if size != EVENT_BYTES:
            raise ProtocolError(f"{size} bytes asked for an event, expected {EVENT_BYTES}")
        self._require_running("a wait for an event")
        program = self._only("a wait for an event")
        if not isinstance(program.step, AwaitInterrupt):
            raise ProtocolError(f"a wait for an event at {program.name}, which is {program.step}")
        tag = 3 if fault == "event" else 4 + program.step.number
        self._advance(program)
        if fault in ("event", "short", "nothing", "overrun"):
            self.needs_reset = True
        return Status.OK, self._cut(struct.pack("<QIBBBB", 0, 0, tag, 0, 0, 0), fault)

    def _begin(self, kind: str, size: int) -> str:
        self.log.append((kind, size))
        fault = self.faults.get(self.transfers, "")
        self.transfers += 1
        if self.gone:
            return "unplug"
        if self.dfu and not kind.startswith("control"):
            raise ProtocolError(f"a {kind} to a DFU device, which has only endpoint 0")
        return fault

    def _fail(self, fault: str) -> Status:
        if fault == "unplug":
            self.gone = True
        return _FAILS[fault]

    @staticmethod
    def _cut(data: bytes, fault: str) -> bytes:
        cuts = {"short": data[: len(data) // 2], "nothing": b"", "overrun": data + b"!"}
        return cuts.get(fault, data)

    # ---- registers

    def _check_request(self, setup: Setup, direction: int) -> int:
        address = setup.index << 16 | setup.value
        request, length = (1, 4) if setup.index == 1 else (0, 8)
        if (setup.request_type, setup.request, setup.length) != (direction, request, length):
            expected = f"type {direction:#x}, request {request}, {length} bytes"
            raise ProtocolError(f"{setup} for the register {address:#x}, expected {expected}")
        if address not in REGISTERS:
            raise ProtocolError(f"the register {address:#x} is not one that a driver needs")
        if address >> 16 == 4 and self.asleep:
            raise ProtocolError(f"the register {address:#x} of the core while it sleeps")
        return address

    def _read(self, setup: Setup) -> bytes:
        address = self._check_request(setup, 0xC0)
        waiting = self.pending.get(address)
        if waiting and not self.stuck:
            waiting[0] -= 1
            if waiting[0] <= 0:
                self._settle(address, waiting[1])
        return self.registers[address].to_bytes(setup.length, "little")

    def _settle(self, address: int, value: int) -> None:
        del self.pending[address]
        self.registers[address] = value
        if address == SCU_3:
            self.asleep = value >> 8 & 3 == 2

    def _write(self, setup: Setup, data: bytes) -> bool:
        address, value = self._check_request(setup, 0x40), int.from_bytes(data, "little")
        if address == CHIP:
            self.registers[CHIP] = self.chip | value & 0x00FF0000
        elif address == SCU_3:
            self._write_power(value)
        elif address == TILES:
            if value != self.registers[TILES]:
                self.pending[TILES] = [LATENCY, value]
        elif address == CREDIT:
            self.credit_pulse = 1 if value == 0xF else 2 if value == 0 and self.credit_pulse == 1 else 0
        else:
            self._check_core_write(address)
            self.registers[address] = value
        return True

    def _write_power(self, value: int) -> None:
        sleep, state = value >> 22 & 3, self.registers[SCU_3] & 0x300
        kept = value & ~0x300
        self.registers[SCU_3] = kept | state
        if sleep == 3:
            self._reset_core()
            self.asleep = True
            self.needs_reset = False
            self.pending = {SCU_3: [LATENCY, kept | 0x200]}
        elif sleep == 2:
            if not self.asleep or SCU_3 in self.pending:
                raise ProtocolError("the core is woken before it sleeps")
            if self.credit_pulse != 2:
                raise ProtocolError("the core is woken before the credits of the bridge were reset (0xF, then 0)")
            if self.registers[SCU_0] & 0x3F00 or self.registers[SCU_2] >> 18 & 3 != 2:
                raise ProtocolError("the core is woken with the inactive mode or the clock gating on")
            self.pending = {SCU_3: [LATENCY, kept]}

    def _check_core_write(self, address: int) -> None:
        tile = address >> 8 in range(0x400, 0x404)
        if tile and (self.registers[TILES] != 0x7F or TILES in self.pending):
            raise ProtocolError(f"the register {address:#x} of the tiles before tileconfig0 says that it is for all")

    def _require_running(self, what: str) -> None:
        if self.needs_reset:
            raise ProtocolError(f"{what} after a transfer failed, before the core was reset")
        stopped = [address for address in RUN_CONTROLS if self.registers[address] != 1]
        if self.asleep or stopped:
            raise ProtocolError(f"{what} before the chip runs: run control {', '.join(map(hex, stopped))}")
        if (self.registers[EVENTS], self.registers[ENDPOINTS]) != (0xF0, 0):
            raise ProtocolError(f"{what} with descr_ep, multi_bo_ep other than 0xF0, 0")
        if self.registers[CHUNK] * 8 not in (256, 1024):
            raise ProtocolError(f"{what} with outfeed_chunk_length {self.registers[CHUNK]:#x}")

    # ---- firmware update

    def _dfu_in(self, setup: Setup) -> bytes | None:
        if setup.request_type != 0xA1 or setup.index:
            raise ProtocolError(f"{setup} to a DFU device")
        if setup.request == 3 and setup.length == 6:
            if self.dfu_state == DFU_DNLOAD_SYNC:  # busy once, then done
                if self.dnload_pending:
                    self.dnload_pending = False
                    return struct.pack("<BBHBB", 0, 1, 0, 4, 0)
                self.dfu_state = DFU_DNLOAD_IDLE
            return struct.pack("<BBHBB", 14 if self.dfu_state == DFU_ERROR else 0, 0, 0, self.dfu_state, 0)
        if setup.request == 2 and self.dfu_state in (DFU_IDLE, DFU_UPLOAD_IDLE):
            self._check_block(setup, DFU_UPLOAD_IDLE)
            data = bytes(self.stored[setup.value * DFU_BLOCK :][: setup.length])
            self.dfu_state = DFU_UPLOAD_IDLE if len(data) == DFU_BLOCK else DFU_IDLE
            return data
        self._refuse()
        return None

    def _dfu_out(self, setup: Setup, data: bytes) -> bool:
        if setup.request_type != 0x21 or setup.index:
            raise ProtocolError(f"{setup} to a DFU device")
        if setup.request == 1 and self.dfu_state in (DFU_IDLE, DFU_DNLOAD_IDLE):
            self._check_block(setup, DFU_DNLOAD_IDLE)
            if self.dfu_state == DFU_IDLE:
                self.stored.clear()
            self.stored += data
            self.dnload_pending = True
            self.dfu_state = DFU_DNLOAD_SYNC if data else DFU_IDLE
            return True
        if setup.request in (4, 6):
            self.dfu_state = DFU_IDLE
            return True
        if setup.request == 0 and bytes(self.stored) == self.firmware:
            self.detached = True
            return True
        self._refuse()
        return False

    def _refuse(self) -> None:
        self.dfu_state = DFU_ERROR

    def _check_block(self, setup: Setup, going: int) -> None:
        self.block = self.block + 1 if self.dfu_state == going else 0
        if setup.value != self.block or setup.length > DFU_BLOCK:
            raise ProtocolError(f"block {setup.value} of {setup.length} bytes, expected {self.block}, {DFU_BLOCK}")

    # ---- programs

    def _take(self, data: bytes) -> None:
        """Bytes of a header, or of the payload that the header before announced."""
        self._require_running("a bulk out")
        while data:
            if self.payload is None:
                part = data[: HEADER_BYTES - len(self.header)]
                self.header += part
                if len(self.header) == HEADER_BYTES:
                    self._open_payload()
            else:
                part = data[: self.payload[1] - len(self.collected)]
                self.collected += part
                if len(self.collected) == self.payload[1]:
                    self._close_payload()
            data = data[len(part) :]
            if data:
                raise ProtocolError(f"{len(data)} bytes behind the end of a header or payload in one transfer")

    def _open_payload(self) -> None:
        length, tag, rest = struct.unpack("<IB3s", self.header)
        if rest != bytes(3) or tag > 2:
            raise ProtocolError(f"the header {self.header.hex(' ')}, expected length, tag 0 to 2 and zeros")
        self.header = b""
        if not self.candidates:
            self.candidates = [
                _Program(index, executable, tuple(s for s in executable.steps if not isinstance(s, Fence)))
                for index, package in enumerate(self.packages)
                for executable in package.executables
            ]
        fitting = [p for p in self.candidates if self._announced(p) == (tag, length)]
        if not fitting:
            expected = ", or ".join(sorted({f"{self._announced(p)} at {p.name}" for p in self.candidates}))
            raise ProtocolError(f"tag and length {(tag, length)}, expected {expected}")
        self.candidates = fitting
        self.payload = (tag, length)
        self.collected = bytearray()

    @staticmethod
    def _announced(program: _Program) -> tuple[int, int] | str:
        match program.step:
            case SendInstructions(chunk):
                return 0, len(program.executable.chunks[chunk].code)
            case SendInput(_, _, size):
                return 1, size
            case SendParameters(_, size):
                return 2, size
            case step:
                return f"no bulk out before {step}"

    def _close_payload(self) -> None:
        data = bytes(self.collected)
        differences = {p.name: self._difference(data, self._payload_of(p)) for p in self.candidates}
        fitting = [p for p in self.candidates if not differences[p.name]]
        if not fitting:
            raise ProtocolError("; ".join(f"{name}: {text}" for name, text in differences.items()))
        self.candidates = fitting
        self.payload, self.collected = None, bytearray()
        self.received += len(data)
        for program in fitting:
            program.at += 1

    def _payload_of(self, program: _Program) -> bytes:
        match program.step:
            case SendInstructions(chunk):
                return program.executable.chunks[chunk].code
            case SendParameters(offset, size):
                return program.executable.parameters[offset : offset + size]
            case SendInput(name, offset, size):
                if self.inferences >= len(self.inputs):
                    raise ProtocolError(f"input '{name}' of run {self.inferences}, which nobody asked for")
                tensor = self.inputs[self.inferences][name]
                return wire_input(program.executable.input(name), tensor)[offset : offset + size]
            case step:
                raise AssertionError(step)

    @staticmethod
    def _difference(found: bytes, expected: bytes) -> str:
        if found == expected:
            return ""
        at = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        return f"byte {at} of {len(expected)} is {found[at]:#04x}, expected {expected[at]:#04x}"

    def _only(self, what: str) -> _Program:
        """The program that runs. Executables with the same code and parameters are one."""
        if not self.candidates or self.payload is not None or self.header:
            raise ProtocolError(f"{what} while the device waits for bytes")
        first = self.candidates[0]
        if any(p.step != first.step for p in self.candidates):
            raise ProtocolError(f"{what} where it is not clear which program runs")
        return first

    def _output(self, program: _Program, step: ReceiveOutput) -> bytes:
        self._check_cached(program)
        layer = program.executable.output(step.layer)
        tensor = self.outputs(layer, self.inferences)
        return wire_output(layer, tensor)[step.offset : step.offset + step.size]

    def _check_cached(self, program: _Program) -> None:
        if program.executable.kind is Kind.EXECUTION_ONLY and program.package not in self.cached:
            raise ProtocolError(f"{program.name}: its parameters are not in the chip")

    def _advance(self, program: _Program) -> None:
        program.at += 1
        if program.at == len(program.steps):
            self._finish(program)

    def _finish(self, program: _Program) -> None:
        kind, token = program.executable.kind, program.executable.token
        self.candidates = []
        self.runs.append((program.package, kind))
        if kind is Kind.PARAMETER_CACHING:
            if token != self.token or not token:
                self.cached.clear()
            self.token = token
            self.cached.add(program.package)
            return
        self._check_cached(program)
        if kind is Kind.STAND_ALONE:
            self.cached.clear()
            self.token = 0
        self.inferences += 1


# ---- the device at the other end of a byte stream ---------------------------------------------------------------------

_FRAME = struct.Struct("<cBBxHHII")

CONTROL_IN, CONTROL_OUT, BULK_OUT, BULK_IN, EVENT_IN, DELAY = b"I", b"O", b"B", b"b", b"E", b"D"
RESET_BUS, READ, WRITE, PRESENT = b"R", b"r", b"w", b"P"

#: Vendor and product.
DFU_DEVICE, APPLICATION_DEVICE = 0x1A6E089A, 0x18D19302


@dataclass
class Peer:
    """A device for a program that reaches it through a byte stream (`runtime_c/emulation/tinyc_edgetpu_stream.c`).

    Attributes:
        device: the chip.
        given: bytes that the program asks for outside of USB, such as its inputs.
        result: bytes that the program hands over outside of USB, such as its outputs.
        problem: what the device did not take; from then on it is gone.
        waited: microseconds that the driver asked to wait.
    """

    device: Device
    given: bytes = b""
    result: bytearray = field(default_factory=bytearray)
    problem: str = ""
    waited: int = 0

    def __post_init__(self) -> None:
        self.buffer = bytearray()
        self.position = 0

    def __call__(self, written: bytes) -> bytes:
        """What the program can read after it has written this."""
        self.buffer += written
        answer = b""
        while len(self.buffer) >= _FRAME.size:
            kind, request_type, request, value, index, size, _ = _FRAME.unpack_from(self.buffer)
            data_bytes = size if kind in (CONTROL_OUT, BULK_OUT, WRITE) else 0
            if len(self.buffer) < _FRAME.size + data_bytes:
                break
            data = bytes(self.buffer[_FRAME.size : _FRAME.size + data_bytes])
            del self.buffer[: _FRAME.size + data_bytes]
            setup = Setup(request_type, request, value, index, size)
            answer += self._answer(kind, setup, size, data)
        return answer

    def _answer(self, kind: bytes, setup: Setup, size: int, data: bytes) -> bytes:
        if kind == READ:
            chunk = self.given[self.position : self.position + size]
            self.position += len(chunk)
            return struct.pack("<I", len(chunk)) + chunk
        if kind == PRESENT:
            present = DFU_DEVICE if self.device.dfu else APPLICATION_DEVICE
            return struct.pack("<I", 0 if self.device.gone else present)
        if kind == WRITE:
            self.result += data
            return b""
        if kind == DELAY:
            self.waited += size
            return b""
        try:
            return self._transfer(kind, setup, size, data)
        except ProtocolError as error:
            self.problem = self.problem or f"transfer {self.device.transfers - 1}: {error}"
            self.device.gone = True
            return b"" if kind == RESET_BUS else struct.pack("<iI", Status.GONE, 0)

    def _transfer(self, kind: bytes, setup: Setup, size: int, data: bytes) -> bytes:
        device, moved = self.device, 0
        if kind == RESET_BUS:
            device.power_on() if device.gone else device.reset_bus()
            return b""
        if kind in (CONTROL_OUT, BULK_OUT):
            status, moved = device.control_out(setup, data) if kind == CONTROL_OUT else device.bulk_out(data)
            return struct.pack("<iI", status, moved)
        if kind == CONTROL_IN:
            status, found = device.control_in(setup)
        else:
            status, found = device.bulk_in(size) if kind == BULK_IN else device.event_in(size)
        return struct.pack("<iI", status, len(found)) + found[:size]


def inputs_of(layers: Sequence[Layer], tensors: Sequence[Array]) -> dict[str, bytes]:
    """The tensors of a run by the names of their layers, for `Device.inputs`."""
    return {layer.name: tensor.tobytes() for layer, tensor in zip(layers, tensors, strict=True)}

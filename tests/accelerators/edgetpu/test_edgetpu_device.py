# SPDX-License-Identifier: Apache-2.0
"""The simulated device by itself: it refuses what a chip would not take, and its outputs lie where the vendor's formula says."""

import struct

import numpy as np
import pytest
from edgetpu_driver import Model, models_of, shared_models
from edgetpu_files import caching, execution, model, options, package
from tinyc.accelerators.edgetpu.layout import output_runs
from tinyc.emulators.edgetpu_device import (
    CHIP,
    CHUNK,
    CREDIT,
    ENDPOINTS,
    EVENTS,
    RUN,
    RUN_CONTROLS,
    SCU_0,
    SCU_2,
    SCU_3,
    TILES,
    Device,
    Peer,
    ProtocolError,
    Setup,
    Status,
    made_up,
    wire_input,
    wire_output,
)


def handmade() -> Model:
    return models_of(model(options(package([caching(), execution()]))))[0]


class Host:
    """A driver in Python that can be made to do wrong things."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def setup(self, address: int, direction: int) -> Setup:
        narrow = address >> 16 == 1
        return Setup(direction, int(narrow), address & 0xFFFF, address >> 16, 4 if narrow else 8)

    def write(self, address: int, value: int) -> None:
        setup = self.setup(address, 0x40)
        status, _ = self.device.control_out(setup, value.to_bytes(setup.length, "little"))
        assert status is Status.OK

    def read(self, address: int) -> int:
        status, data = self.device.control_in(self.setup(address, 0xC0))
        assert status is Status.OK
        return int.from_bytes(data, "little")

    def sleep(self) -> None:
        self.write(SCU_0, 0)
        self.write(SCU_2, 2 << 18)
        self.write(SCU_3, 3 << 22)
        while self.read(SCU_3) >> 8 & 3 != 2:
            pass

    def wake(self) -> None:
        self.write(CREDIT, 0xF)
        self.write(CREDIT, 0)
        self.write(SCU_3, 2 << 22)
        while self.read(SCU_3) >> 8 & 3:
            pass

    def tiles(self) -> None:
        self.write(TILES, 0x7F)
        while self.read(TILES) != 0x7F:
            pass

    def start(self) -> None:
        self.sleep()
        self.wake()
        self.tiles()
        for address in RUN_CONTROLS:
            self.write(address, 1)
        self.write(EVENTS, 0xF0)
        self.write(ENDPOINTS, 0)
        self.write(CHUNK, 0x20)

    def send(self, tag: int, data: bytes) -> None:
        self.device.bulk_out(struct.pack("<IB3x", len(data), tag))
        self.device.bulk_out(data)


def started() -> tuple[Host, Model]:
    one = handmade()
    host = Host(Device([one.package], inputs=[{"in": b"abcde"}]))
    host.start()
    return host, one


def test_a_whole_conversation() -> None:
    host, one = started()
    caching_part, inference = one.package.caching, one.package.inference
    assert caching_part is not None
    host.send(0, caching_part.chunks[0].code)
    host.send(2, caching_part.parameters)
    assert host.device.event_in(16)[1][12] == 4
    host.send(0, inference.chunks[0].code)
    host.send(1, b"abcde\0\0\0")
    received = [host.device.bulk_in(512)[1] for _ in range(2)]
    assert received == [wire_output(layer, made_up(layer, 0)) for layer in inference.outputs]
    assert host.device.event_in(16)[0] is Status.OK
    assert host.device.inferences == 1


def refused(message: str) -> pytest.RaisesExc[ProtocolError]:
    return pytest.raises(ProtocolError, match=message)


def test_registers_have_their_width() -> None:
    host = Host(Device([]))
    with refused("request 1, 4 bytes"):
        host.device.control_in(Setup(0xC0, 0, CHIP & 0xFFFF, 1, 8))
    with refused("request 0, 8 bytes"):
        host.device.control_in(Setup(0xC0, 1, RUN & 0xFFFF, 4, 4))
    with refused("type 0x40"):
        host.device.control_out(Setup(0x41, 1, CHIP & 0xFFFF, 1, 4), bytes(4))
    with refused("not one that a driver needs"):
        host.read(0x1A004)


def test_the_core_does_not_answer_while_it_sleeps() -> None:
    host = Host(Device([]))
    host.sleep()
    with refused("while it sleeps"):
        host.read(RUN)


def test_waking_has_its_order() -> None:
    host = Host(Device([]))
    with refused("before it sleeps"):
        host.write(SCU_3, 2 << 22)
    host.sleep()
    with refused("credits"):
        host.write(SCU_3, 2 << 22)
    host.write(SCU_2, 0)
    host.write(CREDIT, 0xF)
    host.write(CREDIT, 0)
    with refused("clock gating"):
        host.write(SCU_3, 2 << 22)


def test_tiles_are_written_after_tileconfig() -> None:
    host = Host(Device([]))
    host.sleep()
    host.wake()
    host.write(TILES, 0x7F)
    with refused("before tileconfig0"):
        host.write(0x400C0, 1)


@pytest.mark.parametrize("address", RUN_CONTROLS)
def test_nothing_is_sent_before_everything_runs(address: int) -> None:
    host, _ = started()
    host.write(address, 0)
    with refused(hex(address)):
        host.device.bulk_out(bytes(8))


@pytest.mark.parametrize(("address", "value"), [(EVENTS, 0xFF), (ENDPOINTS, 1), (CHUNK, 0x10)])
def test_usb_registers_are_as_the_driver_needs_them(address: int, value: int) -> None:
    host, _ = started()
    host.write(address, value)
    with refused("descr_ep|outfeed"):
        host.device.bulk_out(bytes(8))


@pytest.mark.parametrize("header", [struct.pack("<IB3s", 16, 3, bytes(3)), struct.pack("<IB3s", 16, 0, b"\0\1\0")])
def test_headers(header: bytes) -> None:
    host, _ = started()
    with refused("expected length, tag 0 to 2 and zeros"):
        host.device.bulk_out(header)


def test_lengths_and_order() -> None:
    host, one = started()
    with refused("tag and length"):
        host.device.bulk_out(struct.pack("<IB3x", 17, 0))
    host, one = started()
    with refused("behind the end"):
        host.device.bulk_out(struct.pack("<IB3x", 64, 0) + b"x")
    host, one = started()
    host.send(0, one.package.inference.chunks[0].code)
    with refused("tag and length"):
        host.device.bulk_out(struct.pack("<IB3x", 128, 2))


def test_every_byte_is_compared() -> None:
    host, one = started()
    code = bytearray(one.package.inference.chunks[0].code)
    code[40] ^= 1
    with refused("byte 40 of 64 is 0x29, expected 0x28"):
        host.send(0, bytes(code))
    host, one = started()
    host.send(0, one.package.inference.chunks[0].code)
    with refused("byte 7 of 8 is 0x01"):
        host.send(1, b"abcde\0\0\1")


def test_nothing_is_sent_while_an_output_waits() -> None:
    host, one = started()
    host.send(0, one.package.inference.chunks[0].code)
    host.send(1, b"abcde\0\0\0")
    with refused("no bulk out before ReceiveOutput"):
        host.send(0, one.package.inference.chunks[0].code)


def test_parameters_must_be_in_the_chip() -> None:
    host, one = started()
    host.send(0, one.package.inference.chunks[0].code)
    host.send(1, b"abcde\0\0\0")
    with refused("not in the chip"):
        host.device.bulk_in(512)


def test_a_buffer_smaller_than_a_packet_is_refused() -> None:
    host, one = started()
    caching_part = one.package.caching
    assert caching_part is not None
    host.send(0, caching_part.chunks[0].code)
    host.send(2, caching_part.parameters)
    host.device.event_in(16)
    with refused("waits for bytes"):
        host.device.bulk_in(512)
    host.send(0, one.package.inference.chunks[0].code)
    host.send(1, b"abcde\0\0\0")
    with refused("a bulk in of 5 bytes where a packet of 16 comes"):
        host.device.bulk_in(5)
    with refused("which is ReceiveOutput"):
        host.device.event_in(16)


def test_after_a_failure_only_a_reset_helps() -> None:
    one = handmade()
    host = Host(Device([one.package]))
    host.start()
    host.device.faults = {host.device.transfers: "stall"}
    assert host.device.bulk_out(bytes(8))[0] is Status.STALL
    with refused("before the core was reset"):
        host.device.bulk_out(bytes(8))
    host.start()
    host.send(0, one.package.inference.chunks[0].code)


def test_a_dfu_device_has_one_endpoint_and_wants_its_blocks_in_order() -> None:
    device = Device([], firmware=bytes(600))
    with refused("only endpoint 0"):
        device.bulk_out(b"x")
    with refused("block 1 of 256 bytes, expected 0"):
        device.control_out(Setup(0x21, 1, 1, 0, 256), bytes(256))
    with refused("before the firmware was there"):
        device.reset_bus()


def test_a_peer_remembers_the_first_problem() -> None:
    peer = Peer(Device([]))
    frame = struct.pack("<cBBxHHII", b"I", 0xC0, 0, CHIP & 0xFFFF, 1, 8, 20)
    assert peer(frame[:5]) == b""
    assert peer(frame[5:]) == struct.pack("<iI", Status.GONE, 0)
    assert "request 1, 4 bytes" in peer.problem
    assert peer(frame) == struct.pack("<iI", Status.GONE, 0)


@pytest.mark.parametrize("name", sorted(shared_models()))
def test_the_runs_of_the_tables_undo_the_vendors_formula(name: str) -> None:
    """Two ways to the same place: the device scatters element by element, the tables gather in runs."""
    for layer in shared_models()[name].package.inference.outputs:
        tensor = np.random.default_rng(3).integers(0, 256, layer.bytes, np.uint8).tobytes()
        wire = np.frombuffer(wire_output(layer, tensor), np.uint8)
        pieces = [
            wire[run.source + i * run.stride :][: run.length] for run in output_runs(layer) for i in range(run.count)
        ]
        found = np.concatenate(pieces).tobytes()
        assert wire_input(layer, found)[: layer.bytes] == tensor

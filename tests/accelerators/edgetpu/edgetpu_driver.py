# SPDX-License-Identifier: Apache-2.0
"""The driver with a model's tables as a program that does what a list of orders says, and the simulated device at its other end."""

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from edgetpu_files import compiled_files
from tinyc.accelerators.edgetpu.executable import Package
from tinyc.accelerators.edgetpu.program import bind, package_of
from tinyc.accelerators.edgetpu.reader import is_edgetpu, packages, unsupported
from tinyc.accelerators.edgetpu.tables import Tables, make_tables
from tinyc.emit.literals import array_definition, params_definition
from tinyc.emulators import find_emulator
from tinyc.emulators.edgetpu_device import Device, Peer
from tinyc.emulators.host import talk
from tinyc.graph import Graph, Layer
from tinyc.importers.tflite import load
from tinyc.targets.cpus import find_cpu
from tinyc.toolchains import Image, build_image

ROOT = Path(__file__).resolve().parents[3] / "runtime_c"
DRIVER = [ROOT / "edgetpu" / f"tinyc_edgetpu_{name}.c" for name in ("open", "run", "dfu")]
STREAM = [ROOT / "emulation" / "tinyc_edgetpu_stream.c"]
HEADERS = [
    ROOT / "edgetpu" / "tinyc_edgetpu.h",
    ROOT / "edgetpu" / "tinyc_edgetpu_control.h",
    ROOT / "emulation" / "tinyc_edgetpu_stream.h",
]
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wmissing-prototypes", "-Werror")

OK, STALL, TIMEOUT, GONE, ERROR, SHORT, EVENT, CHIP, NOT_READY, DFU, VERIFY, NOT_OPEN = range(12)

#: Orders: open; run model n; firmware update; reset of the bus; end.
MAIN = """
#include "tinyc_edgetpu_stream.h"
#include "tinyc_host.h"

typedef struct {{
    const tinyc_edgetpu_program *program;
    uint32_t input_count, output_count, scratch;
    const uint32_t *sizes; /* inputs, then outputs */
}} model;

{models}
static const model models[] = {{
{rows}
}};

static tinyc_edgetpu tpu;
static uint8_t memory[{memory}] __attribute__((aligned(32)));
static uint8_t firmware[{firmware}];

/* Tensors and scratch lie one behind the other, with guards between; everything goes back, so that changes show. */
static int run(const model *m) {{
    const void *inputs[8];
    void *outputs[8];
    uint8_t *at = memory;
    const uint32_t count = m->input_count + m->output_count;

    for (uint32_t i = 0; i < count; i++) {{
        if (i < m->input_count) {{
            (void)tinyc_edgetpu_stream_read(at, m->sizes[i]);
            inputs[i] = at;
        }} else {{
            outputs[i - m->input_count] = at;
        }}
        at += (m->sizes[i] + 63u) / 32u * 32u;
    }}
    const int status = tinyc_edgetpu_run(&tpu, m->program, inputs, outputs, at);
    at = memory;
    for (uint32_t i = 0; i < count; i++) {{
        tinyc_edgetpu_stream_write(at, m->sizes[i]);
        at += (m->sizes[i] + 63u) / 32u * 32u;
    }}
    return status;
}}

int main(void) {{
    for (;;) {{
        uint8_t order[2];
        int32_t status = 0;

        (void)tinyc_edgetpu_stream_read(order, 2u);
        if (order[0] == 'o') {{
            status = tinyc_edgetpu_open(&tpu, &tinyc_edgetpu_stream, TINYC_EDGETPU_250_MHZ, 20u);
        }} else if (order[0] == 'r') {{
            status = run(&models[order[1]]);
        }} else if (order[0] == 'd') {{
            const uint32_t size = tinyc_edgetpu_stream_read(firmware, {firmware});
            status = tinyc_edgetpu_dfu(&tpu, &tinyc_edgetpu_stream, firmware, size, 20u);
        }} else if (order[0] == 'R') {{
            tinyc_edgetpu_stream_reset();
        }} else {{
            return 0;
        }}
        tinyc_edgetpu_stream_write(&status, 4u);
    }}
}}
"""

FIRMWARE = 700


@dataclass(frozen=True)
class Model:
    """A compiled operator."""

    layer: Layer
    package: Package
    tables: Tables

    @property
    def outputs(self) -> int:
        """How many outputs of the program are tensors."""
        return len(self.layer.outputs)

    @property
    def names(self) -> list[str]:
        """Of the input layers."""
        return [layer.name for layer in self.package.inference.inputs]

    @property
    def input_sizes(self) -> list[int]:
        return [row.size for row in self.tables.inputs]

    @property
    def output_sizes(self) -> list[int]:
        return [row.size for row in self.tables.outputs[: self.outputs]]


def models_of(graph: Graph) -> list[Model]:
    """The compiled operators of a network."""
    layers = [layer for layer in graph.layers() if is_edgetpu(layer.node)]
    return [
        Model(one, package_of(one.node), make_tables(package_of(one.node), len(one.outputs), "test")) for one in layers
    ]


def definitions(one: Model, name: str) -> list[str]:
    """The tables of an operator as tinyc writes them into a model's file."""
    binding = bind(one.layer)
    assert binding.params is not None
    tables = {constant.name: f"{name}_{constant.name}" for constant in binding.constants}
    arrays = [array_definition(tables[constant.name], constant.values) for constant in binding.constants]
    return [*arrays, params_definition(f"{name}_program", binding.params, tables)]


def sources(models: Sequence[Model]) -> dict[str, bytes]:
    """The program: driver, transport, tables of all models, main."""
    texts, rows, memory = [], [], 64
    for index, one in enumerate(models):
        name = f"m{index}"
        sizes = [*one.input_sizes, *one.output_sizes]
        texts += [*definitions(one, name), f"static const uint32_t {name}_sizes[] = {{{', '.join(map(str, sizes))}}};"]
        rows.append(
            f"    {{&{name}_program, {len(one.input_sizes)}u, {len(one.output_sizes)}u, {one.tables.scratch}u, {name}_sizes}},"
        )
        memory = max(memory, sum((size + 63) // 32 * 32 for size in sizes) + one.tables.scratch)
    main = MAIN.format(models="\n".join(texts), rows="\n".join(rows), memory=memory, firmware=FIRMWARE)
    files = {path.name: path.read_bytes() for path in (*DRIVER, *STREAM, *HEADERS)}
    return {**files, "main.c": main.encode()}


def build(models: Sequence[Model], folder: Path, mutate: tuple[bytes, bytes] | None = None) -> Path:
    """A native program with sanitizers."""
    files = sources(models)
    if mutate is not None:
        assert files["main.c"].count(mutate[0]) == 1
        files["main.c"] = files["main.c"].replace(*mutate)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    flags = [*WARNINGS, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    objects = [
        "main.c",
        *(path.name for path in STREAM),
        *(path.name for path in DRIVER),
        str(ROOT / "startup" / "startup_host.c"),
    ]
    command = ["gcc", *flags, "-I", str(folder), "-I", str(ROOT / "startup"), *objects, "-o", "program"]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    return folder / "program"


def tensors(one: Model, seed: int) -> list[bytes]:
    """Inputs of one run."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, size, np.uint8).tobytes() for size in one.input_sizes]


@dataclass(frozen=True)
class Reply:
    """What an order returned; of a run also the tensors afterwards."""

    status: int
    inputs: tuple[bytes, ...] = ()
    outputs: tuple[bytes, ...] = ()


class Session:
    """Orders for a program, then what it did."""

    def __init__(self, models: Sequence[Model], device: Device) -> None:
        self.models, self.device = models, device
        self.peer = Peer(device)
        self.orders: list[tuple[str, int]] = []
        self.given: list[tuple[bytes, ...]] = []

    def order(self, name: str, number: int = 0, data: Sequence[bytes] = ()) -> "Session":
        self.orders.append((name, number))
        self.given.append(tuple(data))
        self.peer.given += name.encode() + bytes([number]) + b"".join(data)
        return self

    def open(self) -> "Session":
        return self.order("o")

    def run(self, number: int = 0, seed: int = 1) -> "Session":
        data = tensors(self.models[number], seed)
        self.device.inputs.append(dict(zip(self.models[number].names, data, strict=True)))
        return self.order("r", number, data)

    def replies(self) -> list[Reply]:
        """In the order of the orders."""
        result, at, found = bytes(self.peer.result), 0, []
        for (name, number), _ in zip(self.orders, self.given, strict=True):
            sizes = self.models[number].input_sizes + self.models[number].output_sizes if name == "r" else []
            parts = []
            for size in sizes:
                parts.append(result[at : at + size])
                at += size
            count = len(self.models[number].input_sizes) if name == "r" else 0
            found.append(Reply(struct.unpack_from("<i", result, at)[0], tuple(parts[:count]), tuple(parts[count:])))
            at += 4
        assert at == len(result)
        return found

    def on_host(self, program: Path, timeout: float = 120) -> list[Reply]:
        self.peer.given += b"q\0"
        status, _ = talk([str(program)], b"", self.peer, timeout)
        assert status == 0
        return self.replies()

    def on_core(self, folder: Path, emulator: str, cpu: str = "cortex-m7", timeout: float = 300) -> list[Reply]:
        return self.on_image(self.image(folder, cpu), emulator, timeout)

    def image(self, folder: Path, cpu: str = "cortex-m7") -> Image:
        """The program for a core."""
        return build_image(sources(self.models), find_cpu(cpu), folder, optimize="-Os")

    def on_image(self, image: Image, emulator: str, timeout: float = 300) -> list[Reply]:
        self.peer.given += b"q\0"
        find_emulator(emulator, image.cpu).run(image, b"", entry="main", timeout=timeout, peer=self.peer)
        return self.replies()


@cache
def shared_models() -> dict[str, Model]:
    """Every file in shared that tinyc takes, by name."""
    found = {}
    for path in compiled_files():
        graph = load(path)
        if not any(unsupported(package) for _, package in packages(graph)):
            found[path.stem] = models_of(graph)[0]
    return found

# SPDX-License-Identifier: Apache-2.0
"""Many planned programs in one native program under AddressSanitizer and UBSan, where only memory that is alive may be touched.

The program has one block of memory for all contexts. Before a model runs, all of the block is filled with one number and the inputs
are written; while it runs, what is no part of a buffer that the plan says is alive is poisoned, so that reading or writing it ends
the program. It writes each layer's output as it is traced, the outputs, and the whole block, in which everything that belongs to no
buffer must be as it was filled. The comparison is outside.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from emitted import run
from tinyc import reference
from tinyc.emit import Port, emit, ports
from tinyc.graph import Array, Graph
from tinyc.memory import MemoryMap
from tinyc.program import Program
from tinyc.streaming.rows import row_bytes
from tinyc.streaming.schedule import calls, is_final

SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: Bytes around each context. They may be touched as little as the rest.
GUARD = 64
#: What the memory is filled with before each run.
FILLS = (0xA5, 0x00)

HEAD = """
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <string.h>
#include "tinyc_kernels.h"

typedef struct { uint32_t offset, size, first, last; } buffer;
typedef struct { uint32_t from, to; } span;

static uint8_t memory[MEMORY] __attribute__((aligned(64)));
static const buffer *buffers;
static uint32_t buffer_count;
static const span *spans;
static uint32_t event;

static void put(const void *data, uint32_t size) {
    if (fwrite(data, 1, size, stdout) != size) { __builtin_trap(); }
}

static void get(void *data, uint32_t size) {
    if (fread(data, 1, size, stdin) != size) { __builtin_trap(); }
}

/* Only what is alive at some of these times may be touched. */
static void at(uint32_t from, uint32_t to) {
    ASAN_POISON_MEMORY_REGION(memory, sizeof memory);
    for (uint32_t i = 0; i < buffer_count; i++) {
        if (buffers[i].first <= to && from <= buffers[i].last) {
            ASAN_UNPOISON_MEMORY_REGION(memory + GUARD + buffers[i].offset, buffers[i].size);
        }
    }
}

void tinyc_trace_layer(uint32_t layer, const void *data, uint32_t size) {
    put(&layer, 4);
    put(&size, 4);
    put(data, size);
    at(spans[event].from, spans[event].to);
    event++;
}
"""

MODEL = """
static void run_NAME(int fill) {
    static const buffer all_buffers[] = {BUFFERS{0, 0, 1, 0}};
    static const span all_spans[] = {SPANS{0, 0}};
    NAME_context *const ctx = (NAME_context *)(void *)(memory + GUARD);
    fprintf(stderr, "in NAME\\n");
    buffers = all_buffers;
    buffer_count = sizeof all_buffers / sizeof *all_buffers - 1u;
    spans = all_spans;
    event = 0;
    ASAN_UNPOISON_MEMORY_REGION(memory, sizeof memory);
    memset(memory, fill, sizeof memory);
    at(START, START);
    READ
    RUN
    at(END, END);
    WRITE
    ASAN_UNPOISON_MEMORY_REGION(memory, sizeof memory);
    put(memory, GUARD + sizeof *ctx + GUARD);
}
"""


#: For a model whose input comes in rows. What the user holds may be used for something else after each row.
ROWS = """
    static _Alignas(16) uint8_t row[NAME_INPUT_ROW_SIZE];
    NAME_start(ctx);
    do {
        get(row, sizeof row);
    } while (NAME_push_row(ctx, (const void *)row) == 0);
"""


@dataclass(frozen=True, eq=False)
class Planned:
    """One program to run. `name` is its C prefix, `title` says what it is for a person."""

    name: str
    title: str
    program: Program
    memory: MemoryMap

    def time(self, step: int) -> int:
        """When a step runs, as the plan counts."""
        stream = self.program.stream_of(step)
        return step if stream is None else stream.last

    @property
    def end(self) -> int:
        return max(len(self.program.steps) - 1, 0)

    def traces(self) -> Iterator[tuple[int, int, int, int]]:
        """(step, tensor, first byte, bytes) of what is traced, in order."""
        for step in self.program.steps:
            stream = self.program.stream_of(step.index)
            if stream is None:
                for tensor in step.layer.node.outputs:
                    yield step.index, tensor, 0, self.program.tensor(tensor).bytes
            elif stream.first == step.index:
                for call in calls(stream.schedule):
                    layer = stream.schedule.layers[call.layer]
                    if is_final(layer, call):
                        size = row_bytes(layer.output)
                        index = stream.first + call.layer
                        yield index, layer.node.outputs[0], call.rows.first * size, len(call.rows) * size

    def gaps(self) -> list[int]:
        """Bytes of the arena that belong to no buffer."""
        free = np.ones(self.memory.size, bool)
        for offset, buffer in self.memory.rows:
            free[offset : offset + buffer.size] = False
        return [int(i) for i in np.flatnonzero(free)]

    def c_text(self) -> str:
        """The function that runs it; all text that depends on the plan."""
        graph, traces = self.program.graph, list(self.traces())
        text = MODEL.replace(
            "BUFFERS", "".join(f"{{{o}, {b.size}, {b.first}, {b.last}}}, " for o, b in self.memory.rows)
        )
        text = text.replace("SPANS", "".join(f"{{{first}, {last}}}, " for first, last in self._spans(traces)))
        start = self.time(0) if self.program.steps else 0
        text = text.replace("START", str(start)).replace("END", str(self.end))
        fed = self.program.fed is not None
        text = text.replace("READ", "" if fed else self._ports("get", "input", ports(graph, graph.inputs, ())))
        text = text.replace("RUN", ROWS if fed else "NAME_run(ctx);")
        return text.replace("WRITE", self._ports("put", "output", ports(graph, graph.outputs, ())))

    def _spans(self, traces: Sequence[tuple[int, int, int, int]]) -> Iterator[tuple[int, int]]:
        """The plan's times from each trace to the next one: when the rest of the input is read, the next step has not begun."""
        now = [self.time(step) for step, *_ in traces]
        for time, following in zip(now, [*now[1:], self.end], strict=True):
            stream = self.program.stream_of(time)
            yield (time if stream is not None and stream.schedule.fed is not None else following), following

    @staticmethod
    def _ports(what: str, kind: str, found: Sequence[Port]) -> str:
        return "\n    ".join(f"{what}(NAME_{kind}{port.suffix}(ctx), {port.tensor.bytes}u);" for port in found)


class Batch:
    """Programs that are compiled and run together. `objects` is a folder for compiled kernels, which other batches share."""

    def __init__(self, folder: Path, objects: Path) -> None:
        self.folder = folder
        self.objects = objects
        self.texts: dict[str, str] = {}
        self.library: dict[str, bytes] = {}
        self.models: list[Planned] = []
        self.values: dict[str, list[tuple[list[Array], list[Array | None]]]] = {}

    def add(self, planned: Planned, sets: Sequence[tuple[list[Array], list[Array | None]]]) -> bool:
        """Adds a program with (inputs, value of each tensor) for each of FILLS, unless one with the same C is there."""
        files = emit(planned.program, planned.memory, planned.name)
        own = {path: files.pop(path).decode() for path in (f"{planned.name}.h", f"{planned.name}.c")}
        text = "\n".join([*own.values(), _named(planned)])
        key = text.replace(planned.name, "NAME").replace(planned.name.upper(), "NAME")
        if key in self.texts.values():
            return False
        self.texts[planned.name] = key
        self.library.update(files)
        self.models.append(planned)
        self.values[planned.name] = list(sets)
        for path, data in own.items():
            (self.folder / path).write_text(data)
        return True

    def check(self) -> None:
        """Compiles and runs all programs. AssertionError names the program and the first difference."""
        stdin = b"".join(a.tobytes() for m in self.models for inputs, _ in self.values[m.name] for a in inputs)
        stream = run([self._compiled()], stdin=stdin)
        for model in self.models:
            for fill, (_, values) in zip(FILLS, self.values[model.name], strict=True):
                stream = _compare(model, values, fill, stream)
        assert not stream

    def _compiled(self) -> Path:
        for name, data in self.library.items():
            (self.folder / name).write_bytes(data)
        size = 2 * GUARD + max(model.memory.size for model in self.models)
        runs = [f"run_{m.name}({fill});" for m in self.models for fill in FILLS]
        parts = [
            f"#define MEMORY {size}u\n#define GUARD {GUARD}u",
            HEAD,
            *(f'#include "{m.name}.c"\n{_named(m)}' for m in self.models),
            f"int main(void) {{ {' '.join(runs)} return 0; }}",
        ]
        (self.folder / "main.c").write_text("\n".join(parts))
        kernels = [self._kernel(name, data) for name, data in sorted(self.library.items()) if name.endswith(".c")]
        options = [*SANITIZE, "-O0", "-g0", "-std=gnu99", "-DTINYC_TRACE_LAYERS"]
        run(["gcc", *options, "main.c", *kernels, "-o", "main"], self.folder)
        return self.folder / "main"

    def _kernel(self, name: str, data: bytes) -> Path:
        """The object of a kernel, made once per session."""
        headers = sorted(item for item in self.library.items() if item[0].endswith(".h"))
        key = hashlib.sha256(b"".join([data, *(text for _, text in headers)])).hexdigest()[:16]
        made = self.objects / f"{name}-{key}.o"
        if not made.exists():
            run(["gcc", *SANITIZE, "-std=c99", "-c", name, "-o", made], self.folder)
        return made


def _named(model: Planned) -> str:
    return (
        model.c_text()
        .replace("NAME_INPUT_ROW_SIZE", f"{model.name.upper()}_INPUT_ROW_SIZE")
        .replace("NAME", model.name)
    )


def _compare(model: Planned, values: Sequence[Array | None], fill: int, stream: bytes) -> bytes:
    """Compares what one run wrote; what is left of the stream."""

    def take(size: int) -> bytes:
        nonlocal stream
        assert len(stream) >= size, f"{model.title}: the program stopped"
        found, stream = stream[:size], stream[size:]
        return found

    def compare(what: str, found: bytes, want: bytes) -> None:
        if found != want:
            wrong = [i for i in range(len(want)) if found[i] != want[i]]
            raise AssertionError(
                f"{model.title}: {what}: {len(wrong)} of {len(want)} bytes differ, the first is {wrong[0]}"
            )

    def bytes_of(tensor: int) -> bytes:
        value = values[tensor]
        assert value is not None
        return value.tobytes()

    for step, tensor, first, size in model.traces():
        assert struct.unpack("=II", take(8)) == (step, size), f"{model.title}: another layer than {step}"
        layer = model.program.steps[step].layer.where
        compare(f"{layer}, byte {first} on", take(size), bytes_of(tensor)[first : first + size])
    for tensor in model.program.graph.outputs:
        compare(f"output {tensor}", take(model.program.tensor(tensor).bytes), bytes_of(tensor))
    memory = take(2 * GUARD + model.memory.size)
    guards = memory[:GUARD] + memory[-GUARD:]
    assert guards == bytes([fill]) * 2 * GUARD, f"{model.title}: wrote outside of the context"
    written = [i for i in model.gaps() if memory[GUARD + i] != fill]
    assert not written, f"{model.title}: wrote to byte {written[0]} of the arena, where no buffer is"
    return stream


def reference_values(graph: Graph, inputs: Sequence[Sequence[Array]]) -> list[tuple[list[Array], list[Array | None]]]:
    """(inputs, value of each tensor) for each set of inputs."""
    return [(list(given), reference.run(graph, given)) for given in inputs]


def overlapping(program: Program, memory: MemoryMap) -> Mapping[str, bool]:
    """Whether some output lies over its input, at the same address or shifted."""
    inside = [
        memory.tensors[step.layer.node.outputs[0]] == memory.tensors[tensor]
        for step in program.steps
        for tensor in step.layer.node.inputs
        if tensor in memory.tensors and program.stream_of(step.index) is None
    ]
    shared = [
        (
            memory.arena.offsets[o.output],
            memory.arena.offsets[o.input],
            memory.buffers[o.output].size,
            memory.buffers[o.input].size,
        )
        for o in memory.overlaps
    ]
    over = [(out, source) for out, source, size, other in shared if out < source + other and source < out + size]
    return {"in place": any(inside) or any(a == b for a, b in over), "shifted": any(a != b for a, b in over)}

# SPDX-License-Identifier: Apache-2.0
"""Calls kernels for RV32 and Xtensa with every buffer where an access outside of it is an error: in unicorn on pages of its own, in
QEMU's user mode between a page that must stay as it was and one that must not be touched."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import unicorn
from direct_call import PAGE, STACK, STOP, Buffer, _load, _place
from dsp_harness import emulator, main_program, merged, need_compiler
from oracle import assert_same_bytes, random_inputs
from tinyc import reference
from tinyc.emit import emit, runtime_files
from tinyc.graph import Array, Graph
from tinyc.lower import assemble
from tinyc.memory import plan_memory
from tinyc.program import Binding, Input, Output, Params, ParamsPointer, Scratch, Table
from tinyc.select import Candidate
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, build_image
from unicorn import riscv_const as riscv

#: Callee-saved registers: s0, s1, s2 .. s11, and gp and tp, which nobody may change.
_KEPT = [8, 9, *range(18, 28), 3, 4]

#: The Xtensa program: for each call on the input the number of buffers and of those that are no arguments, then each one's size, whether it
#: is inside the first one and where, and its content unless it is; all of them go back.
_DRIVER = r"""
#include "tinyc_host.h"
#include "tinyc_kernels.h"

#define BUFFERS 7
#define PAGE 4096u
#define MMAP2 80
#define MPROTECT 82
#define BEFORE 0xA5u

typedef void (*function)(void *, void *, void *, void *, void *, void *);

static int32_t call(int32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f) {
    register uint32_t a2 __asm__("a2") = (uint32_t)number;
    register uint32_t a6 __asm__("a6") = a;
    register uint32_t a3 __asm__("a3") = b;
    register uint32_t a4 __asm__("a4") = c;
    register uint32_t a5 __asm__("a5") = d;
    register uint32_t a8 __asm__("a8") = e;
    register uint32_t a9 __asm__("a9") = f;
    __asm__ volatile("syscall" : "+r"(a2) : "r"(a6), "r"(a3), "r"(a4), "r"(a5), "r"(a8), "r"(a9) : "memory");
    return (int32_t)a2;
}

typedef struct {
    uint8_t *first; /* of its pages */
    uint8_t *data;  /* ends with the last of them */
    uint32_t room;
} area;

/* Grown on demand: the memory before `data` is filled, the page behind it is locked. */
static void fit(area *a, uint32_t size) {
    const uint32_t room = (size + 2u * PAGE - 1u) / PAGE * PAGE;
    if (room > a->room) {
        a->first = (uint8_t *)call(MMAP2, 0u, room + PAGE, 3u, 0x802u, ~0u, 0u);
        a->room = room;
        if (((uint32_t)a->first & (PAGE - 1u)) != 0u || call(MPROTECT, (uint32_t)a->first + room, PAGE, 0u, 0u, 0u, 0u) != 0) {
            tinyc_host_exit(3);
        }
    }
    a->data = a->first + a->room - size;
    for (uint8_t *p = a->first; p != a->data; p++) {
        *p = BEFORE;
    }
}

int main(void) {
    static area areas[BUFFERS];
    uint32_t head[2]; /* buffers; the first of them that is an argument */
    while (tinyc_host_read(head, sizeof head) == sizeof head) {
        void *data[BUFFERS + 1] = {NULL};
        uint32_t where[BUFFERS][3]; /* size, inside the first one, from there on */
        for (uint32_t i = 0; i < head[0]; i++) {
            (void)tinyc_host_read(where[i], sizeof where[i]);
            if (where[i][1] != 0u) {
                data[i] = areas[0].data + where[i][2];
            } else {
                fit(&areas[i], where[i][0]);
                data[i] = areas[i].data;
                (void)tinyc_host_read(data[i], where[i][0]);
            }
        }
        void **const a = data + head[1];
        ((function)FUNCTION)(a[0], a[1], a[2], a[3], a[4], a[5]);
        for (uint32_t i = 0; i < head[0]; i++) {
            for (uint8_t *p = areas[i].first; p != areas[i].data && where[i][1] == 0u; p++) {
                if (*p != BEFORE) {
                    tinyc_host_exit(4);
                }
            }
            tinyc_host_write(data[i], where[i][0]);
        }
    }
    return 0;
}
"""


def build(function: str, cpu_name: str, kind: str, optimize: str, folder: Path) -> Image:
    """An image with one kernel, and for Xtensa with the program that calls it."""
    need_compiler(cpu_name, kind)
    isa = {"riscv": "rv32", "xtensa": "xtensa"}[CPUS[cpu_name].family]
    main = (
        _DRIVER.replace("FUNCTION", function)
        if isa == "xtensa"
        else f'#include "tinyc_kernels.h"\nvoid *volatile keep;\nint main(void) {{ keep = (void *){function}; return 0; }}\n'
    )
    sources = {**runtime_files({function: isa}), "main.c": main.encode()}
    return build_image(sources, CPUS[cpu_name], folder, toolchain=kind, optimize=optimize)


def kernel(cpu_name: str, op: str, function: str) -> Kernel:
    return variants(cpu_name, op, function)[0]


def variants(cpu_name: str, op: str, function: str) -> list[Kernel]:
    """The ways in which layers may call a function, the fastest first."""
    return [k for k in kernels_for(CPUS[cpu_name])[op] if k.function == function]


def arguments(binding: Binding, data: Array, output: int) -> tuple[list[bytes], int]:
    """(what the call's pointers point to, position of the output). The scratch memory begins as garbage, the output too."""
    found: list[bytes] = []
    position = -1
    tables = {constant.name: constant.values.tobytes() for constant in binding.constants}
    for argument in binding.args:
        if isinstance(argument, ParamsPointer):
            assert isinstance(binding.params, Params)
            found.append(np.array([int(v) for v in binding.params.fields.values()], np.int32).tobytes())  # type: ignore[call-overload]
        elif isinstance(argument, Input):
            found.append(data.tobytes())
        elif isinstance(argument, Table):
            found.append(tables[argument.name])
        elif isinstance(argument, Output):
            position = len(found)
            found.append(b"\x5a" * output)
        else:
            assert isinstance(argument, Scratch)
            found.append(np.random.default_rng(output).bytes(binding.scratch))
    return found, position


def check(image: Image, kernel: Kernel, graphs: Sequence[Graph], cpu_name: str, seeds: Sequence[int] = (0,)) -> None:
    """Every layer that the kernel takes, against the numpy reference, with nothing else changed."""
    cases = []
    for graph in graphs:
        layer = next(graph.layers())
        assert kernel.applies(layer)
        for seed in seeds:
            inputs = random_inputs(graph, seed)
            buffers, position = arguments(kernel.bind(layer), inputs[0], graph.output_tensors[0].elements)
            cases.append((graph, buffers, position, reference.outputs(graph, inputs)[0].reshape(-1)))
    after = _run(image, kernel.function, [list(map(Buffer, buffers)) for _, buffers, _, _ in cases], cpu_name)
    for (graph, buffers, position, want), found in zip(cases, after, strict=True):
        what = f"{kernel.function} {graph.nodes[0].attributes} {[t.shape for t in graph.tensors]}"
        assert_same_bytes(want, np.frombuffer(found[position], np.int8), what)
        kept = position if kernel.bind(next(graph.layers())).scratch == 0 else len(buffers) - 1
        assert [found[i] for i in range(len(buffers)) if i not in (position, kept)] == [
            buffers[i] for i in range(len(buffers)) if i not in (position, kept)
        ], what


def check_input(image: Image, kernel: Kernel, graph: Graph, cpu_name: str, data: Array) -> None:
    """The layer for one input."""
    buffers, position = arguments(kernel.bind(next(graph.layers())), data, graph.output_tensors[0].elements)
    (after,) = _run(image, kernel.function, [list(map(Buffer, buffers))], cpu_name)
    assert_same_bytes(
        reference.outputs(graph, [data])[0].reshape(-1), np.frombuffer(after[position], np.int8), kernel.function
    )


def check_shared(image: Image, kernel: Kernel, graphs: Sequence[Graph], cpu_name: str, more: int = 0) -> None:
    """Layers whose output may lie over the input, in one buffer at the lead and `more` bytes before it, for a random input."""
    cases = [(graph, random_inputs(graph, 0)[0]) for graph in graphs]
    for graph, ahead, right in shared(image, kernel, cases, cpu_name, more):
        assert right, f"{kernel.function} {ahead} ahead {graph.nodes[0].attributes} {[t.shape for t in graph.tensors]}"


def in_place(image: Image, kernel: Kernel, graphs: Sequence[Graph], cpu_name: str) -> list[bool]:
    """Whether the layers that work in place are right with the output at the input's address, for two inputs each."""
    cases = [
        (graph, random_inputs(graph, seed)[0])
        for graph in graphs
        for seed in range(2)
        if 0 in kernel.bind(next(graph.layers())).in_place
    ]
    return [right for *_, right in at(image, kernel, [(*case, 0) for case in cases], cpu_name)]


def loose(image: Image, kernel: Kernel, graphs: Sequence[Graph], cpu_name: str) -> list[Graph]:
    """The layers with a lead that are right for several inputs even when the output starts one byte later."""
    ends = np.array([-128, 127], np.int8)
    cases = [
        (graph, np.random.default_rng(seed).choice(ends, graph.input_tensors[0].shape))
        for graph in graphs
        for seed in range(8)
        if kernel.bind(next(graph.layers())).overlap.get(0, 0) > 0
    ]
    results = shared(image, kernel, cases, cpu_name, -1)
    wrong = {id(graph) for graph, _, right in results if not right}
    return list({id(graph): graph for graph, _, _ in results if id(graph) not in wrong}.values())


def shared(
    image: Image, kernel: Kernel, cases: Sequence[tuple[Graph, Array]], cpu_name: str, more: int
) -> list[tuple[Graph, int, bool]]:
    """(layer, how far the output starts before the input, whether it is right) of those whose output may lie over the input, each
    with its input."""
    leads = [kernel.bind(next(graph.layers())).overlap.get(0) for graph, _ in cases]
    places = [(*case, lead + more) for case, lead in zip(cases, leads, strict=True) if lead is not None]
    return at(image, kernel, places, cpu_name)


def at(
    image: Image, kernel: Kernel, cases: Sequence[tuple[Graph, Array, int]], cpu_name: str
) -> list[tuple[Graph, int, bool]]:
    """(layer, how far the output starts before the input, whether it is right) for each (layer, input, how far)."""
    calls, found = [], []
    for graph, data, ahead in cases:
        binding = kernel.bind(next(graph.layers()))
        buffers, output = arguments(binding, data, graph.output_tensors[0].elements)
        source = next(i for i, argument in enumerate(binding.args) if isinstance(argument, Input))
        calls.append(over(buffers, source, output, ahead))
        found.append((graph, ahead, data, output))
    after = _run(image, kernel.function, calls, cpu_name, first=1)
    return [
        (graph, ahead, _unspoilt(graph, data, calls[i], after[i], output))
        for i, (graph, ahead, data, output) in enumerate(found)
    ]


def over(buffers: Sequence[bytes], source: int, output: int, ahead: int) -> list[Buffer]:
    """One memory for the input and the output, which starts `ahead` bytes before it, and all arguments in it or apart."""
    begin, first = max(ahead, 0), max(-ahead, 0)
    data, result = buffers[source], buffers[output]
    whole = bytearray(b"\x5a" * max(begin + len(data), first + len(result)))
    whole[begin : begin + len(data)] = data
    memory = Buffer(bytes(whole))
    places = {source: begin, output: first}
    return [memory] + [
        Buffer(content, inside=memory, offset=places[i]) if i in places else Buffer(content)
        for i, content in enumerate(buffers)
    ]


def _unspoilt(graph: Graph, data: Array, before: Sequence[Buffer], after: Sequence[bytes], output: int) -> bool:
    """Whether the output is right and all other bytes of its memory are as they were."""
    want = reference.outputs(graph, [data])[0].tobytes()
    first = before[1 + output].offset
    expected = bytearray(before[0].data)
    expected[first : first + len(want)] = want
    return after[0] == bytes(expected)


def _run(
    image: Image, function: str, calls: Sequence[list[Buffer]], cpu_name: str, first: int = 0
) -> list[list[bytes]]:
    """What the buffers hold after each call; those before `first` are no arguments."""
    if not calls:
        return []
    if CPUS[cpu_name].family == "riscv":
        return [_call_riscv(image, function, buffers, number % 2 == 1, first) for number, buffers in enumerate(calls)]
    stdin = b"".join(
        struct.pack("<II", len(buffers), first) + b"".join(_sent(buffer) for buffer in buffers) for buffers in calls
    )
    output = emulator(cpu_name).run(image, stdin, entry="main", timeout=300).output
    after, position = [], 0
    for buffers in calls:
        ends = np.cumsum([len(b.data) for b in buffers]) + position
        after.append([output[end - len(b.data) : end] for end, b in zip(ends.tolist(), buffers, strict=True)])
        position = int(ends[-1])
    assert position == len(output)
    return after


def _sent(buffer: Buffer) -> bytes:
    head = struct.pack("<III", len(buffer.data), buffer.inside is not None, buffer.offset)
    return head if buffer.inside is not None else head + buffer.data


def _call_riscv(image: Image, function: str, buffers: list[Buffer], start: bool, first: int) -> list[bytes]:
    """In unicorn, every buffer on pages of its own, at their end or at their start; the registers that a callee keeps are compared."""
    engine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
    _load(engine, image)
    engine.mem_map(STACK, PAGE)
    engine.mem_map(STOP, PAGE)
    for buffer in buffers:
        buffer.start = start
    poisoned = [_place(engine, buffer, 0x4000_0000 + 0x10_0000 * i) for i, buffer in enumerate(buffers)]
    for position, buffer in enumerate(buffers[first:]):
        engine.reg_write(riscv.UC_RISCV_REG_X10 + position, buffer.address)
    saved = {riscv.UC_RISCV_REG_X0 + number: 0x5A5A_0000 + number for number in _KEPT}
    for register, value in saved.items():
        engine.reg_write(register, value)
    stack = STACK + PAGE - 64
    engine.reg_write(riscv.UC_RISCV_REG_X2, stack)
    engine.reg_write(riscv.UC_RISCV_REG_X1, STOP)
    engine.emu_start(image.symbols[function].address, STOP, timeout=60_000_000)
    assert engine.reg_read(riscv.UC_RISCV_REG_PC) == STOP
    assert engine.reg_read(riscv.UC_RISCV_REG_X2) == stack
    assert {register: engine.reg_read(register) for register in saved} == saved
    for (address, before), buffer in zip(poisoned, buffers, strict=True):
        assert bytes(engine.mem_read(address, len(before))) == before, (
            f"written outside the buffer at {buffer.address:#x}"
        )
    return [bytes(engine.mem_read(buffer.address, len(buffer.data))) for buffer in buffers]


def instructions(
    graphs: Sequence[Graph], kernel: Kernel, cpu_name: str, folder: Path, kind: str = "auto", optimize: str = "-O2"
) -> list[int]:
    """Exact instructions of `kernel` for each layer, all of them in one program."""
    graph = merged(list(graphs))
    candidates = [Candidate(kernel, kernel.bind(layer), 0.0, 0) for layer in graph.layers()]
    program = assemble(graph, CPUS[cpu_name], candidates)
    sources = {**emit(program, plan_memory(program), "m"), "main.c": main_program(graph)}
    image = build_image(sources, CPUS[cpu_name], folder, toolchain=kind, optimize=optimize)
    stdin = b"".join(array.tobytes() for array in random_inputs(graph, 1))
    run = emulator(cpu_name).run(image, stdin, entry="m_run", marks=[kernel.function], timeout=300)
    if run.layers is None:
        pytest.skip("the emulator cannot count instructions")
    return list(run.layers)

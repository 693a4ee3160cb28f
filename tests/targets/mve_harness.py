# SPDX-License-Identifier: Apache-2.0
"""Runs Helium kernels in QEMU, thousands of layers in one image, each buffer where an access outside it is an error.

The input ends with the data TCM, the packed weights with the code SRAM, the scratch memory with the instruction TCM: the addresses
behind them are unmapped. The output lies between canaries, or over the input. Registers that a callee must keep are compared after
every call.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import assert_same_bytes
from tinyc import reference
from tinyc.emit import runtime_files
from tinyc.emulators import EMULATORS
from tinyc.graph import Graph
from tinyc.program import Binding, Input, Params, Table
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, Toolchain, build_image, install_line, try_kind

CPU = CPUS["cortex-m55"]

#: Status bits of a call.
PROBLEMS = (
    "wrote outside the output",
    "changed the input",
    "changed the packed weights",
    "changed a register that it must keep",
)

HEADER = r"""
#include "tinyc_host.h"
#include "tinyc_kernels.h"

#define AREA 65536u
#define CANARY 64u

static const uintptr_t input_end = 0x30080000u;
static const uintptr_t stream_end = 0x11200000u;
static const uintptr_t scratch_end = 0x00080000u;
static uint8_t params[256] __attribute__((aligned(16)));
static uint8_t kept[2][4 * AREA];
static uint8_t area[AREA + 2u * CANARY] __attribute__((aligned(16)));

void begin(void);
void end(void);
uint32_t run_all(void);
uint32_t checked_call(void *function, void *const *arguments);

__attribute__((noinline)) void begin(void) { __asm volatile(""); }
__attribute__((noinline)) void end(void) { __asm volatile(""); }

/* Calls function(arguments[0], ..., arguments[4]) with patterns in r4-r11 and d8-d15. Returns whether they changed. */
__attribute__((naked, noinline)) uint32_t checked_call(void *function __attribute__((unused)),
                                                       void *const *arguments __attribute__((unused))) {
    __asm volatile(
        "push {r4-r11, lr}\n"
        "vpush {d8-d15}\n"
        "sub sp, sp, #12\n"
        "mov r12, r0\n"
        "ldr r0, [r1, #16]\n"
        "str r0, [sp]\n"
        "ldm r1, {r0-r3}\n"
        "movw r4, #0x4444\n movw r5, #0x5555\n movw r6, #0x6666\n movw r7, #0x7777\n"
        "movw r8, #0x8888\n movw r9, #0x9999\n movw r10, #0xaaaa\n movw r11, #0xbbbb\n"
        "vdup.32 q4, r4\n vdup.32 q5, r5\n vdup.32 q6, r6\n vdup.32 q7, r7\n"
        "blx r12\n"
        "movs r0, #0\n"
        "movw r1, #0x4444\n subs r4, r4, r1\n orr r0, r0, r4\n movw r2, #0x5555\n subs r5, r5, r2\n orr r0, r0, r5\n"
        "movw r3, #0x6666\n subs r6, r6, r3\n orr r0, r0, r6\n movw r12, #0x7777\n subs r7, r7, r12\n orr r0, r0, r7\n"
        "movw r4, #0x8888\n subs r8, r8, r4\n orr r0, r0, r8\n movw r4, #0x9999\n subs r9, r9, r4\n orr r0, r0, r9\n"
        "movw r4, #0xaaaa\n subs r10, r10, r4\n orr r0, r0, r10\n movw r4, #0xbbbb\n subs r11, r11, r4\n orr r0, r0, r11\n"
        "vdup.32 q0, r1\n vdup.32 q1, r2\n vdup.32 q2, r3\n vdup.32 q3, r12\n"
        "veor q4, q4, q0\n veor q5, q5, q1\n veor q6, q6, q2\n veor q7, q7, q3\n"
        "vorr q4, q4, q5\n vorr q6, q6, q7\n vorr q4, q4, q6\n"
        "vmaxv.u32 r0, q4\n"
        "add sp, sp, #12\n"
        "vpop {d8-d15}\n"
        "pop {r4-r11, pc}\n");
}

static int read_all(void *data, uint32_t size) { return tinyc_host_read(data, size) == size; }

static void *const functions[] = {@FUNCTIONS@};

static uint32_t differs(const uint8_t *a, const uint8_t *b, uint32_t size) {
    uint32_t result = 0u;
    for (uint32_t i = 0u; i < size; i++) { result |= (uint32_t)(a[i] ^ b[i]); }
    return result != 0u;
}

/* Where the output is `ahead` bytes before the input, in memory that ends where memory does; the output is at a multiple of 4. */
static void share(int32_t ahead, uint32_t input_size, uint32_t output_size, uint8_t **input, uint8_t **output) {
    const uint32_t first = ahead > 0 ? (uint32_t)ahead : 0u;
    const uint32_t other = ahead < 0 ? (uint32_t)-ahead : 0u;
    const uint32_t ends[2] = {first + input_size, other + output_size};
    uintptr_t base = input_end - (ends[0] > ends[1] ? ends[0] : ends[1]);
    base -= (base + other) & 3u;
    *input = (uint8_t *)(base + first);
    *output = (uint8_t *)(base + other);
}

/* Each case: function, bytes of parameters, input, stream, output, scratch, the output's misalignment, whether the output lies over the
 * input and how far ahead of it; then the first three. */
__attribute__((noinline)) uint32_t run_all(void) {
    uint32_t cases = 0u;
    begin();
    end();
    for (;; cases++) {
        uint32_t head[9];
        if (!read_all(head, sizeof head)) { return cases; }
        uint8_t *input = (uint8_t *)(input_end - head[2]);
        uint8_t *const stream = (uint8_t *)(stream_end - head[3]);
        uint8_t *const scratch = (uint8_t *)(scratch_end - head[5]);
        uint8_t *output = area + CANARY + head[6];
        if (head[7] != 0u) { share((int32_t)head[8], head[2], head[4], &input, &output); }
        if (!read_all(params, head[1]) || !read_all(input, head[2]) || !read_all(stream, head[3])) { return cases; }
        for (uint32_t i = 0u; i < head[2]; i++) { kept[0][i] = input[i]; }
        for (uint32_t i = 0u; i < head[3]; i++) { kept[1][i] = stream[i]; }
        for (uint32_t i = 0u; i < head[5]; i++) { scratch[i] = (uint8_t)(i * 37u + 11u); }
        for (uint32_t i = 0u; i < sizeof area && i < head[4] + 3u * CANARY; i++) { area[i] = 0xa5u; }
        uint8_t *const lower = (input < output ? input : output) - CANARY;
        for (uint32_t i = 0u; head[7] != 0u && i < CANARY; i++) { lower[i] = 0xa5u; }
        void *const with_stream[5] = {params, input, head[3] > 0u ? stream : output, output, head[5] > 0u ? scratch : (void *)0};
        uint32_t status;
        begin();
        status = checked_call(functions[head[0]], with_stream) != 0u ? 8u : 0u;
        end();
        for (uint32_t i = 0u; i < head[4] + 3u * CANARY && i < sizeof area; i++) {
            const uint8_t *const place = area + i;
            if ((place < output || place >= output + head[4]) && *place != 0xa5u) { status |= 1u; }
        }
        for (uint32_t i = 0u; head[7] != 0u && i < CANARY; i++) { status |= lower[i] != 0xa5u ? 1u : 0u; }
        for (uint32_t i = 0u; i < head[2]; i++) {
            if ((input + i < output || input + i >= output + head[4]) && input[i] != kept[0][i]) { status |= 2u; }
        }
        status |= differs(stream, kept[1], head[3]) << 2;
        tinyc_host_write(&status, sizeof status);
        tinyc_host_write(output, head[4]);
    }
}

int main(void) { return run_all() == 0u ? 1 : 0; }
"""


@dataclass(frozen=True)
class Case:
    """One layer with its input data. `misaligned` moves the output off its 16-byte boundary; `more_scratch` is added to the binding's.
    With `ahead` the output lies so many bytes before the input, over it."""

    kernel: Kernel
    graph: Graph
    inputs: Sequence[np.ndarray[Any, Any]]
    misaligned: int = 0
    more_scratch: int = 0
    ahead: int | None = None


def mve_kernel(op: str, function: str) -> Kernel:
    return variants(op, function)[0]


def variants(op: str, function: str) -> list[Kernel]:
    """The ways in which layers may call a function, the fastest first."""
    return [k for k in kernels_for(CPU)[op] if k.function == function]


def need_qemu() -> None:
    reason = EMULATORS["qemu"].unavailable(CPU)
    if reason is not None:
        pytest.skip(reason)


def build(functions: Sequence[str], folder: Path, kind: str = "gcc", optimize: str = "-O2") -> Image:
    """The image that runs cases of these kernels; skips the test without QEMU or the compiler."""
    need_qemu()
    if not isinstance(try_kind(kind, CPU), Toolchain):
        pytest.skip(f"no {kind} for {CPU.title}: {install_line(kind, CPU)}")
    text = HEADER.replace("@FUNCTIONS@", ", ".join(f"(void *){function}" for function in functions))
    sources = {**runtime_files(dict.fromkeys(functions, "cortex_m_mve")), "main.c": text.encode()}
    return build_image(sources, CPU, folder, toolchain=kind, optimize=optimize)


def packed(case: Case, functions: Sequence[str]) -> bytes:
    """A case as the image reads it."""
    layer = next(case.graph.layers())
    binding: Binding = case.kernel.bind(layer)
    assert isinstance(binding.params, Params)
    params = np.array([int(v) for v in binding.params.fields.values()], np.int32).tobytes()  # type: ignore[call-overload]
    positions = [a.position for a in binding.args if isinstance(a, Input)]
    arrays = [case.inputs[position] for position in positions]
    if any(isinstance(a, Table) for a in binding.args):
        arrays.append(binding.constants[0].values)
    datas = [array.tobytes() for array in arrays]
    stream = datas[1] if len(datas) > 1 else b""
    scratch = binding.scratch + case.more_scratch
    sizes = (len(params), len(datas[0]), len(stream), layer.output.elements, scratch, case.misaligned)
    shared = (case.ahead is not None, case.ahead or 0)
    return struct.pack("<8Ii", functions.index(case.kernel.function), *sizes, *shared) + params + datas[0] + stream


def lead(case: Case) -> int | None:
    """The lead over the layer's input, None where the output must stay apart."""
    return case.kernel.bind(next(case.graph.layers())).overlap.get(0)


def shared(cases: Sequence[Case], more: int = 0) -> list[Case]:
    """Those of the cases whose output may lie over the input, with the output at the lead and `more` bytes before it."""
    found = [(case, lead(case)) for case in cases]
    return [replace(case, ahead=it + more, misaligned=0, more_scratch=0) for case, it in found if it is not None]


def in_place(cases: Sequence[Case]) -> list[Case]:
    """Those of the cases whose output may be at the input's address, with the output there."""
    found = [case for case in cases if 0 in case.kernel.bind(next(case.graph.layers())).in_place]
    return [replace(case, ahead=0, misaligned=0, more_scratch=0) for case in found]


def loose(image: Image, functions: Sequence[str], cases: Sequence[Case]) -> list[Case]:
    """Cases with a lead whose layer is right for a dozen inputs even when the output starts one byte later."""
    later = [case for case in shared(cases, -1) if case.ahead is not None and case.ahead >= 0]
    ends = np.array([-128, 127], np.int8)
    several = [
        replace(case, inputs=[np.random.default_rng(seed).choice(ends, array.shape) for array in case.inputs])
        for case in later
        for seed in range(12)
    ]
    found = {id(case.graph) for case in wrong(image, functions, several)} if several else set()
    return [case for case in later if id(case.graph) not in found]


def wrong(image: Image, functions: Sequence[str], cases: Sequence[Case]) -> list[Case]:
    """The cases whose output is not the reference's."""
    stdin = b"".join(packed(case, functions) for case in cases)
    output = EMULATORS["qemu"].run(image, stdin, entry="run_all", marks=("begin", "end"), timeout=300).output
    found, position = [], 0
    for case in cases:
        want = reference.outputs(case.graph, case.inputs)[0].tobytes()
        found += [case] if output[position + 4 : position + 4 + len(want)] != want else []
        position += 4 + len(want)
    return found


def run(image: Image, functions: Sequence[str], cases: Sequence[Case]) -> list[int]:
    """Checks every case against the numpy reference. Returns the instructions of each."""
    stdin = b"".join(packed(case, functions) for case in cases)
    result = EMULATORS["qemu"].run(image, stdin, entry="run_all", marks=("begin", "end"), timeout=300)
    position = 0
    for number, case in enumerate(cases):
        want = reference.outputs(case.graph, case.inputs)[0].reshape(-1)
        (status,) = struct.unpack_from("<I", result.output, position)
        got = np.frombuffer(result.output, np.int8, want.size, position + 4)
        position += 4 + want.size
        layer = next(case.graph.layers())
        where = f"case {number} {case.kernel.function} {layer.input(0).shape} -> {layer.output.shape} {dict(layer.attributes)}"
        assert_same_bytes(want, got, where)
        assert status == 0, f"{where}: {', '.join(text for bit, text in enumerate(PROBLEMS) if status >> bit & 1)}"
    assert position == len(result.output)
    if result.layers is None:
        return []
    # From begin to end, from end to begin, ...; the first pair has no call inside.
    return list(result.layers[2::2])

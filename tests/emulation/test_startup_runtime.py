# SPDX-License-Identifier: Apache-2.0
"""The support functions of runtime_c/startup: 64-bit and float arithmetic on Xtensa, memory functions on bare metal."""

import struct
from pathlib import Path

import numpy as np
import pytest
from emulated_program import build, need_emulator
from tinyc.emulators import EMULATORS
from tinyc.targets.cpus import CPUS

ARITHMETIC = b"""
#include "tinyc_host.h"
typedef struct { int64_t a; int64_t b; float x; float y; } question;
typedef struct {
  int64_t product; int64_t quotient; int64_t rest; uint64_t unsigned_quotient; uint64_t unsigned_rest;
  int64_t whole; uint64_t unsigned_whole; float ratio; float from_signed; float from_unsigned; uint32_t pad;
} answer;
__attribute__((noinline)) answer calculate(const question *q);
answer calculate(const question *q) {
  answer out;
  out.product = (int64_t)((uint64_t)q->a * (uint64_t)q->b);
  out.quotient = q->a / q->b;
  out.rest = q->a % q->b;
  out.unsigned_quotient = (uint64_t)q->a / (uint64_t)q->b;
  out.unsigned_rest = (uint64_t)q->a % (uint64_t)q->b;
  out.whole = (int64_t)(q->x);
  out.unsigned_whole = (uint64_t)(q->x < 0.0f ? -q->x : q->x);
  out.ratio = q->x / q->y;
  out.from_signed = (float)q->a;
  out.from_unsigned = (float)(uint64_t)q->a;
  out.pad = 0U;
  return out;
}
int main(void) {
  question q;
  while (tinyc_host_read(&q, sizeof q) == sizeof q) {
    const answer out = calculate(&q);
    tinyc_host_write(&out, sizeof out);
  }
  return 0;
}
"""


def integers(count: int, rng: np.random.Generator) -> list[int]:
    """Signed 64-bit numbers of every magnitude, with the edges."""
    edges = [1, -1, 2, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, -(2**63) + 1, 2**24 + 1, 2**25 + 2, -(2**63)]
    random = [int(rng.integers(-(2**63), 2**63 - 1)) >> int(rng.integers(0, 63)) for _ in range(count)]
    return edges + random


def floats(count: int, rng: np.random.Generator) -> list[float]:
    """Floats of every kind: bit patterns at random, subnormals, infinities, zeros, NaN, and the largest."""
    bits = rng.integers(0, 2**32, count, dtype=np.uint32)
    bits[::5] &= np.uint32(0x807FFFFF)
    edges = [0x7F800000, 0xFF800000, 0, 0x80000000, 0x7FC00000, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F800000]
    every = np.concatenate([bits, np.array(edges, np.uint32)]).view(np.float32)
    return [float(value) for value in every]


def truncate(value: float, low: int, high: int) -> int:
    """C's conversion, saturating where C leaves it undefined."""
    return (
        0 if np.isnan(value) else max(low, min(high, int(value))) if np.isfinite(value) else high if value > 0 else low
    )


def test_xtensa_arithmetic_equals_python(tmp_path: Path) -> None:
    core = CPUS["xtensa-lx6"]
    need_emulator("qemu", core)
    image = build(core, "clang", tmp_path, {"main.c": ARITHMETIC})
    rng = np.random.default_rng(7)
    left, right = integers(2000, rng), integers(2000, rng)
    rng.shuffle(right)
    above, below = floats(len(left), rng), floats(len(left), rng)
    rng.shuffle(below)
    cases = list(zip(left, [value or 1 for value in right], above, below, strict=False))
    stdin = b"".join(struct.pack("<qqff", *case) for case in cases)
    output = EMULATORS["qemu"].run(image, stdin, entry="calculate", timeout=60).output
    assert len(output) == 72 * len(cases)
    for number, (a, b, x, y) in enumerate(cases):
        found = struct.unpack_from("<qqqQQqQ", output, 72 * number)
        ua, ub = a % 2**64, b % 2**64
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        if (a, b) != (-(2**63), -1):
            assert found[:3] == (to_signed(a * b), quotient, a - b * quotient), (a, b)
        assert found[3:5] == (ua // ub, ua % ub), (a, b)
        if abs(x) < 2.0**63:
            assert found[5] == truncate(x, -(2**63), 2**63 - 1), x
            assert found[6] == truncate(abs(x), 0, 2**64 - 1), x
        with np.errstate(all="ignore"):
            want = np.array(
                [np.float32(x) / np.float32(y), np.float32(np.int64(a)), np.float32(np.uint64(ua))], np.float32
            )
        got = np.frombuffer(output, np.float32, 3, 72 * number + 56)
        np.testing.assert_array_equal(got, want, err_msg=f"{x} / {y}, {a}")
        assert np.signbit(got[0]) == np.signbit(want[0]) or np.isnan(want[0])


def to_signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


MEMORY = b"""
#include <stddef.h>
#include "tinyc_host.h"
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *left, const void *right, size_t size);
static uint8_t bytes[128];
__attribute__((noinline)) void entry(const uint8_t *job);
/* job: operation, to, from or value, size */
void entry(const uint8_t *job) {
  uint8_t result = 0U;
  const size_t size = job[3];
  if (job[0] == 0U) { memcpy(&bytes[job[1]], &bytes[job[2]], size); }
  if (job[0] == 1U) { memmove(&bytes[job[1]], &bytes[job[2]], size); }
  if (job[0] == 2U) { memset(&bytes[job[1]], job[2], size); }
  if (job[0] == 3U) { const int order = memcmp(&bytes[job[1]], &bytes[job[2]], size); result = (uint8_t)((order > 0) - (order < 0)); }
  tinyc_host_write(&result, 1U);
  tinyc_host_write(bytes, sizeof bytes);
}
int main(void) {
  uint8_t job[4];
  for (uint32_t i = 0U; i < sizeof bytes; ++i) { bytes[i] = (uint8_t)(i * 29U); }
  while (tinyc_host_read(job, sizeof job) == sizeof job) { entry(job); }
  return 0;
}
"""


@pytest.mark.parametrize(
    ("cpu", "kind", "emulator"),
    [
        ("cortex-m0plus", "gcc", "unicorn"),
        ("cortex-m4", "zig", "unicorn"),
        ("rv32imc", "gcc", "unicorn"),
        ("xtensa-lx6", "clang", "qemu"),
    ],
)
def test_memory_functions(cpu: str, kind: str, emulator: str, tmp_path: Path) -> None:
    need_emulator(emulator, CPUS[cpu])
    image = build(CPUS[cpu], kind, tmp_path, {"main.c": MEMORY})
    rng = np.random.default_rng(3)
    jobs = [job(int(operation), rng) for operation in rng.integers(0, 4, 400)]
    stdin = b"".join(bytes(one) for one in jobs)
    output = EMULATORS[emulator].run(image, stdin, entry="entry", timeout=60).output
    memory = bytearray((i * 29) % 256 for i in range(128))
    for number, (operation, to, source, size) in enumerate(jobs):
        left, right = bytes(memory[to : to + size]), bytes(memory[source : source + size])
        order = ((left > right) - (left < right)) % 256 if operation == 3 else 0
        if operation < 3:
            memory[to : to + size] = bytes([source]) * size if operation == 2 else right
        assert output[129 * number : 129 * (number + 1)] == bytes([order]) + memory, (operation, to, source, size)


def job(operation: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Operation, destination, source, size: overlapping for memmove only."""
    if operation == 0:
        return 0, int(rng.integers(64, 80)), int(rng.integers(0, 16)), int(rng.integers(0, 49))
    size = int(rng.integers(0, 64))
    return operation, int(rng.integers(0, 64)), int(rng.integers(0, 64)), size

# SPDX-License-Identifier: Apache-2.0
"""A small hand-written model library with the generated C API, and what it must compute."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyc.boards import Board
from tinyc.projects import ProjectInfo, TensorInfo, Vector

LABELS = ("yes", "no", 'a "quoted" one', "tab\there")

_HEADER = """\
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

{macros}
typedef struct {{
  int8_t arena[{arena}];
}} {name}_context;

{accessors}
void {name}_run({name}_context *context);
{labels}
#ifdef __cplusplus
}}
#endif

#endif
"""


@dataclass(frozen=True)
class FakeModel:
    """Output byte i is 3 * (sum over inputs of byte (i + 1) modulo the input's size) + 7 * i + 1, modulo 256."""

    name: str = "kws"
    inputs: tuple[int, ...] = (10,)
    outputs: tuple[int, ...] = (4,)
    labels: tuple[str, ...] = ()

    def suffix(self, sizes: tuple[int, ...], index: int) -> str:
        return "" if len(sizes) == 1 else f"_{index}"

    def expected(self, data: bytes) -> bytes:
        parts, start = [], 0
        for size in self.inputs:
            parts.append(data[start : start + size])
            start += size
        total = sum(self.outputs)
        return bytes((3 * sum(part[(i + 1) % len(part)] for part in parts) + 7 * i + 1) % 256 for i in range(total))

    def vector(self, seed: int) -> tuple[bytes, bytes]:
        data = bytes((seed * 31 + 17 * i * i + 5 * i) % 256 for i in range(sum(self.inputs)))
        return data, self.expected(data)

    def library(self) -> dict[str, bytes]:
        """The flat model library."""
        return {
            f"{self.name}.c": self._source().encode(),
            f"{self.name}.h": self._header().encode(),
            "tinyc_mix.c": _KERNEL_C.encode(),
            "tinyc_mix.h": _KERNEL_H.encode(),
        }

    def _header(self) -> str:
        macros, accessors = [], []
        for direction, sizes, const in (("input", self.inputs, ""), ("output", self.outputs, "const ")):
            for index, size in enumerate(sizes):
                suffix = self.suffix(sizes, index)
                macros.append(f"#define {self.name.upper()}_{direction.upper()}{suffix.upper()}_SIZE {size}")
                accessors.append(f"{const}int8_t *{self.name}_{direction}{suffix}({self.name}_context *context);")
        labels = ""
        if self.labels:
            labels = f"#define {self.name.upper()}_LABEL_COUNT {len(self.labels)}\n"
            labels += f"extern const char *const {self.name}_labels[{self.name.upper()}_LABEL_COUNT];\n"
        return _HEADER.format(
            upper=self.name.upper(),
            name=self.name,
            macros="\n".join(macros),
            arena=sum(self.inputs) + sum(self.outputs),
            accessors="\n".join(accessors),
            labels=labels,
        )

    def _source(self) -> str:
        name, offset = self.name, 0
        lines = ["/* SPDX-License-Identifier: Apache-2.0 */", f'#include "{name}.h"', '#include "tinyc_mix.h"', ""]
        calls = []
        for direction, sizes, const in (("input", self.inputs, ""), ("output", self.outputs, "const ")):
            for index, size in enumerate(sizes):
                accessor = f"{name}_{direction}{self.suffix(sizes, index)}"
                lines.append(
                    f"{const}int8_t *{accessor}({name}_context *context) {{ return &context->arena[{offset}]; }}"
                )
                if direction == "input":
                    calls.append((offset, size))
                offset += size
        start, total = sum(self.inputs), sum(self.outputs)
        lines += ["", f"void {name}_run({name}_context *context) {{"]
        lines.append(f"  tinyc_mix_start(&context->arena[{start}], {total});")
        for at, size in calls:
            lines.append(f"  tinyc_mix_add(&context->arena[{at}], {size}, &context->arena[{start}], {total});")
        lines.append("}")
        if self.labels:
            quoted = ", ".join('"' + label.replace('"', '\\"').replace("\t", "\\t") + '"' for label in self.labels)
            lines.append(f"const char *const {name}_labels[{len(self.labels)}] = {{{quoted}}};")
        return "\n".join(lines) + "\n"

    def info(self, board: Board, framework: str, *, vectors: int = 2) -> ProjectInfo:
        return ProjectInfo(
            name=self.name,
            board=board,
            framework=framework,
            inputs=tuple(self._tensor(self.inputs, index) for index in range(len(self.inputs))),
            outputs=tuple(self._tensor(self.outputs, index) for index in range(len(self.outputs))),
            arena_bytes=sum(self.inputs) + sum(self.outputs),
            model_file=f"{self.name}.tflite",
            version="0.1.0",
            labels=self.labels,
            vectors=tuple(Vector(*self.vector(seed)) for seed in range(vectors)),
        )

    def _tensor(self, sizes: tuple[int, ...], index: int) -> TensorInfo:
        return TensorInfo("int8_t", sizes[index], sizes[index], self.suffix(sizes, index), 0.0625, -3)


_KERNEL_H = """\
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TINYC_MIX_H
#define TINYC_MIX_H
#include <stdint.h>
void tinyc_mix_start(int8_t *output, int32_t output_size);
void tinyc_mix_add(const int8_t *input, int32_t input_size, int8_t *output, int32_t output_size);
#endif
"""

_KERNEL_C = """\
/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyc_mix.h"

void tinyc_mix_start(int8_t *output, int32_t output_size) {
  for (int32_t i = 0; i < output_size; i++) {
    output[i] = (int8_t)(uint8_t)(7 * i + 1);
  }
}

void tinyc_mix_add(const int8_t *input, int32_t input_size, int8_t *output, int32_t output_size) {
  for (int32_t i = 0; i < output_size; i++) {
    output[i] = (int8_t)(uint8_t)(output[i] + 3 * input[(i + 1) % input_size]);
  }
}
"""

SINGLE = FakeModel()
LABELLED = FakeModel(labels=LABELS)
SEVERAL = FakeModel(name="two_by_three", inputs=(7, 12), outputs=(3, 5, 1))
MODELS = {"single": SINGLE, "labelled": LABELLED, "several": SEVERAL}


def wrong(info: ProjectInfo) -> ProjectInfo:
    """The same project with the last byte of the last reference output off by one: its self-test must fail."""
    given, wanted = info.vectors[-1].input, info.vectors[-1].output
    broken = wanted[:-1] + bytes([(wanted[-1] + 1) % 256])
    return replace(info, vectors=(*info.vectors[:-1], Vector(given, broken)))

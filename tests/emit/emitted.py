# SPDX-License-Identifier: Apache-2.0
"""Graphs with hostile names, random small networks, and compilers to try the emitted C with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tinyc.choose import choose
from tinyc.emit import emit
from tinyc.graph import Graph, Node, Quantization, Source, Tensor
from tinyc.memory import plan_memory
from tinyc.ops import all_ops
from tinyc.program import Program
from tinyc.targets.cpus import find_cpu

#: Names that end or nest comments, break lines, look like escapes, formats or trigraphs, or are not ASCII.
HOSTILE_NAMES = (
    "*\\ int injected; /*",
    "a*/b",
    "*\\",
    "\\*",
    "??/",
    "x???/",
    "\"quoted\" 'text'",
    "line\nint injected;\r\n",
    "%s%n{{ name }}",
    "größe ≠ 大小 \u202e",
    "/*",
    "//",
    "back\\slash\\",
    "#error x",
    "",
    "a" * 300,
)

#: Names of inputs and outputs that might meet C words, index forms or each other.
PORT_NAMES = (
    "run",
    "0",
    "00",
    "1_",
    "input_0",
    "int",
    "same",
    "same",
    "SAME ",
    "9lives",
    "",
    "größe",
    "context",
    "labels",
    "x:0",
)

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wmissing-prototypes", "-Werror")
CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
COMPILERS = {"gcc": ("gcc",), "clang": ("clang",), "arm-none-eabi-gcc": ("arm-none-eabi-gcc", *CORTEX_M4)}


def library(graph: Graph, name: str, cpu: str = "host", optimize: str = "balanced") -> dict[str, bytes]:
    """The emitted files of `graph`."""
    program = lowered(graph, cpu, optimize)
    return emit(program, plan_memory(program), name)


def lowered(graph: Graph, cpu: str = "host", optimize: str = "balanced") -> Program:
    return choose(graph, find_cpu(cpu), optimize).program


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """`files` in a new `folder`."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def run(command: Sequence[str | Path], folder: Path | None = None, stdin: bytes = b"") -> bytes:
    """Runs a command that must succeed; its standard output."""
    done = subprocess.run([str(part) for part in command], cwd=folder, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))[:300]}\n{done.stderr.decode(errors='replace')[:3000]}"
    return done.stdout


def missing(*programs: str) -> str:
    """The reason to skip a test that needs `programs`; empty when all are there."""
    absent = [program for program in programs if shutil.which(program) is None]
    return f"{', '.join(absent)} not on PATH" if absent else ""


def case_graphs(limit: int = 2) -> Iterator[tuple[str, Graph]]:
    """Up to `limit` cases of every operator."""
    for op in all_ops().values():
        for count, (title, graph) in enumerate(op.cases()):
            if count < limit:
                yield f"{op.name} {title}", graph


def renamed(graph: Graph, start: int) -> Graph:
    """`graph` with a hostile name for every tensor, port, label and its file."""

    def name(i: int) -> str:
        return HOSTILE_NAMES[(start + i) % len(HOSTILE_NAMES)]

    ports = [PORT_NAMES[(start + i) % len(PORT_NAMES)] for i in range(len(graph.inputs) + len(graph.outputs))]
    return replace(
        graph,
        tensors=tuple(replace(tensor, name=name(i)) for i, tensor in enumerate(graph.tensors)),
        input_names=tuple(ports[: len(graph.inputs)]),
        output_names=tuple(ports[len(graph.inputs) :]),
        labels=HOSTILE_NAMES,
        source=Source(name(0), "0" * 64, 1),
    )


class Maker:
    """Grows a random network of int8 tensors [1, height, width, channels]."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.nodes: list[Node] = []

    def add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def int8(self, shape: tuple[int, ...]) -> int:
        scale = float(np.float32(self.random.uniform(0.01, 0.1)))
        return self.add(
            Tensor(
                f"t{len(self.tensors)}", shape, "int8", Quantization((scale,), (int(self.random.integers(-20, 20)),))
            )
        )

    def like(self, source: int) -> int:
        return self.add(replace(self.tensors[source], name=f"t{len(self.tensors)}"))

    def constant(self, values: Any, dtype: str, quantization: Quantization | None = None) -> int:
        data = np.asarray(values, dtype)
        return self.add(Tensor(f"t{len(self.tensors)}", data.shape, dtype, quantization, data))

    def node(self, op: str, inputs: Sequence[int], output: int, **attributes: Any) -> int:
        self.nodes.append(Node(op, tuple(inputs), (output,), attributes, 1, len(self.nodes)))
        return output

    def conv(self, source: int) -> int:
        _, height, width, depth = self.tensors[source].shape
        filters = int(self.random.integers(1, 9))
        scales = tuple(float(np.float32(s)) for s in self.random.uniform(0.001, 0.02, filters))
        weights = self.constant(
            self.random.integers(-127, 128, (filters, 3, 3, depth)), "int8", Quantization(scales, (0,) * filters)
        )
        bias = self.constant(self.random.integers(-500, 500, filters), "int32")
        attributes = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": "RELU"}
        return self.node("CONV_2D", (source, weights, bias), self.int8((1, height, width, filters)), **attributes)

    def pad(self, source: int) -> int:
        _, height, width, depth = self.tensors[source].shape
        output = self.add(
            replace(self.tensors[source], name=f"t{len(self.tensors)}", shape=(1, height + 1, width + 2, depth))
        )
        paddings = self.constant([[0, 0], [1, 0], [1, 1], [0, 0]], "int32")
        return self.node("PAD", (source, paddings), output)

    def grow(self, live: list[int]) -> int:
        """One more layer on randomly chosen live tensors."""
        source = int(self.random.choice(live))
        same = [t for t in live if self.tensors[t].shape == self.tensors[source].shape]
        match int(self.random.integers(0, 8)):
            case 0:
                return self.conv(source)
            case 1:
                return self.pad(source)
            case 2:
                return self.node("RELU", (source,), self.like(source))
            case 3:
                other = int(self.random.choice(same))
                return self.node("ADD", (source, other), self.int8(self.tensors[source].shape), activation="NONE")
            case 4:
                other = int(self.random.choice(same))
                return self.node("MUL", (source, other), self.int8(self.tensors[source].shape), activation="RELU6")
            case 5:
                _, height, width, depth = self.tensors[source].shape
                output = self.add(
                    replace(self.tensors[source], name=f"t{len(self.tensors)}", shape=(1, height, width, 2 * depth))
                )
                return self.node("CONCATENATION", (source, source), output, axis=3, activation="NONE")
            case 6:
                _, height, width, depth = self.tensors[source].shape
                shape = self.constant([1, width, height, depth], "int32")
                output = self.add(
                    replace(self.tensors[source], name=f"t{len(self.tensors)}", shape=(1, width, height, depth))
                )
                return self.node("RESHAPE", (source, shape), output, new_shape=(1, width, height, depth))
            case _:
                return self.node("QUANTIZE", (source,), self.int8(self.tensors[source].shape))


def random_graph(seed: int) -> Graph:
    """A valid network of 1 to 10 layers with 1 to 3 inputs and 1 to 4 outputs: any tensors, inputs and repeats included."""
    maker = Maker(seed)
    random = maker.random
    shapes = [(1, int(random.integers(1, 6)), int(random.integers(1, 6)), int(random.integers(1, 5)))]
    inputs = [maker.int8(shapes[0]) for _ in range(int(random.integers(1, 4)))]
    live = list(inputs)
    for _ in range(int(random.integers(1, 11))):
        live.append(maker.grow(live))
    outputs = [live[-1], *(int(random.choice(live)) for _ in range(int(random.integers(0, 4))))]
    if random.integers(0, 2):
        outputs.append(
            maker.node("DEQUANTIZE", (live[-1],), maker.add(Tensor("real", maker.tensors[live[-1]].shape, "float32")))
        )
    names = tuple(maker.tensors[i].name for i in range(len(maker.tensors)))
    return Graph(
        tuple(maker.tensors),
        tuple(maker.nodes),
        tuple(inputs),
        tuple(outputs),
        tuple(names[i] for i in inputs),
        tuple(names[i] for i in outputs),
        source=Source(f"random{seed}.tflite", "0" * 64, 1),
    )


def constant_outputs() -> Graph:
    """Nothing to compute: a view of the input and two constants, of which one holds what has no literal."""
    maker = Maker(1)
    source = maker.int8((1, 2, 3, 1))
    shape = maker.constant([1, 3, 2, 1], "int32")
    view = maker.node(
        "RESHAPE", (source, shape), maker.add(replace(maker.tensors[source], name="view", shape=(1, 3, 2, 1)))
    )
    table = maker.constant([[-128, 0, 127]], "int8", Quantization((0.5,), (3,)))
    reals = maker.constant([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4028235e38], "float32")
    nodes = tuple(replace(node, attributes={"new_shape": (1, 3, 2, 1)}) for node in maker.nodes)
    names = ("view", "table", "reals")
    return Graph(tuple(maker.tensors), nodes, (source,), (view, table, reals), ("x",), names)

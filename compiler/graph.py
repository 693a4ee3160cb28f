# SPDX-License-Identifier: Apache-2.0
"""The network as the compiler sees it: tensors, nodes and the graph that connects them.

All classes are frozen: a pass takes a graph and returns a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Element types, by the names that TFLite and numpy share. Types that only operators unknown to tinyc use are here too,
#: so that such a model can be inspected: 4- and 2-bit integers are held one per byte, and types without a fixed size or
#: without a numpy type are opaque (`np.void`, 0 bytes).
DTYPES: Mapping[str, type[np.generic]] = {
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "float32": np.float32,
    "bool": np.bool_,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "float16": np.float16,
    "float64": np.float64,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "int2": np.int8,
    "int4": np.int8,
    "uint4": np.uint8,
    "bfloat16": np.void,
    "float8_e4m3fn": np.void,
    "float8_e5m2": np.void,
    "string": np.void,
    "resource": np.void,
    "variant": np.void,
}


def short_name(name: str, limit: int = 60) -> str:
    """A tensor's name for people: the first of fused names, its end when it is long."""
    first = name.split(";")[0]
    return first if len(first) <= limit else "..." + first[3 - limit :]


@dataclass(frozen=True)
class Quantization:
    """real = scale * (q - zero_point), per tensor (one entry) or per channel along `axis` (one entry per channel).

    `scale` holds float32 values, kept as Python floats without loss.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        return len(self.scale) > 1


@dataclass(frozen=True, eq=False)
class Tensor:
    """One value in the graph. `data` is set for constants only and has the tensor's shape and dtype.

    A `variable` tensor keeps its value from one inference to the next; operators read and update it as an input.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: Array | None = None
    variable: bool = False

    @property
    def elements(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def bytes(self) -> int:
        """Size in bytes, densely packed."""
        return self.elements * np.dtype(DTYPES[self.dtype]).itemsize

    @property
    def constant(self) -> bool:
        return self.data is not None

    @property
    def scale(self) -> float:
        """The per-tensor scale. A tensor without quantization has none; the operators' constraints check that first."""
        assert self.quantization is not None and len(self.quantization.scale) >= 1, self.name
        return self.quantization.scale[0]

    @property
    def zero_point(self) -> int:
        assert self.quantization is not None and len(self.quantization.zero_point) >= 1, self.name
        return self.quantization.zero_point[0]


@dataclass(frozen=True)
class Node:
    """One operator. Inputs and outputs are indices into `Graph.tensors`; an absent optional input is -1."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    index: int = 0
    """Position in the source file, which error messages and reports use."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A node together with its tensors: what operators and kernels work on."""

    node: Node
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    @property
    def op(self) -> str:
        return self.node.op

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.node.attributes

    def input(self, position: int) -> Tensor:
        """The input at `position`, which must be present."""
        tensor = self.inputs[position]
        assert tensor is not None, f"{self.where} has no input {position}"
        return tensor

    def optional(self, position: int) -> Tensor | None:
        """The input at `position`, or None when it is absent or the node has fewer inputs."""
        return self.inputs[position] if position < len(self.inputs) else None

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    @property
    def where(self) -> str:
        """For messages: `operator 3 CONV_2D 'model/conv/Relu'`."""
        name = short_name(self.outputs[0].name) if self.outputs else ""
        return f"operator {self.node.index} {self.node.op} '{name}'"


@dataclass(frozen=True)
class Source:
    """Where a graph came from."""

    file_name: str = ""
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in execution order.

    `input_names` and `output_names` are signature names where the file has them, else tensor names; `labels` are the
    class labels of output 0 from the file's metadata, if any; `preprocessing` is the JSON of how inputs are made (tinyc.data), if
    the file has it.
    """

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    source: Source = Source()
    preprocessing: str = ""

    def layer(self, node: Node) -> Layer:
        return Layer(
            node,
            tuple(self.tensors[i] if i >= 0 else None for i in node.inputs),
            tuple(self.tensors[i] for i in node.outputs),
        )

    def layers(self) -> Iterator[Layer]:
        return (self.layer(node) for node in self.nodes)

    @property
    def input_tensors(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[i] for i in self.inputs)

    @property
    def output_tensors(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[i] for i in self.outputs)


def single_node_graph(
    op: str,
    inputs: tuple[Tensor | None, ...],
    outputs: tuple[Tensor, ...],
    attributes: Mapping[str, Any] | None = None,
    version: int = 1,
) -> Graph:
    """A graph of one operator, for test cases: its non-constant inputs are the graph's inputs."""
    tensors: list[Tensor] = []
    positions: list[int] = []
    for tensor in inputs:
        if tensor is None:
            positions.append(-1)
        elif any(known is tensor for known in tensors):
            positions.append(next(i for i, known in enumerate(tensors) if known is tensor))
        else:
            positions.append(len(tensors))
            tensors.append(tensor)
    graph_inputs = tuple(i for i, tensor in enumerate(tensors) if not tensor.constant)
    graph_outputs = tuple(range(len(tensors), len(tensors) + len(outputs)))
    node = Node(op, tuple(positions), graph_outputs, dict(attributes or {}), version)
    tensors.extend(outputs)
    return Graph(
        tuple(tensors),
        (node,),
        graph_inputs,
        graph_outputs,
        tuple(tensors[i].name for i in graph_inputs),
        tuple(tensors[i].name for i in graph_outputs),
    )

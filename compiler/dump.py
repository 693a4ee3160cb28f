# SPDX-License-Identifier: Apache-2.0
"""The stages of the compiler as text, for `--dump`."""

from __future__ import annotations

from .emit import shape_text, shapes_text
from .graph import Graph, Layer, Tensor
from .memory import MemoryMap
from .program import Program


def graph_text(graph: Graph) -> str:
    """One line per layer: outputs = OP(inputs) attributes."""
    lines = [f"input  {_tensor(t)}" for t in graph.input_tensors]
    lines += [f"{layer.node.index:4d}  {_layer(layer)}" for layer in graph.layers()]
    lines += [f"output {_tensor(t)}" for t in graph.output_tensors]
    return "\n".join(lines)


def _layer(layer: Layer) -> str:
    inputs = ", ".join(
        "absent" if t is None else f"'{t.name}'" if not t.constant else f"const {shape_text(t.shape)}"
        for t in layer.inputs
    )
    attributes = ", ".join(f"{key}={value}" for key, value in layer.attributes.items())
    return f"{', '.join(_tensor(t) for t in layer.outputs)} = {layer.op}({inputs}) {attributes}".rstrip()


def _tensor(tensor: Tensor) -> str:
    return f"'{tensor.name}' {tensor.dtype}{shape_text(tensor.shape)}"


def program_text(program: Program) -> str:
    """One line per step: the kernel, what it computes, and its memory rules."""
    lines = [f"for {program.cpu.title}"]
    for step in program.steps:
        scratch = f", scratch {step.binding.scratch} B" if step.binding.scratch else ""
        tables = sum(constant.values.nbytes for constant in step.binding.constants)
        packed = f", packed tables {tables} B" if tables else ""
        lines.append(
            f"{step.index:4d}  {step.kernel.function} ({step.kernel.isa}) {step.layer.op} {shapes_text(step)}{packed}{scratch}"
        )
    shared = [(tensor, root) for tensor, root in program.storage.items() if tensor != root]
    lines += [
        f"shares memory: '{program.tensor(tensor).name}' in '{program.tensor(root).name}'" for tensor, root in shared
    ]
    return "\n".join(lines)


def plan_text(memory: MemoryMap) -> str:
    """The memory map with its certificate."""
    arena = memory.arena
    lines = [
        f"arena {memory.size} B, lower bound {arena.lower_bound} B, optimal: {str(arena.optimal).lower()}, found by {arena.method}"
    ]
    lines += [
        f"  {offset:8d} {buffer.size:8d} B  layers {buffer.first}-{buffer.last}  {buffer.label}"
        for offset, buffer in memory.rows
    ]
    return "\n".join(lines)

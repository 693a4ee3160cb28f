# SPDX-License-Identifier: Apache-2.0
"""Graph → Program: picks a kernel for every layer and decides which tensors share memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .graph import Graph, Layer
from .ops import all_ops
from .program import Program, Step
from .select import Candidate, Limits, select
from .targets.cpus import Cpu

#: What a build optimizes for, and the compiler flag that goes with it.
OPTIMIZE: Mapping[str, str] = {"speed": "-O2", "balanced": "-O2", "size": "-Os"}


def lower(graph: Graph, cpu: Cpu, optimize: str = "balanced", limits: Limits = Limits()) -> Program:  # noqa: B008
    """Kernel calls for `graph` on `cpu`, chosen for `optimize` within `limits`. Views cost no call."""
    return assemble(graph, cpu, select(computed(graph), cpu, optimize, limits))


def computed(graph: Graph) -> list[Layer]:
    """The layers that need a kernel: all but views."""
    return [layer for layer in graph.layers() if not all_ops()[layer.op].view]


def assemble(graph: Graph, cpu: Cpu, candidates: Sequence[Candidate]) -> Program:
    """The program of `graph` with these kernels, one per computed layer."""
    chosen = iter(candidates)
    steps: list[Step] = []
    storage = {index: index for index in graph.inputs}
    last_use = _last_use(graph)
    for position, layer in enumerate(graph.layers()):
        if all_ops()[layer.op].view:
            storage[layer.node.outputs[0]] = storage[layer.node.inputs[0]]
            continue
        candidate = next(chosen)
        step = Step(len(steps), layer, candidate.kernel, candidate.binding)
        for output in layer.node.outputs:
            storage[output] = output
        shared = _in_place_input(step, position, storage, last_use, graph)
        if shared is not None:
            storage[layer.node.outputs[0]] = shared
        steps.append(step)
    return Program(graph, cpu, tuple(steps), storage)


def _last_use(graph: Graph) -> dict[int, int]:
    """Position of the last node that reads each tensor; graph outputs are read after the end."""
    last: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        last.update({index: position for index in node.inputs if index >= 0})
    last.update({index: len(graph.nodes) for index in graph.outputs})
    return last


def _in_place_input(
    step: Step, position: int, storage: dict[int, int], last_use: dict[int, int], graph: Graph
) -> int | None:
    """The storage tensor that output 0 of `step` may overwrite: an input that nothing reads later, of at least the output's size."""
    size = step.layer.output.bytes
    for candidate in step.binding.in_place:
        index = step.layer.node.inputs[candidate]
        if index not in storage:
            continue
        root = storage[index]
        aliases = [other for other, its_root in storage.items() if its_root == root]
        others = [
            i for k, i in enumerate(step.layer.node.inputs) if k != candidate and i in storage and storage[i] == root
        ]
        alive = any(last_use.get(other, -1) > position for other in aliases)
        if not alive and not others and graph.tensors[root].bytes >= size:
            return root
    return None

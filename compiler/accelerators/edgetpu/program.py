# SPDX-License-Identifier: Apache-2.0
"""The Edge TPU as a step of a program: the operator, and the call into the driver with its tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...errors import ModelError
from ...graph import DTYPES, Array, Graph, Layer, Node
from ...ops import Op
from ...program import (
    AcceleratorContext,
    Binding,
    Constant,
    InputArray,
    OutputArray,
    Params,
    ParamsPointer,
    Scalar,
    Scratch,
    Table,
    Value,
)
from ...targets import Kernel
from .. import Accelerator, Simulation
from .executable import Package
from .reader import CUSTOM_OP, bindings, is_edgetpu, read, unsupported
from .tables import ExecutableTables, make_tables

#: Bytes of code of `tinyc_edgetpu_run.c`, `..._open.c` and `..._dfu.c` on a Cortex-M7 with -Os, and a bit.
CODE_BYTES = 3000


@lru_cache(maxsize=8)
def _read(options: bytes, where: str) -> Package:
    return read(options, where)


def package_of(node: Node) -> Package:
    """The compiled program in an Edge TPU operator. Raises ModelError when it is damaged."""
    return _read(node.attributes.get("custom_options", b""), f"operator {node.index} edgetpu-custom-op")


def _is_supported(layer: Layer) -> str | None:
    """The program is intact, for one Edge TPU, and all its transfers are known in advance."""
    try:
        return "; ".join(unsupported(package_of(layer.node))) or None
    except ModelError as error:
        return f"{error.where}: {error.found}"


def _fits_tensors(layer: Layer) -> str | None:
    """The program's inputs and outputs are the operator's tensors."""
    tensors = [tensor for tensor in layer.inputs if tensor is not None]
    if len(tensors) < len(layer.inputs):
        return "an absent input"
    graph = Graph((*tensors, *layer.outputs), (), (), ())
    node = Node(
        layer.node.op,
        tuple(range(len(tensors))),
        tuple(range(len(tensors), len(tensors) + len(layer.outputs))),
        layer.node.attributes,
        layer.node.version,
        layer.node.index,
    )
    try:
        bindings(graph, node, package_of(layer.node).inference)
        make_tables(package_of(layer.node), len(layer.outputs), "program")
    except ModelError as error:
        return error.found
    return None


def _reference(layer: Layer, arrays: Sequence[Array | None]) -> Sequence[Array]:
    """Made-up outputs: any numbers, the same ones for the same inputs. What the chip computes is not known."""
    given = hashlib.sha256(b"".join(array.tobytes() for array in arrays if array is not None)).digest()
    found = []
    for position, tensor in enumerate(layer.outputs):
        data = hashlib.shake_128(given + bytes([position])).digest(tensor.bytes)
        found.append(np.frombuffer(data, DTYPES[tensor.dtype]).reshape(tensor.shape))
    return found


def _no_cases() -> Iterator[tuple[str, Graph]]:
    return iter(())


def _options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return options


def _output_shapes(layer: Layer) -> Sequence[tuple[int, ...]]:
    return [tensor.shape for tensor in layer.outputs]


OP = Op(
    name=CUSTOM_OP,
    versions=(1, 1),
    inputs=("input*",),
    constraints=(_is_supported, _fits_tensors),
    output_shapes=_output_shapes,
    reference=_reference,
    cases=_no_cases,
    attributes=_options,
    export=_options,
)


def _words(name: str, rows: Sequence[Sequence[int]], comment: str) -> Constant:
    return Constant(name, np.asarray(rows, np.uint32).reshape(-1), comment)


def _executable(tables: ExecutableTables | None, name: str) -> tuple[dict[str, Value], list[Constant]]:
    """The fields of a tinyc_edgetpu_executable, and its tables."""
    if tables is None:
        return {f"{name}.{field}": 0 for field in ("code", "parameters", "steps", "step_count")}, []
    steps = [(step.tag | step.last << 8 | step.port << 16, step.offset, step.length) for step in tables.steps]
    constants = [
        Constant(f"{name}_code", np.frombuffer(tables.code, np.uint8)),
        _words(f"{name}_steps", steps, "tag, offset, bytes"),
    ]
    parameters: Value = 0
    if tables.parameters:
        constants.append(Constant(f"{name}_parameters", np.frombuffer(tables.parameters, np.uint8)))
        parameters = Table(f"{name}_parameters")
    fields: dict[str, Value] = {
        f"{name}.code": Table(f"{name}_code"),
        f"{name}.parameters": parameters,
        f"{name}.steps": Table(f"{name}_steps"),
        f"{name}.step_count": len(tables.steps),
    }
    return fields, constants


def bind(layer: Layer) -> Binding:
    """The call of the driver; everything that it needs to know is in tables."""
    tables = make_tables(package_of(layer.node), len(layer.outputs), layer.where)
    caching, constants = _executable(tables.caching, "caching")
    inference, more = _executable(tables.inference, "inference")
    outputs: list[tuple[int, ...]] = []
    runs: list[tuple[int, ...]] = []
    for row in tables.outputs:
        outputs.append((row.place, row.size, row.flip, len(runs), len(row.runs)))
        runs += [(run.source, run.length, run.count, run.stride) for run in row.runs]
    rows = [
        _words("inputs", [(row.size, row.flip) for row in tables.inputs], "bytes, flip"),
        _words("outputs", outputs, "place, bytes, flip, first run, runs"),
        _words("runs", runs, "source, length, count, stride"),
    ]
    fields: dict[str, Value] = {
        **caching,
        **inference,
        "inputs": Table("inputs"),
        "outputs": Table("outputs"),
        "runs": Table("runs"),
        "token": (tables.token & 0xFFFFFFFF, tables.token >> 32),
    }
    return Binding(
        (
            AcceleratorContext(),
            ParamsPointer(),
            InputArray(),
            OutputArray(),
            Scratch() if tables.scratch else Scalar(0),
        ),
        Params("tinyc_edgetpu_program", fields),
        (*constants, *more, *rows),
        tables.scratch,
    )


def _cost(layer: Layer) -> float:
    """Instructions of the host: it moves what is received. The chip's time is not counted."""
    return float(sum(tensor.bytes for tensor in (*layer.inputs, *layer.outputs) if tensor is not None))


KERNEL = Kernel("tinyc_edgetpu_run", CUSTOM_OP, bind, _cost, isa="edgetpu", code=CODE_BYTES, dtype=None)


def _simulate(graph: Graph, given: bytes, expected: Sequence[Sequence[Array | None]]) -> Simulation:
    """The simulated device, which wants the inputs that `expected` has and answers with its outputs."""
    from ...emulators.edgetpu_device import Device, Peer

    nodes = [node for node in graph.nodes if is_edgetpu(node)]
    packages = [package_of(node) for node in nodes]
    inputs: list[Mapping[str, bytes]] = []
    outputs: list[Mapping[str, bytes]] = []
    for values in expected:
        for node, package in zip(nodes, packages, strict=True):
            ins, outs = bindings(graph, node, package.inference)
            inputs.append({layer.name: _bytes(values[index]) for index, layer in ins})
            outputs.append({layer.name: _bytes(values[index]) for index, layer in outs})
    device = Device(
        packages,
        inputs=inputs,
        outputs=lambda layer, run: outputs[run].get(layer.name, bytes(layer.bytes)),
    )
    peer = Peer(device, given)
    return Simulation(peer, lambda: bytes(peer.result), lambda: peer.problem, lambda: device.received)


def _bytes(array: Array | None) -> bytes:
    assert array is not None
    return array.tobytes()


ACCELERATOR = Accelerator(
    name="edgetpu",
    title="Edge TPU",
    op=OP,
    kernel=KERNEL,
    context="tinyc_edgetpu",
    header="tinyc_edgetpu.h",
    files=("tinyc_edgetpu_open.c", "tinyc_edgetpu_dfu.c"),
    proves=(
        "The Edge TPU part: its protocol was checked by a simulated USB device, every byte sent to it compared. "
        "Its arithmetic is not emulated: its outputs were made up."
    ),
    simulate=_simulate,
    stream=("tinyc_edgetpu_stream.c",),
)

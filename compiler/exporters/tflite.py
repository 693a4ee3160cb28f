# SPDX-License-Identifier: Apache-2.0
"""Graph → `.tflite` bytes: for oracles in tests, examples, and tools that take a model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np

from ..errors import ModelError
from ..graph import Graph, Layer, Tensor
from ..importers.schema import (
    BUILTIN_OPERATORS,
    BUILTIN_OPTIONS,
    CUSTOM,
    FILE_IDENTIFIER,
    OPTIONS_OF,
    PLACEHOLDER_FOR_GREATER_OP_CODES,
    SCHEMA_VERSION,
    TABLES,
    TENSOR_TYPES,
)
from ..importers.tflite import OPAQUE_TYPES, PACKED_BITS
from ..ops import all_ops
from .flatbuffer import write
from .metadata import entries, with_labels, with_metadata

DESCRIPTION = "tinyc exported"


def to_bytes(graph: Graph) -> bytes:
    """A `.tflite` file of the graph: one subgraph, one buffer per constant, a signature with the graph's names, its labels and
    preprocessing as metadata.

    Raises:
        ModelError: an operator or an attribute that a TFLite file cannot hold.
    """
    return with_labels(file_bytes(with_metadata(model_tables(graph), entries(graph))), graph.labels)


def file_bytes(model: Mapping[str, Any]) -> bytes:
    """The file of a model that is given as the schema's tables, see :func:`.flatbuffer.write`."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(write(builder, "Model", model), FILE_IDENTIFIER)
    return bytes(builder.Output())


def model_tables(graph: Graph) -> dict[str, Any]:
    """The graph as the schema's `Model` table."""
    codes = list(dict.fromkeys((node.op, node.version) for node in graph.nodes))
    constants = [i for i, tensor in enumerate(graph.tensors) if tensor.data is not None]
    buffer_of = {tensor: 1 + position for position, tensor in enumerate(constants)}
    return {
        "version": SCHEMA_VERSION,
        "operator_codes": [_operator_code(op, version) for op, version in codes],
        "subgraphs": [
            {
                "tensors": [_tensor(tensor, buffer_of.get(i, 0)) for i, tensor in enumerate(graph.tensors)],
                "inputs": graph.inputs,
                "outputs": graph.outputs,
                "operators": [_operator(graph.layer(n), codes.index((n.op, n.version))) for n in graph.nodes],
                "name": "main",
            }
        ],
        "description": DESCRIPTION,
        "buffers": [{}, *({"data": _data(graph.tensors[i])} for i in constants)],
        "signature_defs": _signatures(graph),
    }


def _operator_code(op: str, version: int) -> Mapping[str, Any]:
    kind, _, detail = op.partition(":")
    if kind == "CUSTOM" and detail:
        code, custom_code = CUSTOM, detail
    elif kind == "BUILTIN" and detail.isdecimal():
        code, custom_code = int(detail), None
    elif op in BUILTIN_OPERATORS:
        code, custom_code = BUILTIN_OPERATORS.index(op), None
    else:
        raise ModelError(
            f"operator {op}", "TFLite has no such operator", hint="export the graph before passes change it"
        )
    deprecated = min(code, PLACEHOLDER_FOR_GREATER_OP_CODES)
    return {"deprecated_builtin_code": deprecated, "custom_code": custom_code, "version": version, "builtin_code": code}


def _operator(layer: Layer, code: int) -> Mapping[str, Any]:
    node = layer.node
    found = {"opcode_index": code, "inputs": node.inputs, "outputs": node.outputs}
    if node.op.startswith("CUSTOM:"):
        return {**found, "custom_options": node.attributes.get("custom_options")}
    table = OPTIONS_OF.get(node.op)
    raw = _raw_options(layer)
    unknown = sorted(set(raw) - set(TABLES[table] if table else ()))
    if unknown:
        raise ModelError(
            layer.where,
            f"TFLite has no option {', '.join(unknown)}",
            expected=", ".join(TABLES[table]) if table else "none",
        )
    if table is None:
        return found
    return {**found, "builtin_options_type": BUILTIN_OPTIONS.index(table), "builtin_options": (table, raw)}


def _raw_options(layer: Layer) -> Mapping[str, Any]:
    op = all_ops().get(layer.op)
    if op is None:
        return layer.attributes
    try:
        return op.export(layer.attributes)
    except (KeyError, ValueError) as problem:
        shown = ", ".join(f"{name} {value}" for name, value in layer.attributes.items())
        raise ModelError(
            layer.where, f"cannot be exported with {shown}", hint="use values that TFLite has"
        ) from problem


def _tensor(tensor: Tensor, buffer: int) -> Mapping[str, Any]:
    return {
        "shape": tensor.shape,
        "type": TENSOR_TYPES.index(tensor.dtype),
        "buffer": buffer,
        "name": tensor.name,
        "quantization": _quantization(tensor),
        "is_variable": tensor.variable,
        "has_rank": True,
    }


def _quantization(tensor: Tensor) -> Mapping[str, Any] | None:
    quantization = tensor.quantization
    if quantization is None:
        return None
    return {
        "scale": quantization.scale,
        "zero_point": quantization.zero_point,
        "quantized_dimension": quantization.axis,
    }


def _data(tensor: Tensor) -> bytes:
    """The constant's bytes, little-endian."""
    assert tensor.data is not None
    if tensor.dtype in OPAQUE_TYPES:
        raise ModelError(f"tensor '{tensor.name}'", f"constants of type {tensor.dtype} cannot be exported")
    if tensor.dtype in PACKED_BITS:
        return _pack(tensor.data.reshape(-1), PACKED_BITS[tensor.dtype])
    return tensor.data.astype(tensor.data.dtype.newbyteorder("<"), copy=False).tobytes()


def _pack(values: np.ndarray[Any, Any], bits: int) -> bytes:
    """Values of `bits` bits, the first in the low bits of the first byte."""
    per_byte = 8 // bits
    padded = np.zeros(-(-len(values) // per_byte) * per_byte, np.uint8)
    padded[: len(values)] = values.astype(np.int16) & ((1 << bits) - 1)
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    packed = (padded.reshape(-1, per_byte).astype(np.uint16) << shifts).sum(axis=1)
    return bytes(packed.astype(np.uint8))


def _signatures(graph: Graph) -> list[Mapping[str, Any]] | None:
    if not graph.input_names and not graph.output_names:
        return None
    return [
        {
            "inputs": _names(graph.input_names, graph.inputs),
            "outputs": _names(graph.output_names, graph.outputs),
            "signature_key": "serving_default",
        }
    ]


def _names(names: tuple[str, ...], tensors: tuple[int, ...]) -> list[Mapping[str, Any]]:
    return [{"name": name, "tensor_index": index} for name, index in zip(names, tensors, strict=True)]

# SPDX-License-Identifier: Apache-2.0
"""`.tflite` file → Graph. The file is not trusted; whatever is wrong with it becomes a ModelError."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError
from ..graph import DTYPES, Array, Graph, Node, Quantization, Source, Tensor
from ..ops import all_ops
from .flatbuffer import DAMAGED, Reader, Table
from .metadata import MAX_PREPROCESSING_BYTES, PREPROCESSING, TFLITE_METADATA, class_labels
from .schema import (
    ACTIVATIONS,
    BUILTIN_OPERATORS,
    BUILTIN_OPTIONS,
    CUSTOM,
    FILE_IDENTIFIER,
    OPTIONS_OF,
    PADDING,
    SCHEMA_VERSION,
    TENSOR_TYPES,
)
from .wrong_files import explain_folder, explain_missing, explain_wrong_file

MAX_FILE_BYTES = 512 << 20
MAX_RANK = 8
MAX_ELEMENTS = 1 << 31
MAX_COPIED_BYTES = 256 << 20

#: Types whose values tinyc does not read: a constant of such a type has no bytes.
OPAQUE_TYPES = frozenset(name for name, numpy_type in DTYPES.items() if numpy_type is np.void)

#: Integer types that share bytes in the file, with their width in bits.
PACKED_BITS: Mapping[str, int] = {"int2": 2, "int4": 4, "uint4": 4}


def load(path: Path | str) -> Graph:
    """The network in the file at `path`.

    Raises:
        ModelError: the file cannot be read, is no `.tflite` file, or is damaged.
    """
    path = Path(path)
    graph = from_bytes(read_model(path), str(path))
    return replace(graph, source=replace(graph.source, file_name=path.name))


def read_model(path: Path) -> bytes:
    """The bytes of the file at `path`. Raises ModelError when it cannot be read or is too large."""
    try:
        if path.is_dir():
            raise explain_folder(path)
        if not path.exists():
            raise explain_missing(path)
        if not path.is_file():
            raise ModelError(str(path), "not a regular file", expected="a .tflite file")
        _check_size(str(path), path.stat().st_size)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ModelError(str(path), f"cannot be read: {reason}", expected="a readable .tflite file") from problem
    return data


def _check_size(file_name: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ModelError(
            file_name,
            f"{size / 1e6:,.0f} MB",
            expected=f"at most {MAX_FILE_BYTES >> 20} MiB",
            hint="no microcontroller holds such a model; quantize it, or train a smaller one",
        )


def from_bytes(data: bytes, file_name: str) -> Graph:
    """The network in `data`, the content of a `.tflite` file; messages call it `file_name`.

    Constants may share the memory of `data` and are read-only.

    Raises:
        ModelError: `data` is no `.tflite` file or is damaged.
    """
    _check_size(file_name, len(data))
    if data[4:8] != FILE_IDENTIFIER:
        raise explain_wrong_file(data, file_name)
    return _File(data, file_name).graph()


class _File:
    """One file while it is being read."""

    def __init__(self, data: bytes, file_name: str) -> None:
        self.data = data
        self.file_name = file_name
        self.reader = Reader(data, file_name)
        self.model = self.reader.root("Model")
        self.claimed: set[tuple[int, int]] = set()
        self.claimed_bytes = 0
        self.buffers: dict[int, tuple[int, int]] = {}
        self.arrays: dict[tuple[int, str], Array] = {}
        self.copied = 0

    def error(self, where: str, found: str, expected: str = "", hint: str = DAMAGED) -> ModelError:
        return ModelError(f"{self.file_name}: {where}", found, expected=expected, hint=hint)

    def graph(self) -> Graph:
        self._check_version()
        subgraph = self._subgraph()
        count = subgraph.count("tensors")
        codes = [self._operator_name(table) for table in self.model.tables("operator_codes")]
        nodes = tuple(
            self._node(index, table, codes, count) for index, table in enumerate(subgraph.tables("operators"))
        )
        inputs, outputs = self._ends(subgraph, "inputs", count), self._ends(subgraph, "outputs", count)
        values = {*inputs, *outputs, *(index for node in nodes for index in node.outputs)}
        tensors = tuple(self._tensor(i, table, i in values) for i, table in enumerate(subgraph.tables("tensors")))
        self._check_flow(tensors, nodes, inputs, outputs)
        input_names, output_names = self._signature_names()
        return Graph(
            tensors,
            nodes,
            inputs,
            outputs,
            _unique_names((input_names.get(i) or tensors[i].name for i in inputs), "input"),
            _unique_names((output_names.get(i) or tensors[i].name for i in outputs), "output"),
            self._labels(tensors[outputs[0]]),
            Source(self.file_name, hashlib.sha256(self.data).hexdigest(), len(self.data)),
            self._preprocessing(),
        )

    def _check_version(self) -> None:
        version = self.model.integer("version")
        if version != SCHEMA_VERSION:
            raise self.error(
                "Model.version",
                f"schema version {version}",
                f"version {SCHEMA_VERSION}",
                "convert the model with a recent TensorFlow",
            )

    def _subgraph(self) -> Table:
        if self.model.count("subgraphs") == 0:
            raise self.error("Model.subgraphs", "the file holds no network", "at least one subgraph")
        return self.model.element("subgraphs", 0)

    # Tensors

    def _tensor(self, index: int, table: Table, value: bool) -> Tensor:
        """Tensor `index`; `value` says that it goes into or out of the network, or that an operator makes it."""
        name = table.text("name") or ""
        where = _title(index, name)
        shape = self._shape(table, where, value)
        dtype = self._dtype(table, where)
        if table.table("sparsity") is not None:
            raise self.error(where, "stored as a sparse tensor", "dense tensors", "convert the model without sparsity")
        variable = bool(table.scalar("is_variable"))
        quantization = self._quantization(table, where, shape, dtype)
        data = None if variable else self._constant(table, where, shape, dtype)
        if data is None and quantization is not None and 0.0 in quantization.scale:
            raise self.error(where, "a quantization scale of 0", "finite scales above 0")
        return Tensor(name, shape, dtype, quantization, data, variable)

    def _shape(self, table: Table, where: str, value: bool) -> tuple[int, ...]:
        """The shape. Only a constant may be empty, such as the axes of a MEAN over none."""
        shape = table.integers("shape")
        if len(shape) > MAX_RANK:
            raise self.error(where, f"{len(shape)} dimensions", f"at most {MAX_RANK}")
        if any(extent < (1 if value else 0) for extent in shape):
            raise self.error(
                where,
                f"shape {list(shape)}",
                "every dimension known and at least 1",
                "convert the model with a fixed input shape (for Keras: batch_size=1 in the Input layer)",
            )
        if math.prod(shape) > MAX_ELEMENTS:
            raise self.error(where, f"shape {list(shape)}, {math.prod(shape):,} elements", f"at most {MAX_ELEMENTS:,}")
        return shape

    def _dtype(self, table: Table, where: str) -> str:
        number = table.integer("type")
        if not 0 <= number < len(TENSOR_TYPES):
            raise self.error(
                where,
                f"the element type number {number}",
                f"0 to {len(TENSOR_TYPES) - 1} ({TENSOR_TYPES[0]} to {TENSOR_TYPES[-1]})",
                "the file is damaged, or newer than this tinyc: try a newer tinyc",
            )
        return TENSOR_TYPES[number]

    def _quantization(self, table: Table, where: str, shape: tuple[int, ...], dtype: str) -> Quantization | None:
        parameters = table.table("quantization")
        if parameters is None:
            return None
        if parameters.integer("details_type"):
            raise self.error(
                where,
                "a custom or blockwise quantization",
                "one scale per tensor or per channel",
                "quantize per channel",
            )
        scale = tuple(float(value) for value in parameters.vector("scale"))
        if not scale:
            return None
        zero_point = parameters.integers("zero_point") or (0,)
        if len(zero_point) == 1:
            zero_point *= len(scale)
        # Old converters write the axis of the weights for the bias as well.
        axis = 0 if len(shape) == 1 else parameters.integer("quantized_dimension")
        self._check_quantization(where, shape, dtype, Quantization(scale, zero_point, axis))
        return Quantization(scale, zero_point, axis)

    def _check_quantization(self, where: str, shape: tuple[int, ...], dtype: str, found: Quantization) -> None:
        if len(found.zero_point) != len(found.scale):
            raise self.error(
                where, f"{len(found.scale)} scales and {len(found.zero_point)} zero points", "as many of both"
            )
        if not all(math.isfinite(scale) and scale >= 0 for scale in found.scale):
            raise self.error(where, "a quantization scale that is negative or not finite", "finite scales above 0")
        if found.per_channel and not (0 <= found.axis < len(shape) and shape[found.axis] == len(found.scale)):
            raise self.error(
                where,
                f"{len(found.scale)} scales along dimension {found.axis} of shape {list(shape)}",
                "one scale, or as many as that dimension has entries",
            )
        numpy_type = np.dtype(DTYPES[dtype])
        if numpy_type.kind in "iu":
            low, high = np.iinfo(numpy_type).min, np.iinfo(numpy_type).max
            if not all(low <= value <= high for value in found.zero_point):
                raise self.error(where, "a zero point outside its type", f"{low} to {high}, the range of {dtype}")

    def _constant(self, table: Table, where: str, shape: tuple[int, ...], dtype: str) -> Array | None:
        index = table.integer("buffer")
        start, size = self._buffer(index, where)
        if size == 0 and 0 not in shape:
            return None
        if dtype in OPAQUE_TYPES:
            return np.zeros(shape, np.void)
        elements = math.prod(shape)
        bits = PACKED_BITS.get(dtype, 8 * np.dtype(DTYPES[dtype]).itemsize)
        needed = (elements * bits + 7) // 8
        if size != needed:
            raise self.error(
                where,
                f"its data (buffer {index}) has {size} bytes",
                f"{needed} bytes for {dtype} of shape {list(shape)}",
            )
        if (index, dtype) not in self.arrays:
            self.arrays[index, dtype] = self._array(start, elements, dtype, where)
        return self.arrays[index, dtype].reshape(shape)

    def _buffer(self, index: int, where: str) -> tuple[int, int]:
        """Start and size in the file of a buffer's bytes; size 0 when it has none."""
        if index in self.buffers:
            return self.buffers[index]
        count = self.model.count("buffers")
        if not 0 <= index < max(count, 1):
            raise self.error(where, f"buffer {index}", f"one of the {count} buffers of the file")
        if index >= count:
            return 0, 0
        table = self.model.element("buffers", index)
        self.buffers[index] = self._outside(table, "offset", "size") or table.span("data") or (0, 0)
        self._claim(self.buffers[index], where)
        return self.buffers[index]

    def _outside(self, table: Table, offset: str, size: str) -> tuple[int, int] | None:
        """Data that lies behind the flatbuffer, as in files over 2 GB; the offset counts from the start of the file."""
        start, length = table.integer(offset), table.integer(size)
        if start <= 1 or length == 0:
            return None
        self.reader.check(start, length, f"{table.type}.{offset}")
        return start, length

    def _claim(self, span: tuple[int, int], where: str) -> None:
        """Buffers that overlap would let a small file fill the memory."""
        if span in self.claimed:
            return
        self.claimed.add(span)
        self.claimed_bytes += span[1]
        if self.claimed_bytes > len(self.data):
            raise self.error(where, "its data overlaps other data in the file", "buffers that lie side by side")

    def _array(self, start: int, elements: int, dtype: str, where: str) -> Array:
        """`elements` values from byte `start`, read-only; copied only when they are not aligned or are packed."""
        numpy_type = np.dtype(DTYPES[dtype])
        if dtype not in PACKED_BITS and dtype != "bool":
            stored = np.frombuffer(self.data, numpy_type.newbyteorder("<"), elements, start)
            if stored.flags.aligned and stored.dtype == numpy_type:
                return stored
        self.copied += elements * numpy_type.itemsize
        if self.copied > MAX_COPIED_BYTES:
            raise self.error(
                where, f"more than {MAX_COPIED_BYTES >> 20} MiB of constants", "a model for a microcontroller"
            )
        if dtype in PACKED_BITS:
            size = (elements * PACKED_BITS[dtype] + 7) // 8
            found = _unpack(np.frombuffer(self.data, np.uint8, size, start), elements, dtype)
        elif dtype == "bool":
            found = np.frombuffer(self.data, np.uint8, elements, start) != 0
        else:
            found = stored.astype(numpy_type)
        found.flags.writeable = False
        return found

    # Operators

    def _operator_name(self, table: Table) -> tuple[str, int]:
        code = max(table.integer("deprecated_builtin_code"), table.integer("builtin_code"))
        version = table.integer("version")
        if code < 0:
            raise self.error("OperatorCode.builtin_code", f"the operator number {code}", "0 or more")
        if code == CUSTOM:
            return f"CUSTOM:{table.text('custom_code') or 'unnamed'}", version
        return BUILTIN_OPERATORS[code] if code < len(BUILTIN_OPERATORS) else f"BUILTIN:{code}", version

    def _node(self, index: int, table: Table, codes: list[tuple[str, int]], tensors: int) -> Node:
        code = table.integer("opcode_index")
        if code >= len(codes):
            raise self.error(f"operator {index}", f"operator code {code}", f"one of the {len(codes)} codes of the file")
        op, version = codes[code]
        inputs, outputs = table.integers("inputs"), table.integers("outputs")
        where = f"operator {index} {op}"
        for position in inputs:
            if not -1 <= position < tensors:
                raise self.error(where, f"the input tensor {position}", f"-1 (absent) or 0 to {tensors - 1}")
        for position in outputs:
            if not 0 <= position < tensors:
                raise self.error(where, f"the output tensor {position}", f"0 to {tensors - 1}")
        if not outputs and op in all_ops():
            raise self.error(where, "no output", "at least one output tensor")
        return Node(op, inputs, outputs, self._attributes(op, table, where), version, index)

    def _attributes(self, op: str, table: Table, where: str) -> Mapping[str, Any]:
        if op.startswith("CUSTOM:"):
            return self._custom_options(table, where)
        raw = self._raw_options(op, table, where)
        known = all_ops().get(op)
        return raw if known is None else known.attributes(raw)

    def _raw_options(self, op: str, table: Table, where: str) -> Mapping[str, Any]:
        """The fields of the operator's options table, with the schema's defaults for what is absent."""
        name = OPTIONS_OF.get(op)
        if name is None:
            return {}
        number = table.integer("builtin_options_type")
        options = table.union("builtin_options", name) if number else None
        if options is None:
            return {field: data.nothing for field, data in self.reader.tables[name].items()}
        found = BUILTIN_OPTIONS[number] if number < len(BUILTIN_OPTIONS) else f"options of type {number}"
        if found != name:
            raise self.error(where, f"{found} as its options", name)
        raw = options.values()
        for field, names in (("padding", PADDING), ("fused_activation_function", ACTIVATIONS)):
            value = raw.get(field, 0)
            if not (isinstance(value, int) and 0 <= value < len(names)):
                raise self.error(where, f"{field} {value}", f"0 to {len(names) - 1}")
        return raw

    def _custom_options(self, table: Table, where: str) -> Mapping[str, Any]:
        span = self._outside(table, "large_custom_options_offset", "large_custom_options_size")
        start, size = span or table.span("custom_options") or (0, 0)
        if size == 0:
            return {}
        self._claim((start, size), where)
        return {"custom_options": self.data[start : start + size]}

    # The whole

    def _ends(self, subgraph: Table, field: str, tensors: int) -> tuple[int, ...]:
        """The inputs or outputs of the network."""
        found = subgraph.integers(field)
        for index in found:
            if not 0 <= index < tensors:
                raise self.error(f"{field} of the network", f"the tensor {index}", f"0 to {tensors - 1}")
        if len(found) > tensors:
            raise self.error(
                f"{field} of the network", f"{len(found)} tensors", f"at most {tensors}, all that there are"
            )
        if field == "outputs" and not found:
            raise self.error("outputs of the network", "none", "at least one output tensor")
        return found

    def _check_flow(
        self, tensors: tuple[Tensor, ...], nodes: tuple[Node, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> None:
        """Every tensor has one origin, and it comes before its uses."""

        def name(index: int) -> str:
            return _title(index, tensors[index].name)

        made = {index for node in nodes for index in node.outputs}
        ready = {index for index, tensor in enumerate(tensors) if tensor.constant or tensor.variable}
        for index in inputs:
            if index in ready:
                raise self.error(
                    name(index), "a network input that is a constant or listed twice", "inputs without data, each once"
                )
            ready.add(index)
        for node in nodes:
            where = f"operator {node.index} {node.op}"
            for index in node.inputs:
                # Accelerator operators list scratch tensors that nothing makes.
                scratch = index not in made and node.op.startswith("CUSTOM:")
                if index >= 0 and index not in ready and not scratch:
                    raise self.error(
                        where, f"reads {name(index)} before any operator has made it", "operators in execution order"
                    )
            for index in node.outputs:
                if index in ready:
                    raise self.error(
                        where, f"writes {name(index)}, which already has a value", "one origin for every tensor"
                    )
                ready.add(index)
        for index in outputs:
            if index not in ready:
                raise self.error(name(index), "a network output that no operator computes", "an operator that makes it")

    def _signature_names(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names by tensor index of the first signature of subgraph 0."""
        for signature in self.model.tables("signature_defs"):
            if signature.integer("subgraph_index") == 0:
                return _names(signature, "inputs"), _names(signature, "outputs")
        return {}, {}

    def _labels(self, output: Tensor) -> tuple[str, ...]:
        """Class labels; broken metadata is an extra that is missing, no fault of the network."""
        return class_labels(self.data, self._metadata(TFLITE_METADATA), output.shape[-1] if output.shape else 1)

    def _preprocessing(self) -> str:
        found = self._metadata(PREPROCESSING)
        return found.decode("utf-8", "replace") if len(found) <= MAX_PREPROCESSING_BYTES else ""

    def _metadata(self, name: str) -> bytes:
        """The first metadata buffer of this name, or nothing."""
        try:
            for entry in self.model.tables("metadata"):
                if entry.text("name") == name:
                    start, size = self._buffer(entry.integer("buffer"), "metadata")
                    return self.data[start : start + size]
        except ModelError:
            pass
        return b""


def _title(index: int, name: str) -> str:
    """How messages call a tensor; a name may be very long."""
    return f"tensor {index} '{name if len(name) <= 100 else name[:97] + '...'}'"


def _names(signature: Table, field: str) -> dict[int, str]:
    return {entry.integer("tensor_index"): entry.text("name") or "" for entry in signature.tables(field)}


def _unique_names(names: Iterable[str], kind: str) -> tuple[str, ...]:
    """The names, an empty one replaced by its kind and position, a repeated one numbered."""
    unique: dict[str, None] = {}
    uses: dict[str, int] = {}
    for position, name in enumerate(names):
        base = candidate = name or f"{kind}_{position}"
        while candidate in unique:
            uses[base] = uses.get(base, 1) + 1
            candidate = f"{base}_{uses[base]}"
        unique[candidate] = None
    return tuple(unique)


def _unpack(packed: Array, elements: int, dtype: str) -> Array:
    """One value per byte from values of 2 or 4 bits, the first in the low bits of the first byte."""
    bits = PACKED_BITS[dtype]
    per_byte = 8 // bits
    values = np.empty((len(packed), per_byte), np.uint8)
    for position in range(per_byte):
        values[:, position] = (packed >> (bits * position)) & ((1 << bits) - 1)
    flat = values.reshape(-1)[:elements]
    if dtype.startswith("u"):
        return flat
    half = np.uint8(1 << (bits - 1))
    flat ^= half
    flat -= half
    return flat.view(np.int8)

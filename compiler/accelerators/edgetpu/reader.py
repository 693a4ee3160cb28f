# SPDX-License-Identifier: Apache-2.0
"""`edgetpu-custom-op` → Package. The bytes are not trusted; whatever is wrong with them becomes a ModelError.

Reading and accepting are two things: :func:`read` takes every intact package, so that it can be shown, and
:func:`unsupported` says why tinyc does not run one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence

from ...errors import ModelError
from ...graph import Graph, Node
from ...importers.flatbuffer import DAMAGED, Reader, Table
from .executable import (
    AwaitInterrupt,
    Chunk,
    DataType,
    Executable,
    Fence,
    FieldOffset,
    Kind,
    Layer,
    MoveScratch,
    OutputLayout,
    Package,
    ReceiveOutput,
    SendInput,
    SendInstructions,
    SendParameters,
    Slice,
    Step,
)
from .flexbuffer import Elements, Value, read_map
from .layout import check_layout
from .schema import ANY_LAYER, BASES, FILE_IDENTIFIER, HINTS, INTERRUPTS, TABLES

CUSTOM_OP = "CUSTOM:edgetpu-custom-op"

#: Combinations of executables that libedgetpu accepts (driver/package_registry.cc).
COMBINATIONS: tuple[frozenset[Kind], ...] = (
    frozenset({Kind.PARAMETER_CACHING, Kind.EXECUTION_ONLY}),
    frozenset(Kind),
)
MAX_EXECUTABLES = len(Kind)

#: Largest input: eight times the chip's memory.
MAX_LAYER_BYTES = 64 << 20

INSTRUCTION_BYTES = 16
IMMEDIATE_BITS = 32

CHIPS = ("beagle",)
#: `RuntimeVersion` of libedgetpu's api/runtime_version.h: from kMinValidRuntimeVersion to kCurrent.
RUNTIME_VERSIONS = range(10, 15)

#: Index of a tensor of the graph, with the layer that it is.
Bindings = tuple[tuple[int, Layer], ...]

RECOMPILE = "compile the original model again with Google's edgetpu_compiler 16"


def is_edgetpu(node: Node) -> bool:
    return node.op == CUSTOM_OP


def packages(graph: Graph) -> Iterator[tuple[Node, Package]]:
    """Every Edge TPU operator of the graph with its package.

    Raises:
        ModelError: a package is damaged.
    """
    for node in filter(is_edgetpu, graph.nodes):
        where = f"{graph.source.file_name}: operator {node.index} edgetpu-custom-op"
        yield node, read(node.attributes.get("custom_options", b""), where)


def read(options: bytes, where: str) -> Package:
    """The package in the options of an `edgetpu-custom-op`; messages call it `where`.

    Raises:
        ModelError: the options are damaged.
    """
    entries = read_map(options, where)
    data = entries.get("4")
    if not isinstance(data, bytes):
        raise ModelError(where, "its options have no entry '4'", expected="the compiled program", hint=DAMAGED)
    return _read_package(data, entries, where)


def bindings(graph: Graph, node: Node, executable: Executable) -> tuple[Bindings, Bindings]:
    """Which tensor each input and output layer is: by position, as in the vendor's runtimes.

    Layers behind the operator's last output hold state of the program and belong to no tensor.

    Raises:
        ModelError: operator and program disagree about number, size or type.
    """
    where = f"{graph.source.file_name}: operator {node.index} edgetpu-custom-op"
    if len(node.inputs) != len(executable.inputs) or len(node.outputs) > len(executable.outputs):
        raise ModelError(
            where,
            f"{len(node.inputs)} inputs and {len(node.outputs)} outputs",
            expected=f"{len(executable.inputs)} and {len(executable.outputs)}, as its program has",
            hint=DAMAGED,
        )
    inputs = tuple(zip(node.inputs, executable.inputs, strict=True))
    outputs = tuple(zip(node.outputs, executable.outputs, strict=False))
    for index, layer in (*inputs, *outputs):
        _check_binding(graph, index, layer, where)
    return inputs, outputs


def _check_binding(graph: Graph, index: int, layer: Layer, where: str) -> None:
    tensor = graph.tensors[index] if index >= 0 else None
    if tensor is None or (tensor.bytes, tensor.dtype) != (layer.bytes, layer.data_type.dtype):
        found = f"{tensor.dtype} of {tensor.bytes} bytes" if tensor else "no tensor"
        expected = f"{layer.data_type.dtype} of {layer.bytes} bytes"
        raise ModelError(f"{where}: '{layer.name}'", found, expected=expected, hint=DAMAGED)


def unsupported(package: Package) -> tuple[str, ...]:
    """Why tinyc does not run this package, one sentence each; nothing when it does."""
    found = [*_package_reasons(package)]
    for executable in package.executables:
        found += (f"{executable.kind.title} executable: {reason}" for reason in _executable_reasons(executable))
    return tuple(found)


def require_supported(package: Package, where: str) -> None:
    """Raises ModelError when :func:`unsupported` has reasons."""
    reasons = unsupported(package)
    if reasons:
        raise ModelError(
            where,
            "; ".join(reasons),
            expected="a program for one 'beagle' chip whose transfers are all known in advance and use no scratch buffer",
            hint=f"{RECOMPILE}, or change the model so that it needs no such program (`tinyc inspect` shows its parts)",
        )


def _package_reasons(package: Package) -> Iterator[str]:
    if package.option_version != 0:
        yield f"version {package.option_version} of the operator's options is unknown"
    if package.min_runtime not in RUNTIME_VERSIONS:
        known = f"{RUNTIME_VERSIONS[0]} to {RUNTIME_VERSIONS[-1]}"
        yield f"it asks for runtime version {package.min_runtime}; known are {known}"
    if package.chip and package.chip not in CHIPS:
        yield f"it is for the chip '{package.chip}', not for 'beagle'"
    if package.virtual_chip != 0 or package.more_packages:
        yield "it is made for several chips"
    if package.inference.kind is not Kind.STAND_ALONE and package.caching is None:
        yield f"its only executable is {package.inference.kind.title}"
    if package.caching is not None and package.caching.token != package.inference.token:
        yield "its two executables have different parameter-caching tokens"


def _executable_reasons(executable: Executable) -> Iterator[str]:
    if executable.version != 0:
        yield f"format version {executable.version} is unknown"
    if executable.chip not in CHIPS:
        yield f"it is for the chip '{executable.chip}', not for 'beagle'"
    if not executable.deterministic:
        yield "not deterministic: the device chooses its transfers at run time, which the steps do not show"
    if any(isinstance(step, MoveScratch) for step in executable.steps):
        yield f"it moves activations through a scratch buffer of the host ({executable.scratch:,} bytes)"
    if executable.batch != 1:
        yield f"it processes {executable.batch} inputs at once"
    if executable.dram_parameters or any(layer.cache_on_dram for layer in (*executable.inputs, *executable.outputs)):
        yield "it wants memory outside of the chip that an Edge TPU does not have"
    for layer in executable.outputs:
        if layer.executions > 1 and (layer.y > 1 or layer.x > 1):
            yield f"output '{layer.name}' has rows or columns and is made {layer.executions} times per inference"
    for layer in executable.inputs:
        if layer.executions > 1 and layer.bytes != layer.padded_bytes:
            yield f"input '{layer.name}' is read {layer.executions} times per inference, with padding between"
    yield from _transfer_reasons(executable)


def _transfer_reasons(executable: Executable) -> Iterator[str]:
    """Every output must arrive whole, each byte once."""
    if not executable.deterministic:
        return
    if not any(isinstance(step, SendInstructions) for step in executable.steps):
        yield "no step sends a program"
    for layer in executable.outputs:
        parts = [s for s in executable.steps if isinstance(s, ReceiveOutput) and s.layer == layer.name]
        spans = sorted((step.offset, step.size) for step in parts)
        ends = [0, *(start + size for start, size in spans)]
        gaps = any(start != end for (start, _), end in zip(spans, ends, strict=False))
        if gaps or ends[-1] != layer.padded_bytes:
            yield f"its steps do not fetch all {layer.padded_bytes} bytes of output '{layer.name}', each once"


def _read_package(data: bytes, entries: Mapping[str, Value], where: str) -> Package:
    if data[4:8] != FILE_IDENTIFIER:
        raise ModelError(
            where,
            f"a program marked {data[4:8]!r}",
            expected=f"a DarwiNN package ({FILE_IDENTIFIER!r})",
            hint=RECOMPILE,
        )
    table = Reader(data, where, TABLES).root("Package")
    chip = entries.get("2")
    others = entries.get("7")
    return Package(
        executables=_read_executables(_nested(table, "serialized_multi_executable"), where),
        min_runtime=table.integer("min_runtime_version"),
        compiler=table.text("compiler_version") or "",
        option_version=_version(entries.get("1")),
        chip=chip.decode("ascii", errors="backslashreplace") if isinstance(chip, bytes) else "",
        virtual_chip=table.integer("virtual_chip_id"),
        more_packages=table.count("multi_chip_package") + (others.count if isinstance(others, Elements) else 0),
        identifier=table.text("model_identifier") or "",
        signed=(table.span("signature") or (0, 0))[1] > 0,
    )


def _version(entry: Value) -> int:
    return entry if isinstance(entry, int) else 0


def _nested(table: Table, name: str) -> bytes:
    start, size = table.span(name) or (0, 0)
    return table.reader.data[start : start + size]


def _read_executables(data: bytes, where: str) -> tuple[Executable, ...]:
    reader = Reader(data, f"{where}: MultiExecutable", TABLES)
    table = reader.root("MultiExecutable")
    count = table.count("serialized_executables")
    if not 1 <= count <= MAX_EXECUTABLES:
        raise reader.error(
            "MultiExecutable.serialized_executables", 0, f"{count} executables", f"1 to {MAX_EXECUTABLES}"
        )
    spans = list(table.spans("serialized_executables"))
    if sum(size for _, size in spans) > len(data):
        raise reader.error("MultiExecutable.serialized_executables", 0, "executables that overlap", "side by side")
    found = tuple(
        _Executable(data[start : start + size], f"{where}: executable {index}").read()
        for index, (start, size) in enumerate(spans)
    )
    kinds = [executable.kind for executable in found]
    if len(kinds) > 1 and (len(set(kinds)) < len(kinds) or frozenset(kinds) not in COMBINATIONS):
        shown = " and ".join(kind.title for kind in kinds)
        raise ModelError(
            where, f"executables of the kinds {shown}", expected="parameter-caching and execution-only", hint=DAMAGED
        )
    return found


class _Executable:
    """One executable while it is being read."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.reader = Reader(data, where, TABLES)
        self.table = self.reader.root("Executable")
        self.taken = 0

    def error(self, what: str, found: str, expected: str) -> ModelError:
        return ModelError(f"{self.where}: {what}", found, expected=expected, hint=DAMAGED)

    def take(self, table: Table, name: str) -> bytes:
        """The bytes of a vector. Vectors that share bytes would let a small file fill the memory."""
        start, size = table.span(name) or (0, 0)
        self.taken += size
        if self.taken > len(self.data):
            raise self.error(f"{table.type}.{name}", "its bytes overlap others", "vectors that lie side by side")
        return self.data[start : start + size]

    def at_least(self, table: Table, name: str, low: int, high: int = (1 << 31) - 1) -> int:
        value = table.integer(name)
        if not low <= value <= high:
            raise self.error(f"{table.type}.{name}", str(value), f"{low} to {high}")
        return value

    def read(self) -> Executable:
        table = self.table
        hints = table.table("dma_hints")
        chunks = tuple(self._chunk(i, entry) for i, entry in enumerate(table.tables("instruction_bitstreams")))
        parameters = self.take(table, "parameters")
        inputs = self._layers("input_layers", "InputLayer")
        outputs = self._layers("output_layers", "OutputLayer")
        found = Executable(
            kind=self._kind(),
            version=table.integer("version"),
            name=table.text("name") or "",
            batch=self.at_least(table, "batch_size", 0),
            scratch=self.at_least(table, "scratch_size_bytes", 0),
            chunks=chunks,
            parameters=parameters,
            steps=tuple(map(self._step, hints.tables("hints"))) if hints else (),
            deterministic=bool(hints and hints.scalar("fully_deterministic")),
            inputs=inputs,
            outputs=outputs,
            chip=table.text("chip") or "",
            token=table.integer("parameter_caching_token"),
            cycles=max(table.integer("estimated_cycles_64bit"), table.integer("estimated_cycles")),
            narrow_memory=table.integer("used_narrow_memory_bytes_per_tile"),
            dram_parameters=bool(table.scalar("use_tpu_dram_for_parameters")),
        )
        self._check_steps(found)
        return found

    def _kind(self) -> Kind:
        number = self.table.integer("type")
        if number not in {kind.value for kind in Kind}:
            raise self.error("Executable.type", str(number), "0 to 2")
        return Kind(number)

    # The program

    def _chunk(self, index: int, table: Table) -> Chunk:
        code = self.take(table, "bitstream")
        if not code or len(code) % INSTRUCTION_BYTES:
            raise self.error(
                f"instruction chunk {index}", f"{len(code)} bytes", f"a multiple of {INSTRUCTION_BYTES}, not 0"
            )
        return Chunk(code, tuple(self._field(entry, 8 * len(code)) for entry in table.tables("field_offsets")))

    def _field(self, table: Table, bits: int) -> FieldOffset:
        meta = self._meta(table)
        return FieldOffset(
            self._base(meta),
            meta.text("name") or "",
            self.at_least(meta, "batch", 0),
            bool(self.at_least(meta, "position", 0, 1)),
            self.at_least(table, "offset_bit", 0, bits - IMMEDIATE_BITS),
        )

    def _meta(self, table: Table) -> Table:
        meta = table.table("meta")
        if meta is None:
            raise self.error(table.type, "no meta", "what it refers to")
        return meta

    def _base(self, meta: Table) -> str:
        return BASES[self.at_least(meta, "desc", 0, len(BASES) - 1)]

    # Steps

    def _step(self, table: Table) -> Step:
        number = table.integer("any_hint_type")
        name = HINTS[number] if number < len(HINTS) else "NONE"
        hint = table.union("any_hint", name) if name not in ("NONE", "FenceHint") else None
        if name == "FenceHint":
            return Fence()
        if hint is None:
            raise self.error("DmaHint", f"a hint of type {number}", f"1 to {len(HINTS) - 1}")
        if name == "InstructionHint":
            return SendInstructions(self.at_least(hint, "instruction_chunk_index", 0))
        if name == "InterruptHint":
            return AwaitInterrupt(self.at_least(hint, "type", 0, INTERRUPTS - 1))
        return self._transfer(hint, self.at_least(table, "direction", 0, 1) == 1)

    def _transfer(self, hint: Table, receive: bool) -> Step:
        meta = self._meta(hint)
        base, layer = self._base(meta), meta.text("name") or ""
        offset, size = self.at_least(hint, "offset_in_bytes", 0), self.at_least(hint, "size_in_bytes", 1)
        batch = self.at_least(meta, "batch", 0)
        if base == "scratch":
            return MoveScratch(offset, size, receive)
        if receive != (base == "output"):
            raise self.error(
                "DmaHint.direction", f"{base} goes {'to' if receive else 'from'} the host", "the other way"
            )
        if base == "parameters":
            return SendParameters(offset, size)
        return (ReceiveOutput if base == "output" else SendInput)(layer, offset, size, batch)

    def _check_steps(self, found: Executable) -> None:
        """Every step stays inside what it moves."""
        inputs = {layer.name: layer for layer in found.inputs}
        outputs = {layer.name: layer for layer in found.outputs}
        for index, step in enumerate(found.steps):
            what = f"step {index}"
            if isinstance(step, SendInstructions) and step.chunk >= len(found.chunks):
                raise self.error(what, f"instruction chunk {step.chunk}", f"one of {len(found.chunks)}")
            if isinstance(step, SendParameters):
                self._inside(what, step.offset + step.size, len(found.parameters), "parameters")
            if isinstance(step, MoveScratch):
                self._inside(what, step.offset + step.size, found.scratch, "scratch")
            if isinstance(step, SendInput | ReceiveOutput):
                layer = (inputs if isinstance(step, SendInput) else outputs).get(step.layer)
                if layer is None:
                    raise self.error(what, f"the layer '{step.layer}'", "a layer of the executable")
                if step.batch >= max(1, found.batch):
                    raise self.error(what, f"buffer {step.batch} of '{layer.name}'", f"below {max(1, found.batch)}")
                self._inside(what, step.offset + step.size, layer.padded_bytes, f"layer '{layer.name}'")

    def _inside(self, what: str, end: int, size: int, where: str) -> None:
        if end > size:
            raise self.error(what, f"it ends at byte {end} of the {where}", f"at most {size}, where they end")

    # Layers

    def _layers(self, field: str, kind: str) -> tuple[Layer, ...]:
        found = tuple(self._layer(table, kind) for table in self.table.tables(field))
        names = [layer.name for layer in found]
        if len(set(names)) < len(names):
            raise self.error(f"Executable.{field}", "two layers of one name", "a name for each")
        return found

    def _layer(self, table: Table, kind: str) -> Layer:
        name = table.text("name") or ""
        number = table.integer("any_layer_type")
        if number >= len(ANY_LAYER) or ANY_LAYER[number] not in ("NONE", kind):
            raise self.error(f"layer '{name}'", f"details of type {number}", f"those of an {kind}")
        output = table.union("any_layer", "OutputLayer") if kind == "OutputLayer" and number else None
        numerics = table.table("numerics")
        scale = float(numerics.scalar("dequantization_factor")) if numerics else 0.0
        if not math.isfinite(scale) or scale < 0:
            raise self.error(f"layer '{name}'", f"the scale {scale}", "a finite number, 0 or more")
        layer = Layer(
            name=name,
            size=self.at_least(table, "size_bytes", 1, MAX_LAYER_BYTES),
            y=self.at_least(table, "y_dim", 1),
            x=self.at_least(table, "x_dim", 1),
            z=self.at_least(table, "z_dim", 1),
            shape=self._shape(table),
            data_type=self._data_type(table, name),
            zero_point=numerics.integer("zero_point") if numerics else 0,
            scale=scale,
            executions=self.at_least(table, "execution_count_per_inference", 1),
            cache_on_dram=bool(table.scalar("cache_on_dram")),
            layout=self._layout(output.table("layout")) if output else None,
            slices=self._slices(output.table("shape_info")) if output else (),
        )
        self._check_size(layer)
        if kind == "OutputLayer":
            check_layout(layer, f"{self.where}: layer '{name}'")
        return layer

    def _check_size(self, layer: Layer) -> None:
        what = f"layer '{layer.name}'"
        if layer.padded_bytes > MAX_LAYER_BYTES:
            raise self.error(what, f"{layer.padded_bytes:,} bytes", f"at most {MAX_LAYER_BYTES:,}")
        if layer.elements * layer.data_type.bytes > layer.size:
            shape = f"{layer.y}x{layer.x}x{layer.z}"
            raise self.error(what, f"{layer.size} bytes for {shape} {layer.data_type.dtype}", "enough for all elements")
        if layer.shape and math.prod(layer.shape) != layer.elements:
            raise self.error(what, f"the shape {list(layer.shape)}", f"{layer.elements} elements")

    def _data_type(self, table: Table, name: str) -> DataType:
        number = table.integer("data_type")
        if number not in {known.value for known in DataType}:
            raise self.error(f"layer '{name}'", f"the data type {number}", "0 to 5, 8 or 9")
        return DataType(number)

    def _ranges(self, table: Table | None) -> tuple[tuple[int, int], ...]:
        if table is None:
            return ()
        ranges = [struct.unpack("<ii", struct.pack("<Q", pair)) for pair in table.integers("dimension")]
        if not all(0 <= first <= last for first, last in ranges):
            raise self.error("TensorShape.dimension", f"the ranges {ranges[:8]}", "0 <= first <= last")
        return tuple((first, last) for first, last in ranges)

    def _shape(self, layer: Table) -> tuple[int, ...]:
        ranges = self._ranges(layer.table("shape"))
        if any(first for first, _ in ranges):
            raise self.error("Layer.shape", f"the ranges {list(ranges[:8])}", "ranges from 0")
        return tuple(last + 1 for _, last in ranges)

    def _layout(self, table: Table | None) -> OutputLayout | None:
        if table is None:
            return None
        return OutputLayout(
            table.integers("y_coordinate_to_linear_tile_id_map"),
            table.integers("x_coordinate_to_linear_tile_id_map"),
            table.integers("linearized_tile_byte_offset"),
            table.integers("x_coordinate_to_local_byte_offset"),
            table.integers("y_coordinate_to_local_y_offset"),
            table.integers("x_coordinate_to_local_y_row_size"),
        )

    def _slices(self, table: Table | None) -> tuple[Slice, ...]:
        if table is None:
            return ()
        offsets: Sequence[int] = table.integers("slice_offset")
        if table.count("slice_layout") != len(offsets):
            raise self.error("OutputShapeInfo.slice_offset", f"{len(offsets)} offsets", "one for each slice")
        return tuple(
            Slice(self._ranges(layout.table("shape")), layout.integers("stride"), offset)
            for layout, offset in zip(table.tables("slice_layout"), offsets, strict=True)
        )

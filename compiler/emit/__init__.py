# SPDX-License-Identifier: Apache-2.0
"""Program + Arena → C text: the model's .c and .h, and the runtime files that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from .. import __version__
from ..accelerators import used_by
from ..graph import Graph, Tensor
from ..memory import MemoryMap
from ..ops import op_of
from ..placement import Place, Placement
from ..program import (
    AcceleratorContext,
    Argument,
    Binding,
    Input,
    InputArray,
    Output,
    OutputArray,
    ParamsPointer,
    Program,
    Scalar,
    Scratch,
    State,
    Step,
    Stream,
    Table,
)
from ..resources import resource
from .literals import array_definition, c_type, float_literal, params_definition
from .streams import StreamEmitter

#: Version of the contract between generated code and runtime; both sides check it at compile time.
ABI_VERSION = 1


#: The line of tinyc_kernels.h that a build for size turns off.
_SPEED = b"#define TINYC_SPEED 1"


@dataclass(frozen=True)
class Port:
    """A model input or output as the C API names it."""

    index: int
    tensor: Tensor
    suffix: str
    """`` when there is one, else `_0`, `_1`, …"""
    alias: str
    """Suffix by signature name such as `_boxes`, or ``."""
    tensor_index: int

    @property
    def ctype(self) -> str:
        return c_type(self.tensor.dtype)


def ports(graph: Graph, indices: tuple[int, ...], names: tuple[str, ...]) -> list[Port]:
    """The C names of the graph's inputs or outputs: plain when there is one, numbered when there are several, and by name where unique."""
    aliases = [_identifier(name) for name in names]
    alone = len(indices) == 1
    found = []
    for position, index in enumerate(indices):
        alias = aliases[position] if position < len(aliases) else ""
        usable = not alone and alias and aliases.count(alias) == 1 and not alias.isdigit()
        suffix = "" if alone else f"_{position}"
        found.append(Port(position, graph.tensors[index], suffix, f"_{alias}" if usable else "", index))
    return found


def emit(
    program: Program, memory: MemoryMap, name: str, optimize: str = "balanced", placement: Placement | None = None
) -> dict[str, bytes]:
    """The model library as a flat folder: file name → bytes. Same input, same bytes.

    Kernels of a build for `size` follow the firmware's own -Os; all others are compiled for speed whatever its flags.
    Without a `placement` the linker decides where the arena and the tables go.
    """
    context = Emitter(program, memory, name, placement).context()
    files = {
        f"{name}.c": environment().get_template("model.c.j2").render(context),
        f"{name}.h": environment().get_template("model.h.j2").render(context),
    }
    library = {path: text.encode() for path, text in files.items()}
    functions = {step.kernel.function: step.kernel.isa for step in program.steps}
    library.update(runtime_files(functions, bool(program.streams)))
    accelerator = used_by(step.layer.node for step in program.steps)
    if accelerator is not None:
        library.update(
            {file: (resource("runtime_c") / accelerator.name / file).read_bytes() for file in accelerator.files}
        )
    if optimize == "size":
        header = library["tinyc_kernels.h"]
        assert header.count(_SPEED) == 1
        library["tinyc_kernels.h"] = header.replace(_SPEED, _SPEED.replace(b"1", b"0"))
    return dict(sorted(library.items()))


def runtime_files(functions: Mapping[str, str], streams: bool = False) -> dict[str, bytes]:
    """The C files of the kernels named (function → isa) and, recursively, the runtime headers they include.

    `streams` is whether the model computes layers row by row, which takes a header of its own.
    """
    root = resource("runtime_c")
    kernels = {path.name for path in (root / "kernels").iterdir()}
    sources = [
        (root / "kernels" / isa if isa in kernels else root / isa) / f"{function}.c"
        for function, isa in sorted(functions.items())
    ]
    pending = [*sources, root / "tinyc_kernels.h", *([root / "internal" / "tinyc_rows.h"] if streams else [])]
    files: dict[str, bytes] = {}
    while pending:
        path = pending.pop()
        if path.name in files:
            continue
        files[path.name] = path.read_bytes()
        for header in re.findall(rb'^\s*#include "([\w.]+)"', files[path.name], re.MULTILINE):
            pending.append(_find_header(root, path, header.decode()))
    return files


def _find_header(root: Path, includer: Path, name: str) -> Path:
    for folder in (includer.parent, root / "internal", root):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{includer.name} includes {name}, which runtime_c/ does not have")


@cache
def environment() -> jinja2.Environment:
    """The templates: layout only, undefined names are errors, `%%` starts a line statement."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates")),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="%%",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(comment=_comment, shape=shape_text)
    return made


class Emitter:
    """Collects what the templates lay out."""

    def __init__(self, program: Program, memory: MemoryMap, name: str, placement: Placement | None = None) -> None:
        self.program = program
        self.placement = placement
        self.memory = memory
        self.name = name
        self.accelerator = used_by(step.layer.node for step in program.steps)
        self.constants: dict[int, str] = {}
        """C names of the constant tensors emitted so far, by tensor index."""

    def context(self) -> dict[str, object]:
        layers = [self._layer(step) for step in self.program.steps]
        graph = self.program.graph
        output_constants = []
        for position, index in enumerate(graph.outputs):
            if graph.tensors[index].constant and index not in self.constants:
                self.constants[index] = f"{self.name}_output_{position}_data"
                text = array_definition(self.constants[index], graph.tensors[index].data, self._section(-1))
                output_constants.append(text)
        return {
            "version": __version__,
            "abi_version": ABI_VERSION,
            "source": graph.source,
            "name": self.name,
            "NAME": self.name.upper(),
            "cpu": self.program.cpu,
            "memory": self.memory,
            "sections": self._sections(),
            "apart": self._apart_definitions(),
            "outside": self.memory.outside,
            "layers": layers,
            "accelerator": self.accelerator,
            "streams": (streams := [self._stream(stream).text() for stream in self.program.streams]),
            "fed": streams[0] if self.program.fed is not None else None,
            "inputs": ports(graph, graph.inputs, graph.input_names),
            "outputs": ports(graph, graph.outputs, graph.output_names),
            "places": {index: self._place(index) for index in (*graph.inputs, *graph.outputs)},
            "output_constants": output_constants,
            "labels": [_string_literal(label) for label in graph.labels],
            "float_literal": float_literal,
        }

    def _layer(self, step: Step) -> dict[str, object]:
        prefix = f"{self.name}_{step.index}"
        definitions = self._tensor_constants(step, prefix)
        tables = {constant.name: f"{prefix}_{constant.name}" for constant in step.binding.constants}
        section = self._section(step.index)
        definitions += [array_definition(tables[c.name], c.values, section) for c in step.binding.constants]
        for suffix, binding in self._bindings(step):
            if binding.params is not None:
                definitions.append(params_definition(f"{prefix}_params{suffix}", binding.params, tables))
        return {
            "index": step.index,
            "title": _comment(f"{step.layer.op} '{step.layer.output.name}'"),
            "shapes": f"{shapes_text(step)}",
            "macs": op_of(step.layer).macs(step.layer),
            "definitions": definitions,
            "statements": self._statements(step),
        }

    def _section(self, step: int) -> str:
        """The macro that says where the tables of `step` go."""
        hot = self.placement is not None and self.placement.hot_layer(step)
        return f"{self.name.upper()}_{'HOT_TABLE' if hot else 'TABLE'}_SECTION"

    def _sections(self) -> list[tuple[str, Place | None]]:
        """The macros of sections, and what the board's memories make of them."""
        places = {place.what: place for place in self.placement.places if place.attribute} if self.placement else {}
        names = {"arena": "CONTEXT", "tables": "TABLE"}
        if self.memory.outside:
            names["input"] = "INPUT"
        if self.placement is not None and self.placement.hot is not None:
            names["hot tables"] = "HOT_TABLE"
        return [(f"{self.name.upper()}_{macro}_SECTION", places.get(what)) for what, macro in names.items()]

    @staticmethod
    def _bindings(step: Step) -> list[tuple[str, Binding]]:
        """The step's different calls, with the suffix of their parameters' names."""
        if not step.variants:
            return [("", step.binding)]
        return [(f"_{number}", binding) for number, binding in enumerate(step.variants)]

    def _statements(self, step: Step) -> list[str]:
        """What runs the step; all steps of a stream run where its first one is."""
        stream = self.program.stream_of(step.index)
        if stream is not None:
            called = stream.first == step.index and stream.schedule.fed is None
            return [f"{self._stream(stream).name}(arena);"] if called else []
        arguments = ", ".join(self._argument(step, argument) for argument in step.binding.args)
        traces = [
            f"TINYC_TRACE({step.index}u, {self._arena(index)}, {self.program.graph.tensors[index].bytes}u);"
            for index in step.layer.node.outputs
        ]
        if step.accelerated:
            call = f"status = {step.kernel.function}({arguments});"
            return [call, "if (status != 0) {", "    return status;", "}", *traces]
        return [f"{step.kernel.function}({arguments});", *traces]

    def _stream(self, stream: Stream) -> StreamEmitter:
        return StreamEmitter(self.program, self.memory, stream, self.name, self._argument)

    def _tensor_constants(self, step: Step, prefix: str) -> list[str]:
        """Definitions of the constant tensors that this step passes and no earlier step defined."""
        definitions = []
        op = op_of(step.layer)
        for position in step.passed_inputs():
            tensor, index = step.layer.input(position), step.layer.node.inputs[position]
            if tensor.data is not None and index not in self.constants:
                role = op.inputs[min(position, len(op.inputs) - 1)].rstrip("?*")
                if op.inputs[-1].endswith("*") and position >= len(op.inputs) - 1:
                    role = f"{role}_{position}"
                self.constants[index] = f"{prefix}_{role}"
                definitions.append(array_definition(self.constants[index], tensor.data, self._section(step.index)))
        return definitions

    def _argument(self, step: Step, argument: Argument) -> str:
        prefix = f"{self.name}_{step.index}"
        match argument:
            case Input(position):
                index = step.layer.node.inputs[position] if position < len(step.layer.node.inputs) else -1
                return self._pointer(index, const=True)
            case InputArray():
                pointers = ", ".join(self._pointer(index, const=True) for index in step.layer.node.inputs)
                return f"(const void *const[]){{{pointers}}}"
            case OutputArray():
                pointers = ", ".join(self._pointer(index, const=False) for index in step.layer.node.outputs)
                return f"(void *const[]){{{pointers}}}"
            case AcceleratorContext():
                assert self.accelerator is not None
                return self.accelerator.name
            case Output(position):
                return self._pointer(step.layer.node.outputs[position], const=False)
            case Table(table):
                return f"{prefix}_{table}"
            case ParamsPointer():
                return f"&{prefix}_params"
            case Scratch():
                return f"(void *){self._address(self.memory.scratch_offset(step.index))}"
            case State():
                return f"(void *){self._address(self.memory.state_offset(step.index))}"
            case Scalar(value):
                return str(value)

    def _pointer(self, index: int, *, const: bool) -> str:
        if index < 0:
            return "NULL"
        if index in self.constants:
            return self.constants[index]
        qualifier = "const " if const else ""
        return f"({qualifier}{c_type(self.program.graph.tensors[index].dtype)} *){self._arena(index)}"

    def _place(self, index: int) -> str:
        """The expression of a graph input or output inside its accessor."""
        if index in self.constants:
            return self.constants[index]
        return f"{self._apart(index)}[0]" if self._is_apart(index) else f"ctx->arena[{self.memory.offset(index)}]"

    def _arena(self, index: int) -> str:
        return self._apart(index) if self._is_apart(index) else self._address(self.memory.offset(index))

    def _is_apart(self, index: int) -> bool:
        """Whether a tensor lies in an input that has memory of its own."""
        return self.program.storage.get(index) in self.memory.outside

    def _apart(self, index: int) -> str:
        """That memory's C name."""
        position = self.program.graph.inputs.index(self.program.storage[index])
        suffix = "" if len(self.program.graph.inputs) == 1 else f"_{position}"
        return f"{self.name}_input{suffix}_memory"

    def _apart_definitions(self) -> list[str]:
        macro = f"{self.name.upper()}_INPUT_SECTION"
        return [
            f"static uint8_t {self._apart(index)}[{self.program.tensor(index).bytes}] __attribute__((aligned(16))) {macro};"
            for index in self.memory.outside
        ]

    @staticmethod
    def _address(offset: int) -> str:
        return f"&arena[{offset}]"


def shapes_text(step: Step) -> str:
    """`[1,49,10,1] -> [1,25,5,64]`: the non-constant inputs and the outputs of a step."""
    sources = [t for t in step.layer.inputs if t is not None and not t.constant]
    left = ", ".join(shape_text(t.shape) for t in sources)
    right = ", ".join(shape_text(t.shape) for t in step.layer.outputs)
    return f"{left} -> {right}"


def shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(extent) for extent in shape) + "]"


def _comment(text: str) -> str:
    """Text that cannot end or nest a C comment, nor break out of its line, not even by a trigraph."""
    printable = "".join(c if c.isprintable() and c.isascii() else "_" for c in text)
    plain = printable.replace("\\", "/").replace("??", "__")
    return plain.replace("*/", "* /").replace("/*", "/ *")


def _string_literal(text: str) -> str:
    """A C string literal of the UTF-8 bytes of `text`; octal escapes cannot swallow what follows, and `?` is safe from trigraphs."""
    plain = set(range(0x20, 0x7F)) - {ord(c) for c in '"\\?'}
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def _identifier(name: str) -> str:
    """A signature or tensor name as part of a C identifier, in lower case."""
    return re.sub(r"_+", "_", re.sub(r"\W", "_", name.split(":")[0], flags=re.ASCII)).strip("_").lower()

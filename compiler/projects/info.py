# SPDX-License-Identifier: Apache-2.0
"""What a project needs to know about the compiled models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..boards import Board
from ..errors import UsageError, suggestion
from ..placement import Placement


@dataclass(frozen=True)
class TensorInfo:
    """One model input or output.

    Attributes:
        dtype: C type of an element: int8_t, uint8_t, int16_t, int32_t or float.
        bytes: size of the tensor; `elements` how many values those are.
        suffix: what the accessor and the macros carry when there are several: '' or '_0', '_boxes'.
        scale, zero_point: quantization, None for a tensor that has none.
    """

    dtype: str
    bytes: int
    elements: int
    suffix: str = ""
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Vector:
    """One reference inference: all input bytes, all output bytes, each in declaration order.

    With `seed` the input is the generator's stream (`verification.vectors.random_inputs`), which the firmware makes itself,
    so that a large input costs no flash.
    """

    input: bytes
    output: bytes
    seed: int | None = None


@dataclass(frozen=True)
class ProjectInfo:
    """One model on one board.

    Attributes:
        name: C prefix of the model (`kws`).
        framework: one of the board's frameworks.
        labels: class names; when given, the library defines `<name>_labels` and `<NAME>_LABEL_COUNT`.
        arena_bytes: sizeof(<name>_context).
        model_file: file name (no folder) of the model.
        version: of tinyc. `optimize`: the compiler flag that goes with the build's goal.
        vectors: reference inferences for the self-test.
        stream_input: whether the library takes its input row by row.
        accelerator: the one that the model uses: a folder of `accelerators/`.
        placement: which of the board's memories hold the arena and the tables; None lets the linker decide.
    """

    name: str
    board: Board
    framework: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    arena_bytes: int
    model_file: str
    version: str
    labels: tuple[str, ...] = ()
    optimize: str = "-O2"
    vectors: tuple[Vector, ...] = ()
    stream_input: bool = False
    placement: Placement | None = None
    accelerator: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise UsageError(
                "--name", f"'{self.name}' is no C prefix", expected="letters, digits and _, a letter first"
            )
        if self.framework not in self.board.frameworks:
            hint = suggestion(self.framework, self.board.frameworks)
            raise UsageError("--framework", f"board '{self.board.name}' has no framework '{self.framework}'", hint=hint)
        if not self.inputs or not self.outputs:
            raise UsageError(self.model_file, "has no input or no output", expected="at least one of each")
        sizes = (self.input_bytes, self.output_bytes)
        for index, vector in enumerate(self.vectors):
            found = (len(vector.input), len(vector.output))
            if found != sizes:
                where = f"reference vector {index} of {self.model_file}"
                raise UsageError(where, f"has (input, output) bytes {found}", expected=str(sizes))

    @property
    def input_bytes(self) -> int:
        """All inputs together."""
        return sum(tensor.bytes for tensor in self.inputs)

    @property
    def output_bytes(self) -> int:
        """All outputs together."""
        return sum(tensor.bytes for tensor in self.outputs)


@dataclass(frozen=True)
class Model:
    """A model's flat library (`<name>.c`, `<name>.h`, `tinyc_*.c`, `tinyc_*.h`) and what a project says about it."""

    library: Mapping[str, bytes]
    info: ProjectInfo


@dataclass(frozen=True)
class Firmware:
    """The models of one project: one, or several for the same board and framework. With `share_arena` they use one memory in turn."""

    models: tuple[Model, ...]
    share_arena: bool = False

    @property
    def info(self) -> ProjectInfo:
        """Of the first model: board, framework, version and compiler flag are those of all."""
        return self.models[0].info

    @property
    def own_sections(self) -> bool:
        """Whether a model uses sections that the framework's linker script does not know."""
        return any(model.info.placement is not None and model.info.placement.links for model in self.models)

    @property
    def several(self) -> bool:
        return len(self.models) > 1

    @property
    def name(self) -> str:
        """`kws`, or `kws_sine` for two models."""
        return "_".join(model.info.name for model in self.models)

    @property
    def library(self) -> dict[str, bytes]:
        """All libraries in one flat folder; files of the runtime are the same in each."""
        files: dict[str, bytes] = {}
        for model in self.models:
            for path, data in model.library.items():
                if files.setdefault(path, data) != data:
                    raise UsageError(path, "differs between the models", hint="build all with the same options")
        return files

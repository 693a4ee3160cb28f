# SPDX-License-Identifier: Apache-2.0
"""What a model compiled for the Edge TPU holds: the package, its executables, their steps and layers.

Sizes and offsets are in bytes. Positions in the host's copy of an output count in elements, as in the format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What an executable is for: everything; only to load parameters into the chip; inference with parameters that are there."""

    STAND_ALONE = 0
    PARAMETER_CACHING = 1
    EXECUTION_ONLY = 2

    @property
    def title(self) -> str:
        return self.name.lower().replace("_", "-")


class DataType(Enum):
    """Element type of an input or output as the host sees it. The device itself works on unsigned numbers."""

    FIXED_POINT8 = 0
    FIXED_POINT16 = 1
    SIGNED_FIXED_POINT32 = 2
    BFLOAT = 3
    HALF = 4
    SINGLE = 5
    SIGNED_FIXED_POINT8 = 8
    SIGNED_FIXED_POINT16 = 9

    @property
    def bytes(self) -> int:
        return {1: 2, 2: 4, 3: 2, 4: 2, 5: 4, 9: 2}.get(self.value, 1)

    @property
    def flips_sign(self) -> bool:
        """The top bit of every element is inverted on its way to and from the device."""
        return self in (DataType.SIGNED_FIXED_POINT8, DataType.SIGNED_FIXED_POINT16)

    @property
    def dtype(self) -> str:
        """The name that TFLite and numpy use."""
        names = {0: "uint8", 1: "uint16", 2: "int32", 3: "bfloat16", 4: "float16", 5: "float32", 8: "int8", 9: "int16"}
        return names[self.value]


@dataclass(frozen=True)
class FieldOffset:
    """A 32-bit immediate in a chunk that a host with shared memory overwrites with half of a base address.

    Over USB the host walks the DMA hints instead and the immediates stay as they are.

    Attributes:
        base: one of `input`, `output`, `parameters`, `scratch`.
        layer: name of the input or output layer, else `""`.
        batch: which of several buffers.
        high: the upper half of the address.
        bit: position in the chunk, in bits.
    """

    base: str
    layer: str
    batch: int
    high: bool
    bit: int


@dataclass(frozen=True)
class Chunk:
    """One piece of the program; always transferred whole. A multiple of 16 bytes, the size of an instruction."""

    code: bytes
    fields: tuple[FieldOffset, ...]


@dataclass(frozen=True)
class SendInstructions:
    chunk: int


@dataclass(frozen=True)
class SendInput:
    """Host to device: `size` bytes from `offset` of buffer `batch` of an input layer; may end in the layer's padding."""

    layer: str
    offset: int
    size: int
    batch: int = 0


@dataclass(frozen=True)
class SendParameters:
    """Host to device: `size` bytes from `offset` of the executable's parameters."""

    offset: int
    size: int


@dataclass(frozen=True)
class ReceiveOutput:
    """Device to host: `size` bytes to `offset` of buffer `batch` of an output layer, in the device's layout."""

    layer: str
    offset: int
    size: int
    batch: int = 0


@dataclass(frozen=True)
class MoveScratch:
    """A part of the host's scratch buffer goes to the device, or comes back from it (`receive`)."""

    offset: int
    size: int
    receive: bool


@dataclass(frozen=True)
class AwaitInterrupt:
    """The device raises interrupt 0 to 3 of its scalar core."""

    number: int


@dataclass(frozen=True)
class Fence:
    """All steps before are complete before any step after begins."""


Step = SendInstructions | SendInput | SendParameters | ReceiveOutput | MoveScratch | AwaitInterrupt | Fence


@dataclass(frozen=True)
class OutputLayout:
    """How an output of several rows or columns lies in memory, by coordinate; the formula is in :mod:`.layout`.

    Attributes:
        y_tile: for each y, the number of the first tile of the row of tiles that makes it.
        x_tile: for each x, the tile within that row.
        tile_offset: where each tile's part begins.
        x_offset: for each x, its place within a row of the tile.
        y_offset: for each y, its row within the tile.
        row_size: for each x, the size of a row of its tile.
    """

    y_tile: tuple[int, ...]
    x_tile: tuple[int, ...]
    tile_offset: tuple[int, ...]
    x_offset: tuple[int, ...]
    y_offset: tuple[int, ...]
    row_size: tuple[int, ...]


@dataclass(frozen=True)
class Slice:
    """A box of an output that lies in memory with regular strides.

    Attributes:
        ranges: first and last index in each dimension, both in the box.
        strides: distance of neighbours in each dimension, in elements.
        offset: where the first element is, in bytes.
    """

    ranges: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Layer:
    """An input or an output of the program.

    Attributes:
        name: as in the DMA steps; the tensor's name in the file, up to what the compiler changed.
        size: bytes of one execution, padding included.
        y, x, z: extents; 1 where a dimension is not there.
        shape: extents of all dimensions in newer files, else empty.
        data_type: element type on the host.
        zero_point, scale: real = scale * (value - zero_point).
        executions: how often one inference runs this layer; its buffer holds as many copies.
        cache_on_dram: wanted in the memory of chips that have some.
        layout: of an output with several rows or columns, None for a vector.
        slices: of an output in newer files, instead of `layout`.
    """

    name: str
    size: int
    y: int
    x: int
    z: int
    shape: tuple[int, ...]
    data_type: DataType
    zero_point: int
    scale: float
    executions: int = 1
    cache_on_dram: bool = False
    layout: OutputLayout | None = None
    slices: tuple[Slice, ...] = ()

    @property
    def elements(self) -> int:
        """Elements of one execution, without padding."""
        return self.y * self.x * self.z

    @property
    def bytes(self) -> int:
        """Bytes of all executions, without padding: what the tensor has."""
        return self.elements * self.data_type.bytes * self.executions

    @property
    def padded_bytes(self) -> int:
        """Bytes of all executions as they are transferred."""
        return self.size * self.executions


@dataclass(frozen=True)
class Executable:
    """One program with its parameters.

    Attributes:
        kind: what it is for.
        version: of the format; 0 so far.
        name: the model's name that the compiler gave.
        batch: inputs processed at once.
        scratch: bytes of host memory that the program uses as scratch.
        chunks: the program.
        parameters: weights, biases and multipliers in the chip's layout.
        steps: all transfers in order, when `deterministic`.
        deterministic: the steps cover every transfer; else the device asks for some at run time.
        inputs, outputs: layers; none in an executable that only loads parameters.
        chip: the chip's code name.
        token: executables with the same number, not 0, may keep their parameters in the chip together.
        cycles: the compiler's estimate for one run, 0 when it made none.
        narrow_memory: bytes of each tile's narrow memory that are used, 0 when not told.
        dram_parameters: wants the parameters in DRAM, on chips that have some.
    """

    kind: Kind
    version: int
    name: str
    batch: int
    scratch: int
    chunks: tuple[Chunk, ...]
    parameters: bytes
    steps: tuple[Step, ...]
    deterministic: bool
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]
    chip: str
    token: int
    cycles: int
    narrow_memory: int
    dram_parameters: bool = False

    @property
    def instruction_bytes(self) -> int:
        return sum(len(chunk.code) for chunk in self.chunks)

    @property
    def parameter_bytes_sent(self) -> int:
        """Bytes of parameters that one run transfers."""
        return sum(step.size for step in self.steps if isinstance(step, SendParameters))

    def input(self, name: str) -> Layer:
        """The input layer of that name; the reader has checked that every step's layer exists."""
        return next(layer for layer in self.inputs if layer.name == name)

    def output(self, name: str) -> Layer:
        """The output layer of that name."""
        return next(layer for layer in self.outputs if layer.name == name)


@dataclass(frozen=True)
class Package:
    """Everything in one `edgetpu-custom-op`.

    Attributes:
        executables: one, or one that loads parameters and one that executes.
        min_runtime: the oldest runtime version that may run it.
        compiler: version text of the compiler, may be empty.
        option_version: version of the operator's options; 0 so far.
        chip: the chip's name in the options of old files, else empty.
        virtual_chip: -1 for a program of several chips.
        more_packages: further packages for other chips.
        identifier: the model's identifier, mostly empty.
        signed: the package carries a signature.
    """

    executables: tuple[Executable, ...]
    min_runtime: int
    compiler: str
    option_version: int
    chip: str
    virtual_chip: int
    more_packages: int
    identifier: str
    signed: bool

    def of(self, kind: Kind) -> Executable | None:
        return next((executable for executable in self.executables if executable.kind is kind), None)

    @property
    def inference(self) -> Executable:
        """The executable that infers: the one that expects cached parameters if there is one, else the only one.

        As libedgetpu does, the only executable of a package counts as a whole program whatever its kind says.
        """
        if len(self.executables) == 1:
            return self.executables[0]
        found = self.of(Kind.EXECUTION_ONLY) if len(self.executables) == 2 else self.of(Kind.STAND_ALONE)
        assert found is not None
        return found

    @property
    def caching(self) -> Executable | None:
        """The executable that loads parameters into the chip beforehand."""
        return self.of(Kind.PARAMETER_CACHING) if len(self.executables) == 2 else None

    def blobs(self) -> Iterator[bytes]:
        """The parameters of the executables that a host runs."""
        if self.caching is not None:
            yield self.caching.parameters
        yield self.inference.parameters

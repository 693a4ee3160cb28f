# SPDX-License-Identifier: Apache-2.0
"""Does a compiled file hold the weights of a given original? Per layer, by the layouts in :mod:`.parameters`.

`found` means that every weight of the layer, its biases, and its multipliers where the layout has them, are in the
compiled file at a place of their own. It says nothing about what the program does with them. What the parameters do not
hold cannot be compared: scales of layers quantized per tensor are in the program, and biases that are all 0 are nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ...graph import Array, Graph, Layer
from .parameters import ALIGNMENT, ENTRY, Header, Weights, device_weights, headers
from .reader import is_edgetpu, packages

#: Relative error of a multiplier: the compiler's float32 arithmetic may differ by a unit or two in the last place.
MULTIPLIER_TOLERANCE = 2.5e-7

#: Occurrences of one pattern that are looked at.
MAX_OCCURRENCES = 64

#: Pieces of weights that are looked for when a layer is not found, and their size: four channels, four inputs.
PIECES = 24
PIECE = 16

#: Types of constants that are weights; others are shapes, axes and biases.
WEIGHT_TYPES = frozenset({"int4", "int8", "uint8", "int16", "float16", "float32"})


class Status(Enum):
    FOUND = "found"
    NOT_FOUND = "not found"
    UNKNOWN = "layout unknown"
    CPU = "left on the CPU"


@dataclass(frozen=True)
class Check:
    """What became of one layer of the original.

    Attributes:
        index, op, name: the operator in the original.
        shape: of its weights.
        status: the verdict.
        executable: kind of the executable whose parameters hold it, else `""`.
        offset, size: where, with header and padding; size 0 when not found.
        biases, multipliers: `equal`, `different`, or `""` where the layout has none.
        note: what else there is to say.
    """

    index: int
    op: str
    name: str
    shape: tuple[int, ...]
    status: Status
    executable: str = ""
    offset: int = 0
    size: int = 0
    biases: str = ""
    multipliers: str = ""
    note: str = ""


@dataclass(frozen=True)
class Attestation:
    """Every layer with weights. `parameter_bytes` of the compiled file, of which `covered_bytes` belong to found layers."""

    checks: tuple[Check, ...]
    parameter_bytes: int
    covered_bytes: int

    @property
    def counts(self) -> dict[Status, int]:
        found = Counter(check.status for check in self.checks)
        return {status: found[status] for status in Status}

    @property
    def complete(self) -> bool:
        """Every layer is found, or is on the CPU as it was."""
        return all(check.status in (Status.FOUND, Status.CPU) for check in self.checks)


def attest(original: Graph, compiled: Graph) -> Attestation:
    """Look for the weights of every layer of `original` in `compiled`, a `*_edgetpu.tflite`.

    Raises:
        ModelError: the package in `compiled` is damaged.
    """
    search = _Search(compiled)
    checks = tuple(search.check(layer) for layer in original.layers() if _weights(layer))
    total = sum(len(blob.data) for blob in search.blobs)
    return Attestation(checks, total, sum(check.size for check in checks if check.status is Status.FOUND))


def _weights(layer: Layer) -> list[Array]:
    """The constants of a layer that are weights."""
    if is_edgetpu(layer.node):
        return []
    tensors = (t for t in layer.inputs if t is not None and t.dtype in WEIGHT_TYPES)
    return [tensor.data for tensor in tensors if tensor.data is not None]


@dataclass(frozen=True)
class _Blob:
    executable: str
    data: bytes


@dataclass(frozen=True)
class _Place:
    """Where all weights of a layer are, and what is wrong with the tables before them."""

    blob: int
    base: int
    size: int
    header: Header
    biases: str
    multipliers: str
    zero_points: str

    @property
    def right(self) -> bool:
        return "different" not in (self.biases, self.multipliers, self.zero_points)


class _Search:
    """The compiled file, and which of its bytes and operators already belong to a layer."""

    def __init__(self, compiled: Graph) -> None:
        self.blobs: list[_Blob] = []
        for _, package in packages(compiled):
            used = [package.caching, package.inference]
            self.blobs += (_Blob(e.kind.title, e.parameters) for e in used if e is not None and e.parameters)
        self.cpu = [layer for layer in compiled.layers() if _weights(layer)]
        self.claimed: list[tuple[int, int, int, int]] = []
        """Blob, first byte, end, and the operator they belong to."""

    def check(self, layer: Layer) -> Check:
        index, op, name = layer.node.index, layer.op, layer.outputs[0].name if layer.outputs else ""
        shape = next(t.shape for t in layer.inputs if t is not None and t.data is not None and t.dtype in WEIGHT_TYPES)
        if self._on_cpu(layer):
            return Check(index, op, name, shape, Status.CPU, note="the compiled file has it as an ordinary operator")
        weights = device_weights(layer)
        if weights is None:
            note = f"how {op} keeps its weights is not known"
            return Check(index, op, name, shape, Status.UNKNOWN, note=note)
        place = self._place(layer, weights)
        if place is None:
            status, note = self._explain(layer, weights)
            return Check(index, op, name, shape, status, note=note)
        self.claimed.append((place.blob, place.base, place.base + place.size, index))
        executable = self.blobs[place.blob].executable
        tables = [("biases", place.biases), ("multipliers", place.multipliers), ("zero points", place.zero_points)]
        wrong = [table for table, verdict in tables if verdict == "different"]
        status = Status.FOUND if place.right else Status.NOT_FOUND
        note = f"its weights are there, with other {' and '.join(wrong)}" if wrong else ""
        return Check(
            index, op, name, shape, status, executable, place.base, place.size, place.biases, place.multipliers, note
        )

    def _on_cpu(self, layer: Layer) -> bool:
        """An operator of the compiled file with the same constants and scales; each stands for one layer."""
        for candidate in self.cpu:
            if candidate.op == layer.op and _same_constants(candidate, layer):
                self.cpu.remove(candidate)
                return True
        return False

    def _place(self, layer: Layer, weights: Weights) -> _Place | None:
        """Where all weights of the layer are: best with tables that are right, else with any."""
        groups = [data for _, data in weights.groups()]
        second_best = None
        for header in headers(layer):
            for blob in range(len(self.blobs)):
                for place in self._places(layer, weights, groups, header, blob):
                    if place.right:
                        return place
                    second_best = second_best or place
        return second_best

    def _places(
        self, layer: Layer, weights: Weights, groups: Sequence[bytes], header: Header, blob: int
    ) -> Iterator[_Place]:
        data = self.blobs[blob].data
        before = header.tables * ENTRY * weights.slots
        stride = before + len(groups[0])
        size = weights.bytes(header)
        for position in occurrences(data, groups[0]):
            base = position - before
            if base < 0 or base % ALIGNMENT or self._owner(blob, base, base + stride * len(groups)) is not None:
                continue
            starts = range(base, base + stride * len(groups), stride)
            if all(data.startswith(group, start + before) for start, group in zip(starts, groups, strict=True)):
                tables = [data[start : start + before] for start in starts]
                yield _Place(blob, base, size, header, *_judge(layer, weights, header, tables))

    def _owner(self, blob: int, start: int, end: int) -> int | None:
        """The operator that some of these bytes already belong to."""
        return next((op for b, first, last, op in self.claimed if b == blob and first < end and start < last), None)

    def _explain(self, layer: Layer, weights: Weights) -> tuple[Status, str]:
        """Why a layer was not found. Where pieces of its weights are there, the rest is compared with what stands around."""
        near = max((self._nearest(layer, weights, blob) for blob in range(len(self.blobs))), default=None)
        if near is not None and near[0] > 0:
            return Status.NOT_FOUND, near[1]
        kernel = weights.values.shape[1] * weights.values.shape[2]
        if weights.diagonal or (layer.op == "CONV_2D" and kernel == 1):
            return Status.NOT_FOUND, "nothing like its weights is in the parameters"
        return Status.UNKNOWN, "not where the known layout has them: other weights, or another layout"

    def _nearest(self, layer: Layer, weights: Weights, blob: int) -> tuple[int, str]:
        """How many pieces speak for the best place, and how the weights there differ."""
        data = self.blobs[blob].data
        header = headers(layer)[0]
        before = header.tables * ENTRY * weights.slots
        groups = [group for _, group in weights.groups()]
        stride = before + len(groups[0])
        votes: Counter[int] = Counter()
        for group, offset, piece in _sample(groups):
            bases = {p - offset - before - group * stride for p in occurrences(data, piece)}
            votes.update(base for base in bases if base >= 0 and base % ALIGNMENT == 0)
        for base, count in votes.most_common(4):
            if base + stride * len(groups) <= len(data):
                return count, self._difference(weights, groups, blob, base, before)
        return 0, ""

    def _difference(self, weights: Weights, groups: Sequence[bytes], blob: int, base: int, before: int) -> str:
        data = self.blobs[blob].data
        size = len(groups[0])
        stored = b"".join(data[base + before + i * (before + size) :][:size] for i in range(len(groups)))
        wrong = np.flatnonzero(np.frombuffer(stored, np.uint8) != np.frombuffer(b"".join(groups), np.uint8))
        if not len(wrong):
            owner = self._owner(blob, base, base + len(groups) * (before + size))
            return f"the same weights are there once and belong to operator {owner}"
        channel, row, column, source = weights.place(int(wrong[0]))
        return (
            f"{len(wrong):,} of {weights.values.size:,} weights differ from those at byte {base} of the parameters; the first: "
            f"output channel {channel}, row {row}, column {column}, input channel {source}"
        )


def occurrences(data: bytes, pattern: bytes) -> Iterator[int]:
    """Where `pattern` is in `data`, the first few."""
    position = data.find(pattern)
    for _ in range(MAX_OCCURRENCES):
        if position < 0:
            return
        yield position
        position = data.find(pattern, position + 1)


def _sample(groups: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Group, offset and bytes of some pieces, spread over the layer; padding says nothing."""
    places = [(group, offset) for group, data in enumerate(groups) for offset in range(0, len(data), PIECE)]
    pieces = [
        (group, offset, groups[group][offset : offset + PIECE]) for group, offset in places[:: _step(len(places))]
    ]
    return (piece for piece in pieces if len(set(piece[2])) > 2)


def _step(places: int) -> int:
    """An odd step: empty slots are in every other, fourth or eighth place."""
    return max(1, places // PIECES) | 1


def _same_constants(one: Layer, two: Layer) -> bool:
    """The same weights, biases and scales at the same inputs."""
    if len(one.inputs) != len(two.inputs):
        return False
    for a, b in zip(one.inputs, two.inputs, strict=True):
        if a is None or b is None or a.data is None or b.data is None:
            if (a is not None and a.data is not None) or (b is not None and b.data is not None):
                return False
        elif a.dtype != b.dtype or a.quantization != b.quantization or not np.array_equal(a.data, b.data):
            return False
    return True


def _judge(layer: Layer, weights: Weights, header: Header, tables: Sequence[bytes]) -> tuple[str, str, str]:
    """`equal`, `different` or `""` for the biases, multipliers and zero points before the groups.

    What stands in slots without a channel differs from compiler to compiler and does not count.
    """
    words = np.frombuffer(b"".join(tables), "<u4").reshape(len(tables), header.tables, weights.slots)
    kinds = [kind for kind in ("multipliers", "biases", "zero_points") if getattr(header, kind)]
    found = {kind: words[:, i].reshape(-1)[: weights.channels] for i, kind in enumerate(kinds)}
    biases, multipliers, zero_points = _judge_absent_biases(layer), "", ""
    if header.biases:
        biases = _verdict(np.array_equal(found["biases"].view("<i4"), _biases(layer)))
    if header.multipliers:
        with np.errstate(all="ignore"):  # whatever the bytes are as numbers
            multipliers = _verdict(_close(found["multipliers"].view("<f4").astype(np.float64), _multipliers(layer)))
    if header.zero_points:
        zero_points = _verdict(bool(np.all(found["zero_points"] == weights.zero_point)))
    return biases, multipliers, zero_points


def _judge_absent_biases(layer: Layer) -> str:
    """Without a table the biases are 0."""
    return "different" if np.any(_biases(layer)) else ""


def _close(stored: Array, expected: Array) -> bool:
    """NaN is close to nothing."""
    same_size = len(expected) in (1, len(stored))
    return same_size and bool(np.all(np.abs(stored - expected) <= MULTIPLIER_TOLERANCE * expected))


def _verdict(equal: bool) -> str:
    return "equal" if equal else "different"


def _biases(layer: Layer) -> Array:
    bias = layer.optional(2)
    if bias is None or bias.data is None:
        return np.zeros(1, np.int64)
    return bias.data.astype(np.int64).reshape(-1)


def _multipliers(layer: Layer) -> Array:
    """Input scale times weight scale over output scale, float64 by channel; NaN when a scale is missing."""
    source, result, weights = layer.input(0).quantization, layer.output.quantization, layer.input(1).quantization
    if source is None or result is None or weights is None or result.scale[0] == 0:
        return np.full(1, np.nan)
    multipliers: Array = source.scale[0] * np.asarray(weights.scale, np.float64) / result.scale[0]
    return multipliers

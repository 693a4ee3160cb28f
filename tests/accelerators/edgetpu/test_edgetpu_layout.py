# SPDX-License-Identifier: Apache-2.0
"""Output runs against the formula, element by element, and against the vendor's loop."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from edgetpu_files import compiled_files
from tinyc.accelerators.edgetpu.executable import DataType, Layer, OutputLayout, SendInput, Slice
from tinyc.accelerators.edgetpu.layout import InputPart, Run, check_layout, input_part, output_runs
from tinyc.accelerators.edgetpu.reader import packages
from tinyc.errors import ModelError
from tinyc.importers.tflite import load

U8, I16 = DataType.FIXED_POINT8, DataType.SIGNED_FIXED_POINT16


def output(y: int, x: int, z: int, size: int, layout: OutputLayout | None = None, type: DataType = U8) -> Layer:
    return Layer("out", size, y, x, z, (), type, 0, 1.0, layout=layout)


def by_formula(layer: Layer) -> list[int]:
    """The received byte that each byte of the tensor is: `GetBufferIndex` for every element."""
    size, t = layer.data_type.bytes, layer.layout
    if layer.y == 1 and layer.x == 1:
        return [e * layer.size + i for e in range(layer.executions) for i in range(layer.z * size)]
    assert t is not None
    found = []
    for y, x, z in product(range(layer.y), range(layer.x), range(layer.z)):
        index = t.tile_offset[t.y_tile[y] + t.x_tile[x]] + t.y_offset[y] * t.row_size[x] + t.x_offset[x] + z
        found += [index * size + i for i in range(size)]
    return found


def by_vendor(layer: Layer) -> list[int]:
    """The loop of `OutputLayer::Relayout`: within a tile it steps by the padded z of the first two columns or rows."""
    size, t = layer.data_type.bytes, layer.layout
    assert t is not None

    def at(y: int, x: int) -> int:
        return t.tile_offset[t.y_tile[y] + t.x_tile[x]] + t.y_offset[y] * t.row_size[x] + t.x_offset[x]

    z_bytes = layer.z * size
    padded = (at(0, 1) if layer.x > 1 else at(1, 0)) * size - at(0, 0) * size
    if z_bytes in (1, 3):
        padded = 4
    found = []
    for y in range(layer.y):
        first = 0
        for x in range(layer.x):
            if t.x_tile[x] != t.x_tile[first]:
                first = x
            source = at(y, first) * size + (x - first) * padded
            found += range(source, source + z_bytes)
    return found


def by_runs(layer: Layer) -> list[int]:
    return [
        byte
        for run in output_runs(layer)
        for i in range(run.count)
        for byte in range(run.source + i * run.stride, run.source + i * run.stride + run.length)
    ]


def tiled(y: int, x: int, z: int, rows: int, columns: int, padded: int) -> OutputLayout:
    """A plain layout: tiles of `rows` by `columns`, each element padded to `padded`, tiles one after the other."""
    across = -(-x // columns)
    widths = [min(columns, x - tile * columns) for tile in range(across)]
    heights = [min(rows, y - tile * rows) for tile in range(-(-y // rows))]
    sizes = [height * width * padded for height in heights for width in widths]
    return OutputLayout(
        tuple(row // rows * across for row in range(y)),
        tuple(column // columns for column in range(x)),
        tuple(sum(sizes[:i]) for i in range(len(sizes))),
        tuple(column % columns * padded for column in range(x)),
        tuple(row % rows for row in range(y)),
        tuple(widths[column // columns] * padded for column in range(x)),
    )


def synthetic() -> Iterator[Layer]:
    rng = np.random.default_rng(1)
    for _ in range(150):
        y, x, z, rows, columns = (int(v) for v in rng.integers(1, 9, 5))
        padded = z if rng.random() < 0.4 else -(-z // 4) * 4
        type = U8 if rng.random() < 0.7 else I16
        yield output(y, x, z, y * x * padded * type.bytes, tiled(y, x, z, rows, columns, padded), type)


@pytest.mark.parametrize(
    "layer", list(synthetic()), ids=lambda layer: f"{layer.y}x{layer.x}x{layer.z}-{layer.data_type.dtype}"
)
def test_runs_are_the_formula(layer: Layer) -> None:
    check_layout(layer, "x")
    assert by_runs(layer) == by_formula(layer)


def test_runs_are_few() -> None:
    """A padded row of a tile is one run; whole tiles are too when nothing is padded."""
    padded = output(8, 8, 3, 256, tiled(8, 8, 3, 4, 4, 4))
    assert output_runs(padded)[0] == Run(0, 3, 4, 4)
    # 16 rows of tiles, of which two follow one another in memory as in the tensor.
    assert len(output_runs(padded)) == 15
    dense = output(8, 8, 4, 256, tiled(8, 8, 4, 4, 8, 4))
    assert output_runs(dense) == (Run(0, 256),)
    columns = output(2, 8, 4, 64, tiled(2, 8, 4, 1, 2, 4))
    assert output_runs(columns) == (Run(0, 64),)


def test_random_tables() -> None:
    """Whatever the tables say, if it stays inside the received bytes."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        y, x, z = (int(v) for v in rng.integers(1, 7, 3))
        tables = (
            [rng.integers(0, 3, n) for n in (y, x)],
            rng.integers(0, 40, 5),
            rng.integers(0, 20, (2, x)),
            rng.integers(0, 4, y),
        )
        (y_tile, x_tile), tile, (x_offset, row), y_offset = tables
        layout = OutputLayout(*(tuple(int(v) for v in t) for t in (y_tile, x_tile, tile, x_offset, y_offset, row)))
        layer = output(y, x, z, 200, layout)
        check_layout(layer, "x")
        assert by_runs(layer) == by_formula(layer)
        assert all(
            run.source >= 0 and run.length > 0 and (run.stride > 0) == (run.count > 1) for run in output_runs(layer)
        )


def test_a_vector_made_several_times() -> None:
    layer = replace(output(1, 1, 5, 8), executions=3)
    assert output_runs(layer) == (Run(0, 5, 3, 8),)
    assert by_runs(layer) == by_formula(layer)


def test_slices() -> None:
    """Newer files: two boxes of a [1, 3, 4, 2] output, the second one before the first, its rows padded."""
    left = Slice(((0, 0), (0, 2), (0, 2), (0, 1)), (24, 8, 2, 1), 16)
    right = Slice(((0, 0), (0, 2), (3, 3), (0, 1)), (12, 4, 4, 1), 0)
    layer = Layer("out", 48, 3, 4, 2, (1, 3, 4, 2), U8, 0, 1.0, slices=(left, right))
    check_layout(layer, "x")
    expected = []
    for y, x, z in product(range(3), range(4), range(2)):
        expected.append(16 + y * 8 + x * 2 + z if x < 3 else y * 4 + z)
    assert by_runs(layer) == expected


@pytest.mark.parametrize(
    "slices",
    [
        (Slice(((0, 0), (0, 0), (0, 3), (0, 1)), (8, 8, 2, 1), 0),),
        (Slice(((0, 0), (0, 2), (0, 3), (0, 0)), (24, 8, 2, 1), 0),),
        (Slice(((0, 0), (0, 2), (0, 4), (0, 1)), (24, 8, 2, 1), 0),),
        (Slice(((0, 0), (0, 2), (0, 3), (0, 1)), (24, 80, 2, 1), 0),),
        (Slice(((0, 0), (0, 2), (0, 3), (0, 1)), (24, 8, -2, 1), 8),),
        (Slice(((0, 2), (0, 3), (0, 1)), (8, 2, 1), 0),),
        tuple(Slice(((0, 0), (0, 2), (0, 1), (0, 1)), (24, 8, 2, 1), 0) for _ in range(2)),
    ],
    ids=["gap", "half a vector", "outside", "too far", "backwards", "dimensions", "overlap"],
)
def test_wrong_slices(slices: tuple[Slice, ...]) -> None:
    with pytest.raises(ModelError):
        check_layout(Layer("out", 48, 3, 4, 2, (1, 3, 4, 2), U8, 0, 1.0, slices=slices), "x")


GOOD = tiled(4, 4, 4, 2, 2, 4)


@pytest.mark.parametrize(
    "layout",
    [
        None,
        replace(GOOD, y_tile=GOOD.y_tile[:3]),
        replace(GOOD, row_size=GOOD.row_size[:3]),
        replace(GOOD, tile_offset=GOOD.tile_offset[:3]),
        replace(GOOD, x_tile=(-1, 0, 1, 1)),
        replace(GOOD, tile_offset=(0, 16, 32, 49)),
        replace(GOOD, x_offset=(-1, 4, 0, 4)),
        replace(GOOD, row_size=(1 << 31) * np.ones(4, int)),
    ],
    ids=["none", "short y", "short x", "few tiles", "negative tile", "beyond the end", "before the start", "far"],
)
def test_wrong_tables(layout: OutputLayout | None) -> None:
    with pytest.raises(ModelError) as caught:
        check_layout(output(4, 4, 4, 64, layout), "x: layer 'out'")
    assert caught.value.where == "x: layer 'out'" and caught.value.expected


def test_too_many_pieces() -> None:
    side = 700
    odd = tuple(int(v) for v in np.random.default_rng(3).integers(0, 1 << 22, side))
    layout = OutputLayout((0,) * side, (0,) * side, (0,), odd, tuple(range(side)), (1,) * side)
    layer = output(side, side, 1, 1 << 23, layout)
    with pytest.raises(ModelError) as caught:
        output_runs(layer)
    assert "65,536" in caught.value.expected


def test_input_padding() -> None:
    layer = output(1, 1, 5, 8)
    assert input_part(SendInput("in", 0, 8), layer) == InputPart(0, 5, 3)
    assert input_part(SendInput("in", 0, 4), layer) == InputPart(0, 4, 0)
    assert input_part(SendInput("in", 4, 4), layer) == InputPart(4, 1, 3)
    assert input_part(SendInput("in", 6, 2), layer) == InputPart(6, 0, 2)


@pytest.mark.parametrize("path", compiled_files(), ids=lambda path: path.stem)
def test_public_files(path: object) -> None:
    ((_, package),) = packages(load(str(path)))
    for layer in package.inference.outputs:
        formula = by_formula(layer)
        assert by_runs(layer) == formula
        assert len(set(formula)) == layer.bytes
        if layer.y > 1 or layer.x > 1:
            assert by_vendor(layer) == formula
    for step in package.inference.steps:
        if isinstance(step, SendInput):
            assert input_part(step, package.inference.input(step.layer)).padding < 8

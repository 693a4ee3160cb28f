# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from tinyc.errors import ModelError
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.verification.vectors import lcg_bytes, load_inputs, make_inputs, random_inputs


def graph(dtype: str = "int8", shape: tuple[int, ...] = (1, 4)) -> Graph:
    q = None if dtype == "float32" else Quantization((0.5,), (0,))
    return single_node_graph("RELU", (Tensor("in", shape, dtype, q),), (Tensor("out", shape, dtype, q),))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 4096, 4097])
def test_lcg_is_the_documented_recurrence(count: int) -> None:
    x, expected = 12345, []
    for _ in range(count):
        x = (x * 1664525 + 1013904223) % 2**32
        expected.append(x >> 24)
    assert lcg_bytes(12345, count).tolist() == expected


def test_inputs_continue_the_stream() -> None:
    q = Quantization((0.5,), (0,))
    two = single_node_graph(
        "ADD", (Tensor("a", (3,), "int8", q), Tensor("b", (5,), "int8", q)), (Tensor("c", (5,), "int8", q),)
    )
    a, b = random_inputs(two, 7)
    assert np.concatenate([a, b]).view(np.uint8).tolist() == lcg_bytes(7, 8).tolist()


def test_made_inputs_end_with_the_extremes() -> None:
    sets = make_inputs(graph(), 5, 1)
    assert len(sets) == 5
    assert sets[-2][0].tolist() == [[-128] * 4]
    assert sets[-1][0].tolist() == [[127] * 4]
    assert len({row[0].tobytes() for row in sets}) == 5


def test_float_inputs_are_finite_and_vary() -> None:
    (array,) = random_inputs(graph("float32", (1, 64)), 3)
    assert array.dtype == np.float32
    assert np.isfinite(array).all()
    assert np.ptp(array) > 4


def test_npy_with_one_or_many_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(4, dtype=np.int8))
    np.save(tmp_path / "many.npy", np.arange(12, dtype=np.int8).reshape(3, 4))
    assert len(load_inputs(graph(), [tmp_path / "one.npy"])) == 1
    sets = load_inputs(graph(), [tmp_path / "many.npy"])
    assert [row[0].tolist() for row in sets] == [[[0, 1, 2, 3]], [[4, 5, 6, 7]], [[8, 9, 10, 11]]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4, np.float32), "float32 data"),
        (np.zeros(5, np.int8), r"shape \[5\]"),
        (np.zeros(0, np.int8), r"shape \[0\]"),
    ],
)
def test_wrong_data_is_explained(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ModelError, match=message):
        load_inputs(graph(), [tmp_path / "x.npy"])


def test_missing_broken_and_pickled_files(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name, message in (
        ("none.npy", "no such file"),
        ("text.npy", "not a numpy file"),
        ("empty.npy", "not a numpy file"),
        ("object.npy", "not a numpy file"),
    ):
        with pytest.raises(ModelError, match=message):
            load_inputs(graph(), [tmp_path / name])
    with pytest.raises(ModelError, match="2 files given"):
        load_inputs(graph(), [tmp_path / "text.npy"] * 2)

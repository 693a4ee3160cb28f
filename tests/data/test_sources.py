# SPDX-License-Identifier: Apache-2.0
"""CSV files, Python functions and labels as data."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from inputs import real
from tinyc.data import DataOptions, load
from tinyc.errors import ModelError

ROW = real(1, 3)


def written(path: Path, text: str, name: str = "d.csv") -> Path:
    (path / name).write_text(text, encoding="utf-8")
    return path / name


@pytest.mark.parametrize(
    ("text", "labels", "classes"),
    [
        ("1,2,3\n4,5,6\n", None, ()),
        ("a,b,c\n1,2,3\n4,5,6\n", None, ()),
        ("\ufeff1;2;3\n\n4;5;6", None, ()),
        ("1\t2\t3\r\n4\t5\t6\r\n", None, ()),
        ("a,b,c,label\n1,2,3,0\n4,5,6,2\n", [0, 2], ()),
        ("Target,a,b,c\n0.5,1,2,3\n1.5,4,5,6\n", [0.5, 1.5], ()),
        ("1,2,3,cat\n4,5,6,ant\n", [1, 0], ("ant", "cat")),
        ("a,b,species,c\n1,2,cat,3\n4,5,ant,6\n", [1, 0], ("ant", "cat")),
    ],
)
def test_csv(tmp_path: Path, text: str, labels: list[float] | None, classes: tuple[str, ...]) -> None:
    data = load(written(tmp_path, text), [ROW])
    assert data.arrays[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (None if data.labels is None else data.labels.tolist()) == labels
    assert data.classes == classes


@pytest.mark.parametrize("column", ["-1", "3", "k"])
def test_label_column(tmp_path: Path, column: str) -> None:
    data = load(written(tmp_path, "a,b,c,k\n1,2,3,0\n4,5,6,1\n"), [ROW], DataOptions(label_column=column))
    assert data.labels.tolist() == [0, 1]
    assert data.names == ("d.csv:2", "d.csv:3")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", None, "is empty"),
        ("a,b,c\n", None, "a header and no rows"),
        ("1,2\n3,4\n", None, "2 columns"),
        ("1,2,3,4\n1,2,3,4\n", None, "--label-column"),
        ("1,2,3\n4,5\n", None, r"d\.csv:2: 2 cells"),
        ("1,2,3\n4,,6\n", None, r"d\.csv:2: value 1 is missing"),
        ("1,2,3\n4,x,6\n", None, "value 1 is 'x'"),
        ("1,2,3\n4,nan,6\n", None, "value 1 is nan"),
        ("1,2,3\n4,1e99,6\n", None, "value inf"),
        ("a,b,c,k\n1,2,3,0\n", "kk", "did you mean 'k'"),
        ("1,2,3,0\n", "k", "no header"),
        ("1,2,3,0\n", "4", "no column 4"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, column: str | None, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load(written(tmp_path, text), [ROW], DataOptions(label_column=column))
    assert "d.csv" in caught.value.where


def test_binary_csv(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ModelError, match="not a CSV file"):
        load(tmp_path / "d.csv", [ROW])


def test_function_of_a_file(tmp_path: Path) -> None:
    written(tmp_path, "SCALE = 2.0\n", "beside.py")
    source = written(
        tmp_path,
        "import numpy as np\nfrom beside import SCALE\n\n"
        "def samples():\n    for i in range(4):\n        yield np.full(3, i * SCALE), i % 2\n",
        "made.py",
    )
    data = load(f"{source}:samples", [ROW])
    assert data.arrays[0].tolist() == [[0] * 3, [2] * 3, [4] * 3, [6] * 3]
    assert data.labels.tolist() == [0, 1, 0, 1]


def test_function_in_python() -> None:
    def samples() -> Iterator[object]:
        yield [1, 2, 3], "yes"
        yield np.array([[4, 5, 6]]), "no"

    data = load(samples, [ROW], DataOptions(scale=0.5))
    assert data.arrays[0].tolist() == [[0.5, 1, 1.5], [2, 2.5, 3]]
    assert data.classes == ("no", "yes") and data.labels.tolist() == [1, 0]


def test_function_for_several_inputs() -> None:
    inputs = [real(1, 2, name="a"), real(1, 1, name="b")]
    for value in ([[1, 2], [3]], {"b": 3, "a": [1, 2]}):
        data = load(lambda value=value: [(value, 0.5)], inputs)
        assert [array.tolist() for array in data.arrays] == [[[1, 2]], [[3]]]
        assert data.labels.dtype == np.float32
    for value in ([1, 2, 3], {"a": [1, 2]}, 5):
        with pytest.raises(ModelError, match="a, b"):
            load(lambda value=value: [value], inputs)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f():\n    yield [1, 2, 3]\n    raise KeyError('k')\n", r"raised KeyError: 'k' at f\.py:3"),
        ("def f(n):\n    pass\n", "without arguments"),
        ("def f():\n    return 5\n", "without arguments that yields"),
        ("def f():\n    return []\n", "no samples"),
        ("def f():\n    yield [[1, 2], [3]]\n", "no array"),
        ("def f():\n    yield None\n", "object data"),
        ("def f():\n    yield [1, 2]\n", r"shape \[2\]"),
        ("def f():\n    yield [[1, 2, 3], [4, 5, 6]]\n", "2 samples at once"),
        ("def f():\n    exit(3)\n    yield\n", "raised SystemExit"),
        ("def g(): pass\n", "did you mean|known names"),
        ("import no_such_module_at_all\n", "raised ModuleNotFoundError"),
        ("def f(:\n", "raised SyntaxError"),
    ],
)
def test_bad_function(tmp_path: Path, code: str, message: str) -> None:
    source = written(tmp_path, code, "f.py")
    with pytest.raises(ModelError, match=message) as caught:
        load(f"{source}:f", [ROW])
    assert "f.py" in caught.value.where


SAMPLES = np.arange(12, dtype=np.float32).reshape(4, 3)


def labels_for(path: Path, **options: object) -> object:
    data = load(SAMPLES, [ROW], DataOptions(labels=path), **options)
    return data.labels.tolist()


def test_labels_in_order(tmp_path: Path) -> None:
    assert labels_for(written(tmp_path, "b\na\nb\nc\n", "l.txt")) == [1, 0, 1, 2]
    assert labels_for(written(tmp_path, "label\n3\n0\n1\n1\n")) == [3, 0, 1, 1]
    assert labels_for(written(tmp_path, "0.5\n1\n2\n3\n")) == [0.5, 1, 2, 3]
    assert labels_for(written(tmp_path, "9\n7\n7\n7\n"), classes=("7", "9")) == [1, 0, 0, 0]
    for array, expected in (
        (np.array([2, 0, 1, 1]), [2, 0, 1, 1]),
        (np.array([[2], [0], [1], [1]], np.uint8), [2, 0, 1, 1]),
        (np.eye(4)[[2, 0, 1, 1]], [2, 0, 1, 1]),
        (np.array(["b", "a", "b", "b"]), [1, 0, 1, 1]),
        (np.array([0.5, 1, 2, 3]), [0.5, 1, 2, 3]),
        (np.arange(8).reshape(4, 2) / 2, [[0, 0.5], [1, 1.5], [2, 2.5], [3, 3.5]]),
    ):
        np.save(tmp_path / "l.npy", array)
        assert labels_for(tmp_path / "l.npy") == expected


def test_labels_follow_the_chosen_samples(tmp_path: Path) -> None:
    path = written(tmp_path, "0\n1\n2\n3\n")
    data = load(SAMPLES, [ROW], DataOptions(labels=path, samples=2))
    assert data.labels.tolist() == [int(row[0]) // 3 for row in data.arrays[0]]


def test_classes_keep_their_numbers_when_samples_are_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, "d\nc\nb\na\n", "l.txt")
    for count in (1, 2, 3):
        data = load(SAMPLES, [ROW], DataOptions(labels=path, samples=count))
        assert data.classes == ("a", "b", "c", "d")
        assert data.labels.tolist() == [3 - int(row[0]) // 3 for row in data.arrays[0]]


def test_labels_by_name(tmp_path: Path) -> None:
    for i, name in enumerate(("x/1.npy", "x/2.npy", "3.npy", "4.npy")):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "d" / name, SAMPLES[i])
    path = written(tmp_path, "name,label\nx/2.npy,no\n1.npy,yes\n4,yes\n3.npy,no\n")
    data = load(tmp_path / "d", [ROW], DataOptions(labels=path))
    assert dict(zip(data.names, data.labels.tolist(), strict=True)) == {
        "3.npy": 0,
        "4.npy": 1,
        "x/1.npy": 1,
        "x/2.npy": 0,
    }
    with pytest.raises(ModelError, match=r"'3\.npy' is in no class folder"):
        load(tmp_path / "d", [ROW])
    written(tmp_path, "name,label\nx/2.npy,no\n1.npy,yes\n3.npy,no\n")
    with pytest.raises(ModelError, match=r"no label for '4\.npy'"):
        load(tmp_path / "d", [ROW], DataOptions(labels=path))


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("a\nb\n", (), "2 labels for 4 samples"),
        ("1\n2\n3\n4\n5\n", (), "5 labels for 4 samples"),
        ("1\n2\n-3\n4\n", (), r"class -3 of 'array\[2\]'"),
        ("1\n2\n3\n4\n", ("a", "b", "c"), "0 to 2, the model's a, b, c"),
        ("cat\ndog\ncow\ndog\n", ("cat", "dgo"), "did you mean 'dgo'"),
        ("0.5\nnan\n1\n1\n", (), "not finite"),
        ("", (), "is empty"),
        ("a,b,c\nd,e,f\n", (), r"rows of \[3\] cells"),
        ("a,1\na,2\n", (), "'a' has the labels '1' and '2'"),
    ],
)
def test_bad_labels(tmp_path: Path, text: str, classes: tuple[str, ...], message: str) -> None:
    path = written(tmp_path, text, "l.csv")
    with pytest.raises(ModelError, match=message) as caught:
        load(SAMPLES, [ROW], DataOptions(labels=path), classes=classes)
    assert "l.csv" in caught.value.where


@pytest.mark.parametrize("label", [object(), [1, [2, 3]], b"x", {"a": 1}, 10**400, [], 1j, np.array(["a", "b"])])
def test_strange_labels(label: object) -> None:
    with pytest.raises(ModelError, match=r"label|target|class"):
        load(lambda: [([1, 2, 3], label)], [ROW])


def test_targets_stay_targets_when_samples_are_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, "1\n2\n3\n0.5\n", "l.txt")
    for count in (1, 2, 3):
        assert load(SAMPLES, [ROW], DataOptions(labels=path, samples=count)).labels.dtype == np.float32


def test_some_labels_are_missing() -> None:
    with pytest.raises(ModelError, match="1 of 2 samples have no label"):
        load(lambda: [([1, 2, 3], 1), [4, 5, 6]], [ROW])

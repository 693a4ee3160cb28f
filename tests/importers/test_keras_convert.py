# SPDX-License-Identifier: Apache-2.0
"""The parts of the conversion script that need no TensorFlow."""

import importlib.util
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tinyc.importers import _keras_convert as script

KERAS = SimpleNamespace(layers=SimpleNamespace(Dense=object), ops=SimpleNamespace(Add=object))


def fields(error: pytest.ExceptionInfo[script.Problem]) -> dict[str, str]:
    return error.value.fields


@pytest.mark.parametrize("shape", [[None, 8, 3], [1, 8, 3]])
def test_batch_becomes_one(shape: list[int | None]) -> None:
    assert script._one_sample("x", shape) == [1, 8, 3]
    assert script._one_sample("x", []) == []


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ([None, None, 8, None], "[?, ?, 8, ?]: dimension 1 and 3 is not known"),
        ([16, 8], "a batch of 16"),
    ],
)
def test_shapes_that_are_refused(shape: list[int | None], found: str) -> None:
    with pytest.raises(script.Problem) as error:
        script._one_sample("photo", shape)
    assert found in fields(error)["found"] and "'photo'" in fields(error)["found"] and fields(error)["hint"]


def test_names() -> None:
    assert script._base_name("scope/my input:0") == "my_input"
    assert script._base_name("3d") == "x3d"
    assert script._unique(["a", "b", "a", "a"]) == ["a_0", "b", "a_1", "a_2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("error: 'tf.Igamma' op is neither a custom op nor a flex op\nerror: 'tf.Bincount' op is neither a custom op nor a flex op",
         "operators that TensorFlow Lite does not: Bincount, Igamma"),
        ("'tf.TensorListReserve' op requires element_shape to be static", "a recurrent layer"),
        ("something\n  else", "TensorFlow cannot convert it: something else"),
    ],
)  # fmt: skip
def test_failed_conversions(text: str, found: str) -> None:
    with pytest.raises(script.Problem) as error:
        script._explain(text)
    assert found in fields(error)["found"] and fields(error)["hint"]


def test_custom_classes_are_all_named() -> None:
    """Old configurations have no modules; new ones have a registered name where a class is not Keras's own."""
    old = {
        "class_name": "Functional",
        "config": {"layers": [{"class_name": n} for n in ("Dense", "Mine", "Other", "__tuple__")]},
    }
    assert script._custom(old, KERAS) == ["Mine", "Other"]
    new = [
        {"module": "keras.layers", "class_name": "Dense", "registered_name": None},
        {"module": None, "class_name": "Mine", "registered_name": "pack>Mine"},
    ]
    assert script._custom(new, KERAS) == ["pack>Mine"]


@pytest.mark.parametrize(
    "entry", [{"class_name": "Lambda", "config": {"name": "twice"}}, {"class_name": "__lambda__", "name": "twice"}]
)
def test_code_is_refused_however_deep(entry: dict[str, Any]) -> None:
    configuration: Any = entry
    for _ in range(5000):
        configuration = {"class_name": "Sequential", "config": {"layers": [configuration]}}
    with pytest.raises(script.Problem) as error:
        script._refuse_code(configuration)
    assert "twice" in fields(error)["found"]


def test_modules_are_refused() -> None:
    script._refuse_modules(
        [{"module": "keras.layers", "class_name": "Dense"}, {"module": "builtins", "class_name": "function"}]
    )
    with pytest.raises(script.Problem) as error:
        script._refuse_modules({"module": "os", "class_name": "system"})
    assert "os.system" in fields(error)["found"]


def test_configurations_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "NODES", 100)
    with pytest.raises(script.Problem, match="more than 100 entries"):
        list(script._objects([{}] * 101))


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"config.json": "{}"}, "without metadata.json"),
        ({"config.json": "[1,", "metadata.json": "{}"}, "a damaged .keras file"),
        ({"config.json": "[" * 100_000, "metadata.json": "{}"}, "a damaged .keras file"),
        ({"config.json": "{}", "metadata.json": "{}", "model.weights.h5": "0" * 5000}, "when unpacked"),
    ],
)
def test_keras_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, str], found: str) -> None:
    monkeypatch.setattr(script, "UNPACKED", 2000 + len(members.get("config.json", "")))
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(script.Problem) as error:
        script._keras_zip(path)
    assert found in fields(error)["found"]


def test_old_file_without_tf_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(script.Problem) as error:
        script._load_keras(Path("a.h5"), "2.11.0", {})
    assert fields(error)["kind"] == "tool"
    assert "saved by Keras 2.11.0, and tf_keras is not installed" in fields(error)["found"]


def test_out_of_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(source: Path) -> bytes:
        raise MemoryError

    monkeypatch.setattr(script, "convert", convert)
    error = tmp_path / "error.json"
    assert script.main(tmp_path / "a.h5", tmp_path / "out", error) == 1
    assert "GiB of memory" in json.loads(error.read_text())["found"]

# SPDX-License-Identifier: Apache-2.0
"""Conversion by TensorFlow, where this Python or the one that TINYC_TENSORFLOW_PYTHON names has tensorflow and tf_keras."""

import functools
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from tflite_micro import runtime
from tinyc.errors import ModelError
from tinyc.importers.keras import PYTHON_VARIABLE, convert, is_keras
from tinyc.importers.tflite import from_bytes

REAL = [SHARED / "mlperf_tiny" / name for name in ("ad.h5", "ic.h5", "vww.h5", "kws_savedmodel")]


@functools.cache
def without_tensorflow() -> str:
    """Why these tests cannot run, or nothing."""
    python = os.environ.get(PYTHON_VARIABLE) or sys.executable
    search = "import importlib.util as u, sys; sys.exit(not (u.find_spec('tensorflow') and u.find_spec('tf_keras')))"
    try:
        found = subprocess.run([python, "-c", search], check=False).returncode == 0
    except OSError:
        found = False
    return "" if found else f"{python} has no tensorflow and tf_keras ({PYTHON_VARIABLE} may name another)"


pytestmark = pytest.mark.skipif(bool(without_tensorflow()), reason=without_tensorflow())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the models of make_keras_models.py."""
    folder = tmp_path_factory.mktemp("keras")
    script = Path(__file__).with_name("make_keras_models.py")
    real = [str(path) for path in REAL if path.exists()]
    python = os.environ.get(PYTHON_VARIABLE) or sys.executable
    done = subprocess.run([python, script, folder, *real], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def check(data: bytes, expected: Path, tolerance: float = 1e-5) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Runs the float model in TFLM on the inputs saved with Keras's predictions. The names of its inputs and outputs."""
    arrays = np.load(expected)
    graph = from_bytes(data, "model")
    assert {tensor.dtype for tensor in (*graph.input_tensors, *graph.output_tensors)} == {"float32"}
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=4 << 20)
    names = [key.removeprefix("input:") for key in arrays if key.startswith("input:")]
    assert len(names) == len(graph.input_names)
    for index, (name, tensor) in enumerate(zip(graph.input_names, graph.input_tensors, strict=True)):
        array = arrays[f"input:{name if name in names else names[0]}"]
        assert array.shape == tensor.shape
        interpreter.set_input(array, index)
    interpreter.invoke()
    for index, tensor in enumerate(graph.output_tensors):
        wanted = arrays[f"output_{index}"]
        assert tensor.shape == wanted.shape
        limit = tolerance * max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(interpreter.get_output(index), wanted, rtol=0, atol=limit)
    return graph.input_names, graph.output_names


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("version", ["keras3", "keras2"])
def test_several_inputs_and_outputs(models: Path, version: str, suffix: str) -> None:
    data = convert(models / f"{version}_several.{suffix}")
    assert check(data, models / f"{version}_several.npz") == (("image", "extra"), ("zoo", "box"))


@pytest.mark.parametrize("version", ["keras3", "keras2"])
def test_sequential(models: Path, version: str) -> None:
    inputs, outputs = check(convert(models / f"{version}_sequential.keras"), models / f"{version}_sequential.npz")
    assert inputs == ("image",) and outputs[0].startswith("dense")


@pytest.mark.parametrize("version", ["keras3", "keras2"])
def test_one_dimension(models: Path, version: str) -> None:
    data = convert(models / f"{version}_sound.h5")
    assert check(data, models / f"{version}_sound.npz") == (("accel",), ("gesture",))


def test_saved_model_of_a_subclassed_model(models: Path) -> None:
    assert is_keras(models / "saved_subclassed")
    check(convert(models / "saved_subclassed" / "saved_model.pb"), models / "saved_subclassed.npz")


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_models(models: Path, path: Path) -> None:
    if not path.exists():
        pytest.skip("shared/models is not beside the repository")
    check(convert(path), models / f"{path.stem}.npz")


def test_same_file_same_bytes(models: Path, tmp_path: Path) -> None:
    """Whatever it is called and wherever it is."""
    copy = shutil.copy(models / "keras3_several.keras", tmp_path / "renamed.bin")
    assert convert(copy) == convert(models / "keras3_several.keras")


def test_content_decides(models: Path, tmp_path: Path) -> None:
    """Old versions wrote HDF5 into a file called .keras."""
    copy = shutil.copy(models / "keras2_sound.h5", tmp_path / "old.keras")
    check(convert(copy), models / "keras2_sound.npz")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("version", ["keras3", "keras2"])
@pytest.mark.parametrize(
    ("what", "found"), [("custom", r"classes that Keras does not know: .*Mine"), ("lambda", r"Lambda layers.*double")]
)
def test_code_in_the_file(models: Path, version: str, suffix: str, what: str, found: str) -> None:
    with pytest.raises(ModelError, match=found) as error:
        convert(models / f"{version}_{what}.{suffix}")
    assert "model.export" in error.value.hint


@pytest.mark.parametrize("version", ["keras3", "keras2"])
def test_open_dimension(models: Path, version: str) -> None:
    with pytest.raises(ModelError, match=r"input 'photo' has shape \[\?, \?, 20, 3\]: dimension 1 is not known"):
        convert(models / f"{version}_open.keras")


@pytest.mark.parametrize("version", ["keras3", "keras2"])
def test_weights_alone(models: Path, version: str) -> None:
    with pytest.raises(ModelError, match=r"weights of a model|without a model") as error:
        convert(models / f"{version}_only.weights.h5")
    assert "save the whole model" in error.value.hint


def test_operators_of_tensorflow(models: Path) -> None:
    with pytest.raises(ModelError, match="operators that TensorFlow Lite does not: Igamma"):
        convert(models / "saved_gamma")


def test_several_signatures(models: Path) -> None:
    with pytest.raises(ModelError, match="its signatures are one, two"):
        convert(models / "saved_two")


def test_damaged(models: Path, tmp_path: Path) -> None:
    for suffix, found in (("keras", r"a damaged \.keras file"), ("h5", "a damaged HDF5 file")):
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes((models / f"keras3_several.{suffix}").read_bytes()[:4000])
        with pytest.raises(ModelError, match=found):
            convert(path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff\xff")
    with pytest.raises(ModelError, match="cannot be loaded as a SavedModel"):
        convert(tmp_path)


def test_a_file_cannot_run_code(models: Path, tmp_path: Path) -> None:
    """A configuration that names a function of Python's library."""
    path, mark = tmp_path / "evil.keras", tmp_path / "mark"
    with zipfile.ZipFile(models / "keras3_several.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                data = data.replace(b'"class_name": "Concatenate"', b'"class_name": "system"', 1)
                data = data.replace(
                    b'"module": "keras.layers", "class_name": "system"', b'"module": "os", "class_name": "system"'
                )
                data = data.replace(
                    b'"name": "concatenate', f'"command": "touch {mark}", "name": "concatenate'.encode(), 1
                )
                assert b'"module": "os"' in data and b"touch" in data
            new.writestr(name, data)
    with pytest.raises(ModelError, match=r"does not know: os\.system"):
        convert(path)
    assert not mark.exists()


def test_more_memory_than_there_is(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "huge.keras"
    with zipfile.ZipFile(models / "keras3_sequential.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'"units": 10', b'"units": 2000000000') if name == "config.json" else data)
    with pytest.raises(ModelError, match="GiB of memory"):
        convert(path)


def test_below_a_linked_folder(tmp_path: Path) -> None:
    """Python puts the real folder of the script on its path, where keras.py lies, whatever folder it was started from."""
    import tinyc

    (tmp_path / "tinyc").symlink_to(Path(tinyc.__file__).resolve().parent)
    model = Path(__file__).resolve().parents[2] / "examples" / "watch" / "watch.keras"
    program = f"from pathlib import Path; from tinyc.importers import keras; keras.convert(Path({str(model)!r}), print)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

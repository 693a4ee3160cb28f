# SPDX-License-Identifier: Apache-2.0
"""numpy files, and arrays as samples of a model's input.

Headers are read before anything is allocated, and pickled objects are never loaded.
"""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import numpy as np

from ..errors import ModelError
from ..graph import DTYPES, Array, Tensor
from .dataset import QUANTIZED
from .preprocessing import Preprocessing
from .select import MAX_BYTES, Sample

#: Names of arrays in an .npz that are labels, and of the one that has the samples of a model with one input.
LABEL_NAMES: Final = ("labels", "label", "y", "targets", "target")
SAMPLE_NAMES: Final = ("x", "samples", "inputs", "input", "data")
MAX_ARRAYS: Final = 1000

_BROKEN: Final = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
                  KeyError, struct.error, TypeError, SyntaxError, OverflowError)  # fmt: skip


def read_npy(path: Path) -> Array:
    """The array of an .npy file, mapped and not read. Raises ModelError when it is not one, or holds objects."""
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _header(str(path), file)
            offset = file.tell()
        there = path.stat().st_size - offset
        needed = math.prod(shape) * dtype.itemsize
        if there < needed:
            raise ModelError(
                str(path), f"is cut short: {there} bytes of data", expected=f"{needed} for shape {list(shape)}"
            )
        if needed == 0:
            raise ModelError(str(path), f"an empty array, shape {list(shape)}", expected="at least one sample")
        mapped: Array = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
        return mapped
    except FileNotFoundError:
        raise ModelError(str(path), "no such file") from None
    except _BROKEN as error:
        raise ModelError(str(path), f"not a numpy file: {error}", expected="an array that numpy.save wrote") from None


def read_npz(path: Path) -> Mapping[str, Array]:
    """The arrays of an .npz file by name. Raises ModelError when it is not one, holds objects, or unpacks to too much."""
    arrays: dict[str, Array] = {}
    room = MAX_BYTES
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            if len(entries) > MAX_ARRAYS:
                raise ModelError(str(path), f"{len(entries)} arrays", expected=f"at most {MAX_ARRAYS}")
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                room -= entry.file_size
                with archive.open(entry) as file:
                    arrays[name] = _member(f"{path}[{name}]", file, entry.file_size, room)
    except FileNotFoundError:
        raise ModelError(str(path), "no such file") from None
    except _BROKEN as error:
        raise ModelError(str(path), f"not an .npz file: {error}", expected="arrays that numpy.savez wrote") from None
    if not arrays:
        raise ModelError(str(path), "holds no arrays", expected="arrays that numpy.savez wrote")
    return arrays


def _member(where: str, file: IO[bytes], size: int, room: int) -> Array:
    shape, fortran, dtype = _header(where, file)
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise ModelError(where, f"is cut short: {size} bytes", expected=f"{needed} for shape {list(shape)}")
    if room < 0:
        raise ModelError(where, f"unpacks to more than {MAX_BYTES >> 30} GiB", hint="save fewer samples, or use .npy")
    data = file.read(needed)
    if len(data) < needed:
        raise ModelError(
            where, f"is cut short: {len(data)} bytes of data", expected=f"{needed} for shape {list(shape)}"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(where: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, Fortran order and element type. Raises ValueError when the file is no array."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"format version {version}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            shape, fortran, dtype = readers[version](file)
    except Exception as error:  # numpy parses the header as Python, which fails in many ways
        raise ValueError(f"damaged header: {error}") from error
    if dtype.hasobject:
        raise ModelError(
            where,
            "holds Python objects, which tinyc does not load: they can run code",
            expected="an array of numbers",
            hint="samples of different sizes? bring them to one shape, or save one file each",
        )
    if any(extent < 0 for extent in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype


def npy_samples(
    path: Path, tensor: Tensor, preprocessing: Preprocessing, name: str, label: object = None
) -> Iterator[Sample]:
    """The samples of an .npy file as `name` or `name[i]`."""
    array = read_npy(path)
    rows = as_samples(str(path), array, tensor)
    for number, row in enumerate(rows):
        shown = name if len(rows) == 1 else f"{name}[{number}]"
        yield Sample(shown, (real_values(shown, row, tensor, preprocessing),), label)


def npz_samples(
    path: Path, inputs: Sequence[Tensor], names: Sequence[str], preprocessing: Preprocessing
) -> Iterator[Sample]:
    """The samples of an .npz file; an array named as in `LABEL_NAMES` has the labels."""
    arrays = dict(read_npz(path))
    found = _input_arrays(path, arrays, inputs, names)
    columns = [as_samples(f"{path}[{key}]", arrays[key], tensor) for key, tensor in zip(found, inputs, strict=True)]
    counts = {key: len(column) for key, column in zip(found, columns, strict=True)}
    labels = _label_array(path, arrays, found)
    if labels is not None:
        counts[labels] = len(arrays[labels])
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{key} has {count}" for key, count in counts.items())
        raise ModelError(
            str(path), f"samples do not match in number: {shown}", expected="the same number in every array"
        )
    for number in range(len(columns[0])):
        name = f"{path.name}[{number}]"
        values = tuple(
            real_values(name, column[number], tensor, preprocessing)
            for column, tensor in zip(columns, inputs, strict=True)
        )
        yield Sample(name, values, None if labels is None else plain_label(arrays[labels][number]))


def _input_arrays(path: Path, arrays: Mapping[str, Array], inputs: Sequence[Tensor], names: Sequence[str]) -> list[str]:
    """The name of the array for each input."""
    wanted = [
        next((key for key in (*names[position : position + 1], tensor.name) if key in arrays), None)
        for position, tensor in enumerate(inputs)
    ]
    found = [key for key in wanted if key is not None]
    if len(found) == len(inputs):
        return found
    if len(inputs) == 1:
        others = [key for key in arrays if key not in LABEL_NAMES]
        named = [key for key in SAMPLE_NAMES if key in arrays]
        if len(others) == 1 or named:
            return others if len(others) == 1 else named[:1]
    expected = (
        [*names[:1], tensor_name]
        if (tensor_name := inputs[0].name) and len(inputs) == 1
        else list(names or [tensor.name for tensor in inputs])
    )
    raise ModelError(
        str(path),
        f"arrays {', '.join(sorted(arrays)[:12])}",
        expected=(
            f"one array, or one called {' or '.join(dict.fromkeys([*expected, 'x']))}"
            if len(inputs) == 1
            else f"an array for each input: {', '.join(expected)}"
        ),
        hint="numpy.savez('data.npz', name=array, ...)",
    )


def _label_array(path: Path, arrays: Mapping[str, Array], used: Sequence[str]) -> str | None:
    found = next((key for key in LABEL_NAMES if key in arrays and key not in used), None)
    if found is not None and arrays[found].ndim == 0:
        raise ModelError(f"{path}[{found}]", "a single value", expected="one label per sample")
    return found


def plain_label(value: object) -> object:
    """A label from an array as a Python value; rows of several numbers stay arrays."""
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    return array.reshape(-1)[0].item() if array.size == 1 else np.array(array)


def as_samples(where: str, array: Array, tensor: Tensor) -> Array:
    """The array as [n, *input.shape[1:]]: one sample or many, with or without axes of 1, or one flat row per sample.

    Raises ModelError for other shapes and for types that are not numbers.
    """
    check_dtype(where, array.dtype, tensor)
    shape = tensor.shape[1:]
    if array.size == 0:
        raise ModelError(where, f"an empty array, shape {list(array.shape)}", expected="at least one sample")
    if array.shape == shape or (_squeezed(array.shape) == _squeezed(shape) and array.size == math.prod(shape)):
        return array.reshape(1, *shape)
    count = array.shape[0] if array.ndim else 0
    rest = array.shape[1:]
    if count and (rest == shape or _squeezed(rest) == _squeezed(shape) or rest == (math.prod(shape),)):
        return array.reshape(count, *shape)
    raise ModelError(
        where,
        f"shape {list(array.shape)}",
        expected=f"{_shape_text(shape)} for one sample of input '{tensor.name}', or [n{''.join(f', {d}' for d in shape)}] for n",
        hint=_shape_hint(array.shape, shape),
    )


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)


def _shape_text(shape: tuple[int, ...]) -> str:
    return str(list(shape))


def _shape_hint(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What to do about a shape: channels first, flat, or another size."""
    for axes in (found, found[1:]):
        if len(axes) == len(wanted) > 1 and (*axes[1:], axes[0]) == wanted:
            last = len(found) - 1
            order = [i for i in range(last + 1) if i != len(found) - len(axes)] + [len(found) - len(axes)]
            return f"the channels come first; numpy.transpose(array, {order}) puts them last, as TFLite has them"
    size = math.prod(wanted)
    rows = len(wanted) > 1 and found[1 - len(wanted) :] == wanted[1:] and math.prod(found) % max(size, 1) == 0
    if size and (rows or math.prod(found[1:]) % size == 0):
        return f"array.reshape(-1{''.join(f', {extent}' for extent in wanted)}), if the values are in this order"
    return "bring every sample to the shape of the model's input"


def check_dtype(where: str, dtype: np.dtype[np.generic], tensor: Tensor) -> None:
    """Raises ModelError unless values of this type can be inputs: real numbers, or the input's own integers."""
    if str(dtype) == tensor.dtype:
        return
    if dtype.kind not in "fiub":
        raise ModelError(where, f"{dtype} data", expected="numbers", hint="convert them: array.astype('float32')")
    if tensor.dtype != "float32" and (tensor.dtype not in QUANTIZED or tensor.quantization is None):
        raise ModelError(where, f"{dtype} data", expected=f"{tensor.dtype}, as input '{tensor.name}' is")
    if dtype == np.int8:
        raise ModelError(
            where,
            f"int8 data, which look quantized, for a {tensor.dtype} model",
            expected="real values, such as float32 (or uint8 pixels)",
            hint="give the data from before quantization, or array.astype('float32') if these are real values",
        )


def real_values(where: str, raw: Array, tensor: Tensor, preprocessing: Preprocessing) -> Array:
    """One sample as real float32 values of the input's shape; integers of a quantized input's own type stay as they are."""
    shape = tensor.shape[1:]
    if tensor.dtype != "float32" and str(raw.dtype) == tensor.dtype:
        if not preprocessing.plain:
            raise ModelError(
                where,
                f"{raw.dtype} data count as quantized already, and cannot be scaled",
                expected="real values where --scale, --mean or --std is given",
                hint="array.astype('float32') makes them real values",
            )
        return np.array(raw, DTYPES[tensor.dtype]).reshape(shape)
    with np.errstate(all="ignore"):
        real = np.array(raw, np.float32).reshape(shape)
    return preprocessing.values(real)

# SPDX-License-Identifier: Apache-2.0
"""Python functions as a source: they yield samples, or (sample, label) pairs."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, suggestion
from ..graph import Array, Tensor
from .arrays import as_samples, plain_label, real_values
from .preprocessing import Preprocessing
from .select import Sample

Function = Callable[[], Iterable[Any]]


def split_reference(source: str) -> tuple[Path, str] | None:
    """`data/load.py:samples` as file and function; None for anything else."""
    path, colon, name = source.rpartition(":")
    return (Path(path), name) if colon and path.endswith(".py") and name.isidentifier() else None


def find_function(path: Path, name: str) -> Function:
    """The function `name` of a Python file, which is run. Raises ModelError when it fails or has no such function."""
    where = str(path)
    if not path.is_file():
        raise ModelError(where, "no such file")
    module_name = f"tinyc_data_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _raised(where, error) from error
    finally:
        sys.path.remove(folder)
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ModelError(where, f"no function '{name}'", hint=suggestion(name, known) if known else "")
    found: Function = function
    return found


def function_samples(
    where: str, function: Function, inputs: Sequence[Tensor], names: Sequence[str], preprocessing: Preprocessing
) -> Iterator[Sample]:
    """The samples that a function yields: an array (a list or dict of arrays for several inputs), or a pair of it and a label."""
    for number, item in enumerate(_items(where, function)):
        name = f"{where}[{number}]"
        value, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        parts = _parts(name, value, inputs, names)
        rows = [_one(name, part, tensor) for part, tensor in zip(parts, inputs, strict=True)]
        arrays = tuple(real_values(name, row, tensor, preprocessing) for row, tensor in zip(rows, inputs, strict=True))
        yield Sample(name, arrays, _label(name, label))


def _label(where: str, label: Any) -> object:
    if label is None or isinstance(label, str):
        return label
    try:
        return plain_label(label)
    except Exception as error:
        raise ModelError(where, f"a label that is no number: {error}", expected="a class, or numbers") from None


def _items(where: str, function: Function) -> Iterator[Any]:
    try:
        yielded = function()
        iterator = iter(yielded)
    except TypeError as error:
        raise _raised(where, error, "a function without arguments that yields samples") from error
    except (Exception, SystemExit) as error:
        raise _raised(where, error) from error
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:
            raise _raised(where, error) from error
        yield item


def _raised(where: str, error: BaseException, expected: str = "") -> ModelError:
    """The user's exception and the line of the user's file that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    line = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return ModelError(where, f"raised {type(error).__name__}: {error}{line}", expected=expected)


def _parts(where: str, value: Any, inputs: Sequence[Tensor], names: Sequence[str]) -> list[Any]:
    """The value of each input."""
    known = list(names) if len(names) == len(inputs) else [tensor.name for tensor in inputs]
    if isinstance(value, Mapping):
        missing = [name for name in known if name not in value]
        if missing:
            found = f"inputs {', '.join(str(key) for key in list(value)[:8])}"
            raise ModelError(where, found, expected=f"a value for each of {', '.join(known)}")
        return [value[name] for name in known]
    if len(inputs) == 1:
        return [value]
    if not isinstance(value, list | tuple) or len(value) != len(inputs):
        found = f"{len(value)} values" if isinstance(value, list | tuple) else type(value).__name__
        raise ModelError(where, found, expected=f"a list or dict of {len(inputs)} arrays: {', '.join(known)}")
    return list(value)


def _one(where: str, value: Any, tensor: Tensor) -> Array:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise ModelError(where, f"{type(value).__name__} that is no array: {error}", expected="an array") from None
    rows = as_samples(where, array, tensor)
    if len(rows) != 1:
        raise ModelError(where, f"{len(rows)} samples at once", hint="yield them one by one")
    row: Array = rows[0]
    return row

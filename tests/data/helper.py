# SPDX-License-Identifier: Apache-2.0
"""The generated preprocessing helper, compiled for this computer and called through ctypes."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from oracle import C_FLAGS
from tinyc.data import Preprocessing
from tinyc.emit.preprocess import preprocess_files
from tinyc.graph import DTYPES, Array, Tensor
from tinyc.resources import resource

PIXELS = {"rgb888": 0, "bgr888": 1, "gray8": 2, "rgb565be": 3, "rgb565le": 4}


def write(folder: Path, record: Preprocessing, inputs: Sequence[Tensor], name: str = "m") -> list[Path]:
    """The helper's files in `folder`, with the header of the library that it goes beside; the .c files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {**preprocess_files(name, record, inputs), "tinyc_kernels.h": _kernels_header()}
    for path, data in files.items():
        (folder / path).write_bytes(data)
    return sorted(folder.glob("*.c"))


def _kernels_header() -> bytes:
    return (resource("runtime_c") / "tinyc_kernels.h").read_bytes()


class Helper:
    """`call(function, tensor, *arguments)` calls `m_<function>` with an input of the tensor's type as the last argument."""

    def __init__(
        self, folder: Path, record: Preprocessing, inputs: Sequence[Tensor], flags: Sequence[str] = ()
    ) -> None:
        sources = write(folder, record, inputs)
        library = folder / "m.so"
        command = ["gcc", *C_FLAGS, *flags, "-shared", "-fPIC", *map(str, sources), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:3000]
        self.library = ctypes.CDLL(str(library))

    def call(self, function: str, tensor: Tensor, *arguments: Any) -> Array:
        made = np.full(tensor.elements + 8, 77, DTYPES[tensor.dtype])
        getattr(self.library, f"m_{function}")(*map(_argument, arguments), _argument(made))
        assert (made[tensor.elements :] == 77).all()
        return made[: tensor.elements].reshape(tensor.shape[1:])


def _argument(value: Any) -> Any:
    return value.ctypes.data_as(ctypes.c_void_p) if isinstance(value, np.ndarray) else ctypes.c_int32(value)


def assert_same(want: Array, got: Array) -> None:
    assert want.dtype == got.dtype and want.shape == got.shape
    differs = np.flatnonzero(np.frombuffer(want.tobytes(), np.uint8) != np.frombuffer(got.tobytes(), np.uint8))
    assert differs.size == 0, (
        f"{differs.size} of {want.nbytes} bytes differ, {want.reshape(-1)[:8]} and {got.reshape(-1)[:8]}"
    )

# SPDX-License-Identifier: Apache-2.0
"""One graph, three implementations: numpy reference, TFLite Micro's Python package, and the emitted C run natively."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tinyc import reference
from tinyc.emit import emit
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import DTYPES, Array, Graph, Tensor
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.ops import problems
from tinyc.targets.cpus import find_cpu

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

C_FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wmissing-prototypes", "-Werror", "-O1", "-g"]


def random_array(tensor: Tensor, random: np.random.Generator) -> Array:
    """Random contents for an input tensor: the whole range for integers, values around the range for float32."""
    if tensor.dtype == "float32":
        return random.normal(0.0, 3.0, tensor.shape).astype(np.float32)
    info = np.iinfo(DTYPES[tensor.dtype])
    return random.integers(info.min, int(info.max) + 1, tensor.shape).astype(DTYPES[tensor.dtype])


def random_inputs(graph: Graph, seed: int) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random_array(tensor, random) for tensor in graph.input_tensors]


def tflm_outputs(graph: Graph, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of TFLite Micro's reference kernels."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(to_bytes(graph), arena_size=4 * 1024 * 1024)
    for position, array in enumerate(inputs):
        interpreter.set_input(array, position)
    interpreter.invoke()
    return [interpreter.get_output(position) for position in range(len(graph.outputs))]


def compiled_outputs(graph: Graph, inputs_list: Sequence[Sequence[Array]], cpu: str = "host") -> list[list[Array]]:
    """The outputs of the emitted C, built natively with gcc under the house's warnings, for each set of inputs."""
    program = lower(graph, find_cpu(cpu))
    memory = plan_memory(program)
    with tempfile.TemporaryDirectory() as folder:
        for name, data in emit(program, memory, "m").items():
            (Path(folder) / name).write_bytes(data)
        library = Path(folder) / "m.so"
        sources = sorted(str(path) for path in Path(folder).glob("*.c"))
        command = ["gcc", *C_FLAGS, "-shared", "-fPIC", "-I", folder, *sources, "-o", str(library)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[:3000]
        return _call(graph, ctypes.CDLL(str(library)), memory.size, inputs_list)


def _call(graph: Graph, library: ctypes.CDLL, arena: int, inputs_list: Sequence[Sequence[Array]]) -> list[list[Array]]:
    memory = np.zeros(arena + 64, np.uint8)
    context = ctypes.c_void_p((memory.ctypes.data + 63) // 64 * 64)

    def view(kind: str, position: int, tensor: Tensor) -> npt.NDArray[np.uint8]:
        count = len(graph.inputs if kind == "input" else graph.outputs)
        function = getattr(library, f"m_{kind}" if count == 1 else f"m_{kind}_{position}")
        function.restype = ctypes.c_void_p
        size = max(tensor.bytes, 1)
        return np.ctypeslib.as_array(ctypes.cast(function(context), ctypes.POINTER(ctypes.c_uint8)), (size,))[
            : tensor.bytes
        ]

    results = []
    for inputs in inputs_list:
        for position, (array, tensor) in enumerate(zip(inputs, graph.input_tensors, strict=True)):
            view("input", position, tensor)[:] = np.frombuffer(array.tobytes(), np.uint8)
        library.m_run(context)
        results.append(
            [
                np.frombuffer(view("output", position, tensor).tobytes(), DTYPES[tensor.dtype]).reshape(tensor.shape)
                for position, tensor in enumerate(graph.output_tensors)
            ]
        )
    return results


def check(graph: Graph, runs: int = 2, seed: int = 0, tflm: bool = True) -> None:
    """Fails unless reference, TFLite Micro and compiled C agree byte for byte on `runs` random inputs."""
    for layer in graph.layers():
        assert problems(layer) == []
    inputs_list = [random_inputs(graph, seed + run) for run in range(runs)]
    compiled = compiled_outputs(graph, inputs_list)
    for inputs, from_c in zip(inputs_list, compiled, strict=True):
        expected = reference.outputs(graph, inputs)
        others = {"C": from_c} | ({"TFLM": tflm_outputs(graph, inputs)} if tflm else {})
        for who, outputs in others.items():
            assert_same = assert_near if who == "TFLM" and calls_a_library(graph) else assert_same_bytes
            for tensor, want, got in zip(graph.output_tensors, expected, outputs, strict=True):
                assert_same(want, got, f"{who} differs from the reference in '{tensor.name}'")


def calls_a_library(graph: Graph) -> bool:
    """Whether TFLite Micro computes some layer with its C library's exp or tanh, whose last bits differ from library to library."""
    return any(
        layer.op in ("SOFTMAX", "LOGISTIC", "TANH") and layer.output.dtype == "float32" for layer in graph.layers()
    )


def assert_near(want: Array, got: Array, message: str, most: int = 4) -> None:
    """Fails unless two float32 arrays are at most `most` units in the last place apart."""
    a, b = (array.reshape(-1).view(np.int32).astype(np.int64) for array in (want, got))
    apart = np.abs(np.where(a < 0, -(2**31) - a, a) - np.where(b < 0, -(2**31) - b, b))
    assert apart.size == 0 or apart.max() <= most, f"{message} by {apart.max()} units in the last place"


def assert_same_bytes(want: Array, got: Array, message: str) -> None:
    assert want.dtype == got.dtype, f"{message}: {want.dtype} and {got.dtype}"
    assert want.size == got.size, f"{message}: {want.shape} and {got.shape}"
    a, b = want.reshape(-1), got.reshape(-1)
    bits = {"float32": np.uint32}.get(str(a.dtype))
    differs = np.flatnonzero(a.view(bits) != b.view(bits)) if bits else np.flatnonzero(a != b)
    assert differs.size == 0, (
        f"{message}: {differs.size} elements, first [{differs[0]}] is {b[differs[0]]}, expected {a[differs[0]]}"
    )

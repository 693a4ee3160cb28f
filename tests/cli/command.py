# SPDX-License-Identifier: Apache-2.0
"""`tinyc` as a user runs it: exit code, standard output and standard error; and models that it must refuse."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tinyc import targets
from tinyc.cli import main
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Node, Quantization, Tensor

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = {
    path.stem: path for path in sorted((ROOT / "examples").glob("*/*.tflite")) if not path.stem.endswith("_float")
}
KWS = EXAMPLES["kws"]
SINE = EXAMPLES["sine"]

#: The command in a process of its own.
PROCESS = (sys.executable, "-c", "from tinyc.cli import main; main()")


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Standard output as one line: tables wrap where the terminal ends."""
        return " ".join(self.out.split())


def tinyc(*arguments: str | Path) -> Result:
    """Runs the command in this process, through the entry point that turns errors into exit codes."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["tinyc", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.argv = before
    assert "Traceback" not in out.getvalue() + err.getvalue()
    assert "internal error" not in err.getvalue(), err.getvalue()
    return Result(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def portable_kernels() -> Iterator[None]:
    """Every core computes with the portable kernels, as it does until its instruction set gets some of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "instruction_sets", lambda: {"generic": frozenset()})
        targets.kernels_for.cache_clear()
        yield
    targets.kernels_for.cache_clear()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def int8(name: str, shape: tuple[int, ...], data: np.ndarray | None = None) -> Tensor:
    return Tensor(name, shape, "int8", Quantization((0.05,), (0,)), data)


def save(path: Path, graph: Graph) -> Path:
    path.write_bytes(to_bytes(graph))
    return path


def unsupported_model(path: Path) -> Path:
    """Three operators that tinyc does not take, for three reasons, around one that it does."""
    tensors = (
        int8("image", (1, 4)),
        int8("model/square", (1, 4)),
        int8("model/relu", (1, 4)),
        int8("model/magic", (1, 4)),
        Tensor("model/tanh", (1, 4), "int8", Quantization((0.5,), (0,))),
    )
    ops = ("ABS", "RELU", "CUSTOM:Magic", "TANH")
    nodes = tuple(Node(op, (i,), (i + 1,), {}, 1, i) for i, op in enumerate(ops))
    return save(path, Graph(tensors, nodes, (0,), (4,), ("image",), ("result",)))


def float_model(path: Path) -> Path:
    """What a converter writes without a representative dataset."""
    tensors = (
        Tensor("x", (1, 4), "float32"),
        Tensor("w", (3, 4), "float32", None, np.ones((3, 4), np.float32)),
        Tensor("dense/MatMul", (1, 3), "float32"),
        Tensor("softmax/Softmax", (1, 3), "float32"),
    )
    attributes = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
    nodes = (
        Node("FULLY_CONNECTED", (0, 1, -1), (2,), attributes, 1, 0),
        Node("SOFTMAX", (2,), (3,), {"beta": 1.0}, 1, 1),
    )
    return save(path, Graph(tensors, nodes, (0,), (3,), ("x",), ("y",)))


def large_model(path: Path, widths: Sequence[int] = (256, 512, 300, 256, 8)) -> Path:
    """FULLY_CONNECTED layers with several hundred kB of weights."""
    random = np.random.default_rng(1)
    tensors, nodes = [int8("x", (1, widths[0]))], []
    for i in range(1, len(widths)):
        weights = random.integers(-127, 128, (widths[i], widths[i - 1])).astype(np.int8)
        tensors += [int8(f"w{i}", weights.shape, weights), int8(f"dense{i}", (1, widths[i]))]
        attributes = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
        source = 0 if i == 1 else 2 * i - 2
        nodes.append(Node("FULLY_CONNECTED", (source, 2 * i - 1, -1), (2 * i,), attributes, 1, i - 1))
    last = len(tensors) - 1
    return save(path, Graph(tuple(tensors), tuple(nodes), (0,), (last,), ("x",), ("y",)))


def wide_model(path: Path, side: int = 96) -> Path:
    """Few weights, much RAM: two pooling-free elementwise layers on a large image."""
    shape = (1, side, side, 8)
    tensors = (int8("image", shape), int8("left", shape), int8("right", shape), int8("sum", shape))
    nodes = (
        Node("RELU", (0,), (1,), {}, 1, 0),
        Node(
            "MAX_POOL_2D",
            (0,),
            (2,),
            {"padding": "SAME", "stride": (1, 1), "window": (3, 3), "activation": "NONE"},
            1,
            1,
        ),
        Node("ADD", (1, 2), (3,), {"activation": "NONE"}, 1, 2),
    )
    return save(path, Graph(tensors, nodes, (0,), (3,), ("image",), ("sum",)))

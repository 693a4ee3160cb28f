# SPDX-License-Identifier: Apache-2.0
"""tinyc: a TinyML compiler. A `.tflite` model in, verified firmware in plain C out.

import tinyc

built = tinyc.compile("kws.tflite", board="esp32")   # a Compilation: .sources, .plan, .report, .run(), .write()
built.write("kws-esp32")
tinyc.verify("kws-esp32")                            # runs the check again on what is in the folder
graph = tinyc.load("kws.tflite")                     # the network alone
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "compile", "load", "verify"]

if TYPE_CHECKING:
    from .graph import Array, Graph
    from .pipeline import Compilation
    from .verification import EngineResult


def load(model: Path | str) -> Graph:
    """The network of a `.tflite` file. Raises `tinyc.errors.ModelError` when the file is not one that can be read."""
    from .importers import tflite

    return tflite.load(model)


def compile(
    model: Path | str,
    board: str,
    *,
    name: str | None = None,
    format: str | None = None,
    framework: str | None = None,
    optimize: str = "balanced",
    verify: str = "auto",
    inputs: Sequence[Sequence[Array]] = (),
    count: int = 4,
    seed: int = 1,
    layers: bool = False,
) -> Compilation:
    """Compiles a model for a board, in memory; nothing is written to disk.

    Args:
        model: path of an int8 `.tflite` file.
        board: a board's name (`tinyc boards`) or the path of its `.toml`.
        name: C prefix of the generated code; from the file name by default.
        format: `platformio`, `cmake` or `c`; by default what suits the board.
        framework: such as `arduino` or `espidf`; the board's first by default.
        optimize: `speed`, `balanced` or `size`.
        verify: `auto`, `none`, `host`, `unicorn`, `qemu` or `renode`.
        inputs: extra input sets to verify with, each one array per model input.
        count: how many made input sets to verify with; `seed` is the first one's seed.
        layers: compare every layer and not only the outputs.

    Raises:
        tinyc.errors.ModelError: the model is damaged or has unsupported operators.
        tinyc.errors.UsageError: an argument is wrong.
        tinyc.errors.DoesNotFitError: it does not fit the board.
        tinyc.errors.ToolError: a tool is missing or failed.
        tinyc.errors.MismatchError: the compiled code computes something else than the reference.
    """
    from .pipeline import Options, compile_model

    return compile_model(model, Options(board, name, format, framework, optimize, verify, inputs, count, seed, layers))


def verify(
    target: Path | str,
    *,
    emulator: str = "auto",
    board: str | None = None,
    seed: int = 1,
    count: int = 4,
    inputs: Sequence[Sequence[Array]] = (),
    layers: bool = False,
) -> tuple[EngineResult, ...]:
    """Runs the byte comparison again: on a folder that `tinyc build` wrote, with the C that is in it, or on a model.

    Raises `tinyc.errors.MismatchError` naming the first differing layer and element, or the errors of `compile`.
    """
    from .recheck import recheck

    return recheck(Path(target), emulator=emulator, board=board, seed=seed, count=count, inputs=inputs, layers=layers)

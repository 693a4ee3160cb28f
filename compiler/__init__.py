# SPDX-License-Identifier: Apache-2.0
"""tinyc: a TinyML compiler. A `.tflite` or Keras model in, verified firmware in plain C out. Float models are quantized first:
`tinyc.compile("float.tflite", board="esp32", calibrate="samples.npz", evaluate="held_out.npz")`.

import tinyc

built = tinyc.compile("kws.tflite", board="esp32")   # a Compilation: .sources, .plan, .report, .run(), .write()
built.write("kws-esp32")
tinyc.verify("kws-esp32")                            # runs the check again on what is in the folder
graph = tinyc.load("kws.tflite")                     # the network alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["__version__", "compile", "load", "verify"]

if TYPE_CHECKING:
    from .data import DataOptions
    from .graph import Array, Graph
    from .model import DataSource
    from .pipeline import Compilation
    from .quantize import Settings
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
    calibrate: DataSource | None = None,
    evaluate: DataSource | None = None,
    data: DataOptions | None = None,
    settings: Settings | None = None,
) -> Compilation:
    """Compiles a model for a board, in memory; nothing is written to disk.

    Args:
        model: path of a `.tflite` file, or of a Keras file or SavedModel folder (these need TensorFlow).
        board: a board's name (`tinyc boards`) or the path of its `.toml`.
        name: C prefix of the generated code; from the file name by default.
        format: `platformio`, `cmake` or `c`; by default what suits the board.
        framework: such as `arduino` or `espidf`; the board's first by default.
        optimize: `speed`, `balanced`, `ram` or `size`.
        verify: `auto`, `none`, `host`, `unicorn`, `qemu` or `renode`.
        inputs: extra input sets to verify with, each one array per model input.
        count: how many made input sets to verify with; `seed` is the first one's seed.
        layers: compare every layer and not only the outputs.
        calibrate: samples that quantize a float model, see `tinyc.data.load`.
        evaluate: samples, mostly with labels, on which the compiled C is measured: `.report.evaluation`.
        data: how these samples are read.
        settings: how a float model is quantized, see `tinyc.quantize.Settings`.

    Raises:
        tinyc.errors.ModelError: the model is damaged or has unsupported operators, or the data do not suit it.
        tinyc.errors.UsageError: an argument is wrong.
        tinyc.errors.DoesNotFitError: it does not fit the board.
        tinyc.errors.ToolError: a tool is missing or failed.
        tinyc.errors.MismatchError: the compiled code computes something else than the reference.
    """
    from .data import DataOptions
    from .model import Quantizing
    from .pipeline import Options, compile_model
    from .quantize import Settings

    options = Options(board, name, format, framework, optimize, verify, inputs, count, seed, layers)
    quantizing = Quantizing(calibrate, data or DataOptions(), settings or Settings())
    return compile_model(model, replace(options, quantizing=quantizing, evaluate=evaluate))


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

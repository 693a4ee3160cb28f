# SPDX-License-Identifier: Apache-2.0
"""What quantization refuses, and the order of samples that makes its result independent of theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ..errors import ModelError, UsageError, suggestion
from ..graph import Array, Graph, Layer, Tensor, short_name
from ..ops import all_ops, problems
from .execute import sample_shape
from .prepare import linear
from .result import ACTIVATIONS, RANGES, ROUNDINGS, Settings


def check_settings(settings: Settings) -> None:
    """Raises UsageError for a value that does not exist."""
    for option, value, known in (
        ("--ranges", settings.ranges, RANGES),
        ("--activations", settings.activations, ACTIVATIONS),
        ("--rounding", settings.rounding, ROUNDINGS),
    ):
        if value not in known:
            raise UsageError(option, f"unknown value '{value}'", hint=suggestion(value, known))
    if not 50.0 < settings.percentile <= 100.0:
        raise UsageError("--percentile", str(settings.percentile), expected="more than 50, at most 100")
    if not 0.0 <= settings.held_out < 1.0:
        raise UsageError("held_out", str(settings.held_out), expected="0 to 1")


def check_operators(graph: Graph, settings: Settings) -> None:
    """Raises ModelError naming every layer of a prepared graph that has no float32 form, or no integer one that is wanted."""
    names = {graph.tensors[i].name for node in graph.nodes for i in node.outputs}
    for name in settings.keep_float:
        if name not in names and name not in {short_name(known) for known in names}:
            raise UsageError("--keep-float", f"no layer '{name}'", hint=suggestion(name, sorted(names)))
    found = obstacles(graph, settings)
    if not found:
        return
    text = "\n".join(f"    {layer.where}: {problem}" for layer, problem in found)
    hint = "docs/ops.md lists the operators"
    if any(_has_float_form(layer) and not problems(layer) and not _not_finite(layer) for layer, _ in found):
        hint = f"--allow-float keeps those in float32 that tinyc compiles as float; {hint}"
    raise ModelError(
        graph.source.file_name or "model",
        f"{len(found)} of {len(graph.nodes)} layers cannot be quantized:\n{text}",
        hint=hint,
    )


def obstacles(graph: Graph, settings: Settings) -> list[tuple[Layer, str]]:
    """What keeps a prepared graph from being quantized, by layer."""
    return [(layer, problem) for layer in graph.layers() for problem in _problems(layer, settings)]


def _problems(layer: Layer, settings: Settings) -> list[str]:
    op = all_ops().get(layer.op)
    if op is None or op.real is None:
        return [f"{layer.op} is not supported"]
    if all(tensor is None or tensor.data is not None for tensor in layer.inputs):
        return ["all of its inputs are constants: put what it computes into the model in its place"]
    tensor = _not_finite(layer)
    if tensor is not None:
        return [
            f"'{short_name(tensor.name)}' holds values that are not finite (NaN or infinity): the training diverged"
        ]
    stays = _kept(layer, settings) or settings.allow_float
    if not stays and not has_integer_form(layer, settings):
        return ["has no integer form" + _why(layer, settings)]
    return problems(layer)


def _not_finite(layer: Layer) -> Tensor | None:
    """A constant of the layer with NaN or infinity in it."""
    reals = [tensor for tensor in layer.inputs if tensor is not None and tensor.dtype == "float32"]
    return next((tensor for tensor in reals if tensor.data is not None and not np.isfinite(tensor.data).all()), None)


def _kept(layer: Layer, settings: Settings) -> bool:
    """Whether the user wants the layer in float32: by its output's name, or the first of fused names."""
    return layer.output.name in settings.keep_float or short_name(layer.output.name) in settings.keep_float


def _has_float_form(layer: Layer) -> bool:
    return layer.op in all_ops() and all_ops()[layer.op].real is not None


def _why(layer: Layer, settings: Settings) -> str:
    rule = all_ops()[layer.op].integer
    if rule is None:
        return ""
    if settings.activations not in rule.versions:
        return f" with {settings.activations} activations"
    return ": its weights are computed at run time"


def has_integer_form(layer: Layer, settings: Settings) -> bool:
    """Whether the layer can work on integers of the wanted type."""
    rule = all_ops()[layer.op].integer
    if rule is None or settings.activations not in rule.versions:
        return False
    return rule.channels is None or linear(layer)


def float_layers(graph: Graph, settings: Settings) -> frozenset[int]:
    """Positions of the layers that stay float32."""
    return frozenset(
        position
        for position, layer in enumerate(graph.layers())
        if _kept(layer, settings) or (settings.allow_float and not has_integer_form(layer, settings))
    )


def check_samples(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """The samples as float32, after checking number, shapes and values."""
    if not arrays:
        return []
    tensors = graph.input_tensors
    if len(arrays) != len(tensors):
        raise ModelError(
            "calibration data",
            f"{len(arrays)} arrays",
            expected=f"{len(tensors)}, one per input: {', '.join(graph.input_names)}",
        )
    checked = []
    for name, tensor, array in zip(graph.input_names, tensors, arrays, strict=True):
        given = np.asarray(array)
        shape = sample_shape(tensor)
        if given.shape[1:] != shape or given.dtype.kind not in "fiu":
            raise ModelError(
                f"calibration data for '{name}'",
                f"{given.dtype} array of shape {list(given.shape)}",
                expected=f"float32 [samples, {', '.join(str(extent) for extent in shape)}]",
            )
        if not np.isfinite(given).all():
            raise ModelError(f"calibration data for '{name}'", "values that are not finite (NaN or infinity)")
        checked.append(np.ascontiguousarray(given, np.float32))
    if len({len(array) for array in checked}) != 1:
        counts = ", ".join(str(len(array)) for array in checked)
        raise ModelError("calibration data", f"{counts} samples for the inputs", expected="as many for each")
    return checked


def sort_samples(arrays: Sequence[Array]) -> list[Array]:
    """The samples in an order that depends on nothing but their values: by a hash of their bytes."""
    if not arrays:
        return []
    digests = [hashlib.sha256(b"".join(array[n].tobytes() for array in arrays)).digest() for n in range(len(arrays[0]))]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return [array[order] for array in arrays]

# SPDX-License-Identifier: Apache-2.0
"""What each operator means, independent of any machine. One file per operator; discovery is by listing the folder.

A file `compiler/ops/<name>.py` defines `OP`, an :class:`Op`. Files that start with an underscore are shared parts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..graph import Array, Graph, Layer, Quantization

#: Checks one rule. Its docstring is the rule, for error messages and docs/ops.md; it returns what was found instead, or None.
Constraint = Callable[[Layer], str | None]


def _no_attributes(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _no_macs(layer: Layer) -> int:
    return 0


@dataclass(frozen=True)
class Integer:
    """How a float32 layer of an operator becomes an integer one. Source: TFLite's 8-bit (and 16x8) quantization specification.

    Attributes:
        output: `own`: the output gets the range of its values; `shared`: it has the scale and zero point of its float inputs,
            which must all be the same; `fixed`: the ones in `fixed`.
        fixed: the output's quantization by activation type, `int8` and `int16`.
        channels: the axis of the constant input 1 along which it has a scale per channel; input 2 is then the bias. None: no weights.
        versions: the operator version that a file must name, by activation type: `float32`, `int8`, `int16`. A type that is not
            listed is not supported.
    """

    output: str
    versions: Mapping[str, int]
    fixed: Mapping[str, Quantization] = field(default_factory=dict)
    channels: int | None = None


@dataclass(frozen=True)
class Op:
    """The definition of one TFLite operator.

    Attributes:
        name: TFLite's builtin operator name, such as `CONV_2D`.
        versions: lowest and highest operator version taken.
        inputs: role of each input; a trailing `?` marks an optional one, `*` any number.
        constraints: rules that a layer must satisfy, in order; later rules may rely on earlier ones.
        output_shapes: the shape of each output, computed from the inputs.
        reference: the definition of right: integer numpy, given the layer and its input arrays (None where absent; constants
            included), returns the output arrays. On float32 tensors, the same operations in the same order as TFLite Micro.
        cases: named one-operator graphs for the generic operator test.
        options: the schema table with the operator's options, or None.
        attributes: turns the raw options of the file into `Node.attributes`.
        export: turns `Node.attributes` back into raw options, for the exporter.
        macs: multiply-accumulates of one layer.
        view: the output holds the input's bytes unchanged, so no code is needed.
        real: what the operator computes on float32 arrays, for calibration: any order of additions, and inputs and outputs may
            have any number of samples along axis 0 where the layer's tensors say 1. None: it has no float form.
        integer: how a float32 layer becomes an integer one; None: it cannot.
    """

    name: str
    versions: tuple[int, int]
    inputs: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    output_shapes: Callable[[Layer], Sequence[tuple[int, ...]]]
    reference: Callable[[Layer, Sequence[Array | None]], Sequence[Array]]
    cases: Callable[[], Iterator[tuple[str, Graph]]]
    options: str | None = None
    attributes: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _no_attributes
    export: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _no_attributes
    macs: Callable[[Layer], int] = _no_macs
    view: bool = False
    real: Callable[[Layer, Sequence[Array | None]], Sequence[Array]] | None = None
    integer: Integer | None = None


@cache
def all_ops() -> Mapping[str, Op]:
    """Every operator that tinyc takes, by TFLite name."""
    found: dict[str, Op] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            op: Op = importlib.import_module(f".{module.name}", __name__).OP
            found[op.name] = op
    return found


def find(name: str) -> Op | None:
    """The operator of that TFLite name, or what an accelerator's compiler put in the place of several."""
    from ..accelerators import all_accelerators

    if name in all_ops():
        return all_ops()[name]
    accelerator = all_accelerators().get(name) if name.startswith("CUSTOM:") else None
    return accelerator.op if accelerator else None


def op_of(layer: Layer) -> Op:
    """The operator of a supported layer."""
    found = find(layer.op)
    assert found is not None, layer.op
    return found


def problems(layer: Layer) -> list[str]:
    """What keeps tinyc from taking this layer: one line per violated rule, empty when it is supported."""
    op = find(layer.op)
    if op is None:
        return [f"{layer.op} is not supported"]
    low, high = op.versions
    if not low <= layer.node.version <= high:
        return [f"version {layer.node.version} found, versions {low} to {high} are supported"]
    required = sum(1 for role in op.inputs if role[-1] not in "?*")
    if len(layer.inputs) < required or (op.inputs[-1][-1] != "*" and len(layer.inputs) > len(op.inputs)):
        return [f"{len(layer.inputs)} inputs found, expected {', '.join(op.inputs)}"]
    absent = [
        role for role, tensor in zip(op.inputs, layer.inputs, strict=False) if tensor is None and role[-1] not in "?*"
    ]
    if absent:
        return [f"input {absent[0]} is absent"]
    if not layer.outputs:
        return ["no outputs found, expected one"]
    for constraint in op.constraints:
        found = constraint(layer)
        if found is not None:
            rule = " ".join((constraint.__doc__ or "").split())
            return [f"{rule} Found: {found}."]
    expected = [tuple(shape) for shape in op.output_shapes(layer)]
    actual = [tensor.shape for tensor in layer.outputs]
    if expected != actual:
        return [f"output shape {actual} found, the operator computes {expected}"]
    return []

# SPDX-License-Identifier: Apache-2.0
"""What Google's Edge TPU compiler will likely make of a model. All of it is advisory: that compiler is closed.

The rules are those of coral.ai's "TensorFlow models on the Edge TPU" (the table of supported operations and their
limits) and of what its users report. A rule is a function that says whether a layer keeps it; its docstring is the text
that is shown when the layer does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from ...graph import Graph, Layer, Tensor

Rule = Callable[[Layer], bool]

#: Elements that a softmax may have.
MAX_SOFTMAX = 16_000


class Verdict(Enum):
    MAPPED = "mapped"
    PERHAPS = "perhaps"
    NOT_MAPPED = "not mapped"
    STRANDED = "behind an operator that is not mapped"


@dataclass(frozen=True)
class Finding:
    """One operator: what to expect, and the rules that speak against it."""

    index: int
    op: str
    name: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()

    @property
    def on_tpu(self) -> bool:
        """Expected on the Edge TPU, for sure or perhaps."""
        return self.verdict in (Verdict.MAPPED, Verdict.PERHAPS)


def lint(graph: Graph) -> tuple[Finding, ...]:
    """What to expect for every operator, in order.

    The compiler makes one part for the TPU: what can run there from the inputs on. Behind the first operator that
    cannot, everything stays on the CPU; a conversion of float inputs before that part does not count.
    """
    off: set[int] = set()
    findings = []
    for layer in graph.layers():
        finding = _finding(layer)
        if finding.on_tpu and any(index in off for index in layer.node.inputs):
            finding = Finding(finding.index, finding.op, finding.name, Verdict.STRANDED, finding.reasons)
        if not finding.on_tpu and not _converts_input(graph, layer):
            off.update(layer.node.outputs)
        findings.append(finding)
    return tuple(findings)


def reasons(layer: Layer) -> tuple[Verdict, tuple[str, ...]]:
    """What speaks against one operator, wherever it stands."""
    if layer.op not in SUPPORTED:
        return Verdict.NOT_MAPPED, (f"{layer.op} is not in the table of supported operations",)
    if layer.optional(0) is None or not layer.outputs:
        return Verdict.NOT_MAPPED, ("it lacks an input or an output",)
    broken = tuple(_text(rule) for rule in (*EVERYWHERE, *SUPPORTED[layer.op]) if not rule(layer))
    if broken:
        return Verdict.NOT_MAPPED, broken
    doubts = tuple(_text(rule) for rule in DOUBTS.get(layer.op, ()) if not rule(layer))
    return (Verdict.PERHAPS if doubts else Verdict.MAPPED), doubts


def _finding(layer: Layer) -> Finding:
    verdict, found = reasons(layer)
    return Finding(layer.node.index, layer.op, layer.outputs[0].name if layer.outputs else "", verdict, found)


def _converts_input(graph: Graph, layer: Layer) -> bool:
    return layer.op == "QUANTIZE" and all(index in graph.inputs for index in layer.node.inputs)


def _text(rule: Rule) -> str:
    return " ".join((rule.__doc__ or "").split()).rstrip(".")


def _activations(layer: Layer) -> Iterator[Tensor]:
    """What flows through the network: not constants, not state."""
    for tensor in (*layer.inputs, *layer.outputs):
        if tensor is not None and not tensor.constant and not tensor.variable:
            yield tensor


def eight_bits(layer: Layer) -> bool:
    """It works on a data type other than int8 and uint8."""
    return all(tensor.dtype in ("int8", "uint8") for tensor in _activations(layer))


def quantized(layer: Layer) -> bool:
    """It has a tensor without scale and zero point."""
    return all(tensor.quantization is not None for tensor in _activations(layer) if tensor.dtype in ("int8", "uint8"))


def three_dimensions(layer: Layer) -> bool:
    """Only the three innermost dimensions of a tensor may be larger than 1."""
    return all(extent == 1 for tensor in _activations(layer) for extent in tensor.shape[:-3])


def constant_parameters(layer: Layer) -> bool:
    """Its weights are computed, not constant."""
    weights, bias = layer.optional(1), layer.optional(2)
    return weights is not None and weights.constant and (bias is None or bias.constant)


def no_activation(layer: Layer) -> bool:
    """It has a fused activation function, which this operator may not have."""
    return bool(layer.attributes.get("activation", "NONE") == "NONE")


def equal_dilation(layer: Layer) -> bool:
    """Its dilation differs between x and y."""
    return len(set(layer.attributes.get("dilation", ()))) <= 1


def default_weights_format(layer: Layer) -> bool:
    """Its weights are stored in a shuffled format."""
    return bool(layer.attributes.get("weights_format", "DEFAULT") == "DEFAULT")


def vector_output(layer: Layer) -> bool:
    """Its output has more than one dimension larger than 1."""
    return all(sum(extent > 1 for extent in tensor.shape) <= 1 for tensor in layer.outputs)


def only_zeros_appended(layer: Layer) -> bool:
    """It joins a constant that is not a padding of zeros of one other input."""
    constants = [t for t in layer.inputs if t is not None and t.data is not None]
    zero = [
        t for t in constants if t.data is not None and bool((t.data == (t.zero_point if t.quantization else 0)).all())
    ]
    return not constants or (len(layer.inputs) == 2 and len(zero) == len(constants))


def small_vector(layer: Layer) -> bool:
    """Its input is not a vector of at most 16,000 elements."""
    return all(t.elements <= MAX_SOFTMAX and sum(e > 1 for e in t.shape) <= 1 for t in layer.outputs)


def no_batch_axis(layer: Layer) -> bool:
    """It works along the batch dimension."""
    axes, rank = layer.optional(1), len(layer.input(0).shape)
    if axes is None or axes.data is None:
        return False
    return rank < 4 or all(int(axis) % rank != 0 for axis in axes.data.reshape(-1))


def no_batch_padding(layer: Layer) -> bool:
    """It pads the batch dimension."""
    paddings = layer.optional(1)
    if paddings is None or paddings.data is None:
        return False
    return len(paddings.shape) != 2 or paddings.shape[0] < 4 or not paddings.data[0].any()


def unit_strides(layer: Layer) -> bool:
    """Its strides are not all 1."""
    strides = layer.optional(3)
    return strides is not None and strides.data is not None and bool((strides.data == 1).all())


def no_special_masks(layer: Layer) -> bool:
    """It uses an ellipsis or a new axis."""
    return not layer.attributes.get("ellipsis_mask") and not layer.attributes.get("new_axis_mask")


def vector_alpha(layer: Layer) -> bool:
    """Its alpha has more than one dimension larger than 1."""
    alpha = layer.optional(1)
    return alpha is not None and alpha.constant and sum(extent > 1 for extent in alpha.shape) <= 1


def small_resize(layer: Layer) -> bool:
    """A resize may be left out where the compiler fears for precision, depending on the sizes."""
    return False


def small_reshape(layer: Layer) -> bool:
    """Certain reshapes of large tensors may be left out."""
    return layer.output.bytes <= 1 << 20


def inner_mean_of_four(layer: Layer) -> bool:
    """A mean over the innermost dimension may need a multiple of 4 there."""
    axes, shape = layer.optional(1), layer.input(0).shape
    if axes is None or axes.data is None or not shape:
        return False
    inner = any(int(axis) % len(shape) == len(shape) - 1 for axis in axes.data.reshape(-1))
    return not inner or shape[-1] % 4 == 0


EVERYWHERE: tuple[Rule, ...] = (eight_bits, quantized, three_dimensions)

#: The operators that the Edge TPU has, with their limits.
SUPPORTED: Mapping[str, tuple[Rule, ...]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (no_activation,),
    "CONCATENATION": (no_activation, only_zeros_appended),
    "CONV_2D": (constant_parameters, equal_dilation),
    "DEPTHWISE_CONV_2D": (constant_parameters, equal_dilation),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (constant_parameters, default_weights_format, vector_output),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "MAX_POOL_2D": (no_activation,),
    "MAXIMUM": (),
    "MEAN": (no_batch_axis,),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (),
    "PAD": (no_batch_padding,),
    "PRELU": (vector_alpha,),
    "QUANTIZE": (),
    "REDUCE_MAX": (no_batch_axis,),
    "REDUCE_MIN": (no_batch_axis,),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (),
    "RESIZE_NEAREST_NEIGHBOR": (),
    "RSQRT": (),
    "SLICE": (),
    "SOFTMAX": (small_vector,),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (),
    "SQUARED_DIFFERENCE": (),
    "SQUEEZE": (),
    "STRIDED_SLICE": (unit_strides, no_special_masks),
    "SUB": (),
    "SUM": (no_batch_axis,),
    "TANH": (),
    "TRANSPOSE": (),
    "TRANSPOSE_CONV": (),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (),
}

#: What may keep the compiler from mapping an operator, without being a rule.
DOUBTS: Mapping[str, tuple[Rule, ...]] = {
    "MEAN": (inner_mean_of_four,),
    "RESHAPE": (small_reshape,),
    "RESIZE_BILINEAR": (small_resize,),
    "RESIZE_NEAREST_NEIGHBOR": (small_resize,),
}

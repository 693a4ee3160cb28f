# SPDX-License-Identifier: Apache-2.0
"""A network with operators on the processor before and after the Edge TPU's part, around a program made by hand."""

from edgetpu_files import caching as caching_executable
from edgetpu_files import execution, options, package
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Node, Quantization, Tensor

Q = Quantization((0.5,), (3,))
Q_SIGNED = Quantization((0.5,), (-125,))
Q_SOFTMAX = Quantization((1 / 256,), (-128,))


def custom_options() -> bytes:
    return options(package([caching_executable(), execution()]))


def mixed() -> Graph:
    """int8 [1,5] → QUANTIZE → Edge TPU → `out` RESHAPE → QUANTIZE → SOFTMAX, and `flags` as it is."""
    tensors = (
        Tensor("x", (1, 5), "int8", Q_SIGNED),
        Tensor("in", (1, 5), "uint8", Q),
        Tensor("out", (1, 2, 2, 4), "uint8", Q),
        Tensor("flags", (1, 3), "int8", Q),
        Tensor("signed", (1, 2, 2, 4), "int8", Q_SIGNED),
        Tensor("probabilities", (1, 2, 2, 4), "int8", Q_SOFTMAX),
    )
    nodes = (
        Node("QUANTIZE", (0,), (1,), {}, 1, 0),
        Node("CUSTOM:edgetpu-custom-op", (1,), (2, 3), {"custom_options": custom_options()}, 1, 1),
        Node("QUANTIZE", (2,), (4,), {}, 1, 2),
        Node("SOFTMAX", (4,), (5,), {"beta": 1.0}, 2, 3),
    )
    return Graph(tensors, nodes, (0,), (5, 3), ("x",), ("probabilities", "flags"))


def mixed_file() -> bytes:
    return to_bytes(mixed())

# SPDX-License-Identifier: Apache-2.0
"""ADD and SUB as a weighted sum, and pooling, for the DSP extension: exact, inside their buffers, as fast as their cost says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from direct_call import Buffer, call
from dsp_harness import BUILDS, build_kernel, check_emulated, chosen, merged, need_compiler, sample
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layers import ACTIVATIONS, ZERO_POINTS, scale
from oracle import assert_same_bytes, compiled_outputs, random_inputs
from tinyc import reference
from tinyc.graph import Graph, Quantization
from tinyc.ops import problems
from tinyc.ops._additive import add_multipliers, sub_multipliers
from tinyc.ops._broadcast import two_input_graph
from tinyc.ops._pool import case
from tinyc.program import Params
from tinyc.targets import Kernel, _weighted_sum, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

SUM = "tinyc_weighted_sum_s8_dsp"
AVERAGE = "tinyc_average_pool_2d_s8_dsp"
MAX = "tinyc_max_pool_2d_s8_dsp"
FUNCTIONS = {"ADD": SUM, "SUB": SUM, "AVERAGE_POOL_2D": AVERAGE, "MAX_POOL_2D": MAX}

Int8s = npt.NDArray[np.int8]


def kernel(op: str) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])[op] if k.function == FUNCTIONS[op])


# Layers


@st.composite
def sums(draw: st.DrawFn) -> Graph:
    """ADD or SUB of one shape, its scales usual, equal or with a simple ratio (ties), the result within or far beyond the range."""
    shape = draw(st.lists(st.integers(1, 5), max_size=3).map(tuple) | st.sampled_from([(7,), (8,), (9,), (3, 31)]))
    kind = draw(st.sampled_from(["usual", "usual", "equal", "simple"]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first, second = (scale(2.0**e) for e in random.uniform(-6, 2, 2))
    if kind == "equal":
        second = first
    ratios = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0])
    if kind == "simple":
        second = first * draw(ratios)
    output = first * draw(ratios) if kind != "usual" else max(first, second) * float(2.0 ** random.uniform(-2.0, 3.0))
    zero_points = (draw(ZERO_POINTS), draw(ZERO_POINTS), draw(ZERO_POINTS))
    graph = two_input_graph(
        draw(st.sampled_from(["ADD", "SUB"])),
        (shape, shape),
        (first, scale(second), scale(output)),
        zero_points,
        activation=draw(ACTIVATIONS),
        same=draw(st.integers(0, 4)) == 0 and kind == "equal" and zero_points[0] == zero_points[1],
    )
    assume(problems(next(graph.layers())) == [])
    return graph


@st.composite
def pools(draw: st.DrawFn) -> Graph:
    """AVERAGE_POOL_2D or MAX_POOL_2D of any geometry, with more or fewer than eight channels."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    depth = draw(st.integers(1, 19) | st.sampled_from([8, 16, 24]))
    padding = draw(st.sampled_from(["SAME", "VALID"]))
    window = (draw(st.integers(1, 10)), draw(st.integers(1, 10)))
    if draw(st.integers(0, 3)) == 0:
        window = (height, width)
    if padding == "VALID":
        window = (min(window[0], height), min(window[1], width))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    quantization = Quantization((scale(draw(st.sampled_from([0.02, 0.06, 0.5]))),), (draw(ZERO_POINTS),))
    op = draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
    shape = (draw(st.integers(1, 2)), height, width, depth)
    return case(op, shape, window, stride, padding, draw(ACTIVATIONS), quantization)


# Whole models in emulation


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    number = BUILDS.index((cpu_name, kind, optimize))
    graphs = sample(sums(), 20, number) + sample(pools(), 20, number)
    functions = [chosen(graph, cpu_name) for graph in graphs]
    assert functions.count(SUM) > 5
    assert {AVERAGE, MAX} <= set(functions)
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path)


@pytest.mark.parametrize("cpu_name", ["cortex-m0plus", "cortex-m3", "rv32imc"])
def test_portable_sum_agrees(cpu_name: str, tmp_path: Path) -> None:
    """The same sums in portable C, on cores without the extension and on this computer."""
    need_compiler(cpu_name, "gcc")
    graphs = sample(sums(), 25, 0)
    assert [chosen(graph, cpu_name) for graph in graphs].count("tinyc_weighted_sum_s8") > 10
    check_emulated(graphs, cpu_name, "gcc", "-Os", tmp_path)
    graph = merged(graphs)
    inputs = random_inputs(graph, 0)
    for want, got in zip(reference.outputs(graph, inputs), compiled_outputs(graph, [inputs])[0], strict=True):
        assert_same_bytes(want, got, "host")


# The kernels alone, in memory that faults outside their buffers


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    names = sorted(set(FUNCTIONS.values()))
    return {name: build_kernel(name, tmp_path_factory.mktemp("dsp"), optimize="-Os") for name in names}


def run(
    images: dict[str, Image], graph: Graph, inputs: list[Int8s], start: bool = False, in_place: int | None = None
) -> tuple[Int8s, int]:
    """(output, instructions) of a graph's layer; its output may be the memory of the input at `in_place`."""
    layer = next(graph.layers())
    binding = kernel(layer.op).bind(layer)
    assert isinstance(binding.params, Params)
    fields = np.array([int(v) for v in binding.params.fields.values()], np.int32)  # type: ignore[call-overload]
    buffers = [Buffer(fields.tobytes(), start), *(Buffer(array.tobytes(), start) for array in inputs)]
    unchanged = [(i, buffer.data) for i, buffer in enumerate(buffers)]
    if in_place is not None:
        buffers.append(buffers[1 + in_place])
        del unchanged[1 + in_place]
    else:
        buffers.append(Buffer(bytes(layer.output.elements), start))
    after, instructions = call(images[kernel(layer.op).function], kernel(layer.op).function, buffers)
    assert all(after[i] == data for i, data in unchanged)
    return np.frombuffer(after[-1], np.int8)[: layer.output.elements], instructions


def check_alone(images: dict[str, Image], graph: Graph, start: bool, seed: int, place: int | None) -> None:
    layer = next(graph.layers())
    if not kernel(layer.op).applies(layer):
        return
    inputs = random_inputs(graph, seed)
    arrays = [inputs[0], inputs[-1]] if layer.op in ("ADD", "SUB") else [inputs[0]]
    if place is not None and kernel(layer.op).bind(layer).overlap.get(place) != 0:
        place = None
    got, _ = run(images, graph, arrays, start, place)
    assert_same_bytes(reference.outputs(graph, inputs)[0].reshape(-1), got, "kernel")


PLACES = st.sampled_from([None, 0, 1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=sums() | pools(), start=st.booleans(), place=PLACES)
def test_stays_inside_its_buffers(images: dict[str, Image], graph: Graph, start: bool, place: int | None) -> None:
    check_alone(images, graph, start, 0, place)


@pytest.mark.slow
@settings(max_examples=2500, deadline=None)
@given(graph=sums(), start=st.booleans(), place=PLACES)
def test_many_sums(images: dict[str, Image], graph: Graph, start: bool, place: int | None) -> None:
    check_alone(images, graph, start, 1, place)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(graph=pools(), start=st.booleans(), place=PLACES)
def test_many_pools(images: dict[str, Image], graph: Graph, start: bool, place: int | None) -> None:
    check_alone(images, graph, start, 1, place)


def all_pairs(
    op: str, scales: tuple[float, float, float], zero_points: tuple[int, int, int], activation: str = "NONE"
) -> tuple[Graph, list[Int8s]]:
    """A layer of 65,536 elements and inputs that are all pairs of int8 values."""
    x, y = (a.astype(np.int8).reshape(-1) for a in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    exact = tuple(scale(value) for value in scales)
    return two_input_graph(op, (x.shape, y.shape), exact, zero_points, activation=activation), [x, y]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "scales", "zero_points", "activation"),
    [
        ("ADD", (0.0463, 0.0313, 0.0508), (-128, 4, -128), "RELU"),
        ("ADD", (0.1, 0.1, 0.1), (5, -7, 3), "NONE"),
        ("ADD", (0.5, 0.5, 1.0), (-1, 2, 0), "NONE"),
        ("SUB", (0.0313, 0.0463, 0.0508), (127, -128, 11), "RELU6"),
        ("SUB", (1.0, 0.5, 2.0), (0, 0, -5), "RELU_N1_TO_1"),
        ("ADD", (1.0, 0.0001, 0.7), (100, 3, -100), "NONE"),
    ],
)
def test_all_pairs_of_inputs(
    images: dict[str, Image],
    op: str,
    scales: tuple[float, float, float],
    zero_points: tuple[int, int, int],
    activation: str,
) -> None:
    graph, inputs = all_pairs(op, scales, zero_points, activation)
    [want] = reference.outputs(graph, inputs)
    got, _ = run(images, graph, inputs)
    assert_same_bytes(want, got, "kernel")


# The proof at build time


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sums())
def test_both_forms_of_the_sum_are_exact(drawn: Graph) -> None:
    """Against the reference, for all pairs of inputs; and nothing leaves 32 bits."""
    node = drawn.nodes[0]
    tensors = [drawn.tensors[i] for i in (*node.inputs, *node.outputs)]
    graph, inputs = all_pairs(
        node.op,
        (tensors[0].scale, tensors[1].scale, tensors[2].scale),
        (tensors[0].zero_point, tensors[1].zero_point, tensors[2].zero_point),
        node.attributes["activation"],
    )
    layer = next(graph.layers())
    multipliers, sign = (add_multipliers, 1) if node.op == "ADD" else (sub_multipliers, -1)
    found = _weighted_sum.weighted_sum(layer, multipliers, sign)
    if found is None:
        return
    fields = kernel(node.op).bind(layer).params
    assert fields is not None
    low, high = int(fields.fields["activation_min"]), int(fields.fields["activation_max"])  # type: ignore[call-overload]
    x, y = (array.astype(np.int64) for array in inputs)
    [want] = reference.outputs(graph, inputs)
    together = found.factor1 * x + found.factor2 * y >> 8
    apart = (found.factor1 * x >> 8) + (found.factor2 * y >> 8)
    parts = [x * (found.factor1 >> 8), y * (found.factor2 >> 8), x * (found.factor1 >> 8) + y * (found.factor2 >> 8)]
    for value in (together, apart):
        assert np.array_equal(np.clip(value + found.start >> 20, low, high), want)
        parts += [value + found.start]
    parts += [parts[2] + found.start, found.start + (found.factor1 * x >> 8)]
    assert max(int(np.abs(part).max()) for part in parts) < 1 << 31


def test_usual_scales_nearly_always_have_a_sum() -> None:
    """In about one layer of 200, TFLite Micro's roundings of two inputs near a tie are not those of any weighted sum."""
    random = np.random.default_rng(0)
    taken = 0
    for _ in range(100):
        first, second = (float(s) for s in random.uniform(0.01, 0.2, 2))
        output = max(first, second) * float(random.uniform(0.5, 2.0))
        x, y, z = (int(z) for z in random.integers(-128, 128, 3))
        graph = two_input_graph("ADD", ((8,), (8,)), (scale(first), scale(second), scale(output)), (x, y, z))
        taken += kernel("ADD").applies(next(graph.layers()))
    assert taken >= 97


def test_falls_back() -> None:
    """Shapes that differ, a sum of more than 11 bits before the clamp, and ties that no weights round as TFLite Micro does."""
    usual = (scale(0.1), scale(0.07), scale(0.13))
    for graph in (
        two_input_graph("ADD", ((2, 3), (3,)), usual),
        two_input_graph("ADD", ((2, 3), (2, 3)), (1.0, 1.0, 0.01)),
        two_input_graph("ADD", ((2, 3), (2, 3)), (0.75, 0.5, 1.0), (-111, 2, 30)),
    ):
        assert problems(next(graph.layers())) == []
        assert not kernel("ADD").applies(next(graph.layers()))
        assert chosen(graph, "cortex-m4") == "tinyc_add_s8"


def test_average_of_more_than_256_pixels_falls_back() -> None:
    for window, function in [((16, 16), AVERAGE), ((16, 17), "tinyc_average_pool_2d_s8")]:
        assert chosen(case("AVERAGE_POOL_2D", (1, 16, 17, 8), window, (1, 1), "VALID"), "cortex-m4") == function


def test_largest_average(images: dict[str, Image]) -> None:
    for value in (-128, 127):
        graph = case("AVERAGE_POOL_2D", (1, 16, 16, 9), (16, 16), (1, 1), "VALID")
        got, _ = run(images, graph, [np.full((1, 16, 16, 9), value, np.int8)])
        assert got.tolist() == [value] * 9


# Speed


@pytest.mark.parametrize("elements", [64, 100, 256, 333, 1024, 4096])
@pytest.mark.parametrize(("activation", "most"), [("NONE", 7.0), ("RELU_N1_TO_1", 9.5)])
def test_instructions_of_sums(images: dict[str, Image], elements: int, activation: str, most: float) -> None:
    graph = two_input_graph(
        "ADD", ((elements,), (elements,)), (scale(0.1), scale(0.07), scale(0.13)), activation=activation
    )
    _, instructions = run(images, graph, random_inputs(graph, 0))
    assert instructions / elements < most
    assert 0.9 < kernel("ADD").cost(next(graph.layers())) / instructions < 1.1


@pytest.mark.parametrize("op", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize(
    ("shape", "window", "stride", "padding"),
    [
        ((1, 25, 5, 64), (25, 5), (1, 1), "VALID"),
        ((1, 8, 8, 64), (8, 8), (1, 1), "VALID"),
        ((1, 3, 3, 256), (3, 3), (1, 1), "VALID"),
        ((1, 12, 12, 16), (2, 2), (2, 2), "VALID"),
        ((1, 11, 9, 32), (3, 3), (2, 2), "SAME"),
        ((2, 6, 6, 40), (3, 2), (1, 1), "SAME"),
        ((1, 8, 8, 12), (2, 2), (2, 2), "VALID"),
        ((1, 10, 10, 3), (2, 2), (2, 2), "VALID"),
        ((1, 7, 7, 20), (7, 7), (1, 1), "VALID"),
    ],
)
def test_instructions_of_pools(
    images: dict[str, Image],
    op: str,
    shape: tuple[int, ...],
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: str,
) -> None:
    graph = case(op, shape, window, stride, padding)
    _, instructions = run(images, graph, random_inputs(graph, 0))
    predicted = kernel(op).cost(next(graph.layers()))
    assert 0.9 < predicted / instructions < 1.1, (predicted, instructions)

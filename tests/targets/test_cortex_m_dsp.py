# SPDX-License-Identifier: Apache-2.0
"""The 1x1 convolution for the DSP extension: when it is chosen, that it is exact, and that it stays inside its buffers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import layers
import numpy as np
import pytest
from direct_call import Buffer, call
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from oracle import assert_same_bytes, compiled_outputs, random_inputs
from tinyc import reference
from tinyc.emit import emit
from tinyc.emulators import EMULATORS, find_emulator
from tinyc.graph import Graph, Quantization, Tensor, single_node_graph
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.ops import all_ops, problems
from tinyc.program import Params
from tinyc.resources import resource
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image, Toolchain, build_image, install_line, try_kind

FUNCTION = "tinyc_conv_1x1_s8_dsp"


def kernel(op: str) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])[op] if k.function == FUNCTION)


def generic(op: str) -> Kernel:
    return next(k for k in kernels_for(CPUS["cortex-m4"])[op] if k.isa == "generic")


def chosen(graph: Graph, cpu_name: str) -> str:
    """The C function that a build for speed calls for a graph of one layer."""
    (step,) = lower(graph, CPUS[cpu_name], "speed").steps
    return step.kernel.function


# Layers


@st.composite
def dsp_layers(draw: st.DrawFn) -> Graph:
    """CONV_2D with a 1x1 filter, or FULLY_CONNECTED, that the kernel takes."""
    conv = draw(st.booleans())
    rows = draw(st.sampled_from([(1, 1, 1), (1, 1, 2), (1, 3, 1), (2, 2, 2), (1, 3, 5), (3, 1, 3)]))
    depth = draw(st.integers(1, 24) | st.sampled_from([31, 32, 36, 64, 65, 100]))
    channels = draw(st.integers(1, 13))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = draw(layers.weights((channels, depth), low=-127))
    # Right shifts of 1 to about 12, powers of two for ties; a few channels shift everything out, or have multiplier 0.
    count = draw(st.sampled_from([1, channels]))
    exponents = random.uniform(1.0, 4.0 + np.log2(depth) * 0.7 + 4.0, count)
    if draw(st.integers(0, 3)) == 0:
        exponents = np.ceil(exponents)
    if draw(st.integers(0, 3)) == 0:
        exponents[random.integers(0, count)] = random.choice([30.0, 34.0, 45.0])
    scales = tuple(layers.scale(0.999 * 2.0**-e if e % 1 else 2.0**-e) for e in exponents)
    limit = draw(st.sampled_from([100, 20000, 1000000]))
    bias = None
    if draw(st.integers(0, 4)) > 0:
        values = random.integers(-limit, limit, channels).astype(np.int32)
        bias = Tensor("bias", (channels,), "int32", Quantization((scales[0],), (0,)), values)
    shape = (channels, 1, 1, depth) if conv else (channels, depth)
    inputs = (
        Tensor("input", (*rows, depth), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),))),
        Tensor("filter", shape, "int8", Quantization(scales, (0,) * count), weights.reshape(shape)),
        bias,
    )
    output = Tensor("output", (*rows, channels), "int8", Quantization((1.0,), (draw(layers.ZERO_POINTS),)))
    act = draw(layers.ACTIVATIONS)
    if conv:
        padding = draw(st.sampled_from(["SAME", "VALID"]))
        dilation = draw(st.sampled_from([(1, 1), (2, 3)]))
        attributes = {"padding": padding, "stride": (1, 1), "dilation": dilation, "activation": act}
        return single_node_graph("CONV_2D", inputs, (output,), attributes)
    attributes = {"activation": act, "weights_format": "DEFAULT", "keep_num_dims": True}
    return single_node_graph("FULLY_CONNECTED", inputs, (output,), attributes)


def merged(graphs: list[Graph]) -> Graph:
    """Independent layers as one model, so that one image runs them all."""
    tensors, nodes, inputs, outputs = [], [], [], []
    for number, graph in enumerate(graphs):
        first = len(tensors)
        tensors += [replace(t, name=f"{t.name}_{number}") for t in graph.tensors]
        (node,) = graph.nodes
        positions = tuple(i + first if i >= 0 else -1 for i in node.inputs)
        nodes.append(replace(node, inputs=positions, outputs=(node.outputs[0] + first,), index=number))
        inputs += [i + first for i in graph.inputs]
        outputs += [i + first for i in graph.outputs]
    names = [tuple(tensors[i].name for i in indices) for indices in (inputs, outputs)]
    return Graph(tuple(tensors), tuple(nodes), tuple(inputs), tuple(outputs), *names)


def main_program(graph: Graph) -> bytes:
    """Reads all inputs, runs the model, writes all outputs, until the input ends."""
    reads = "".join(
        f"if (tinyc_host_read(m_input_{i}(&context), {t.bytes}u) != {t.bytes}u) return 0;\n"
        for i, t in enumerate(graph.input_tensors)
    )
    writes = "".join(
        f"tinyc_host_write(m_output_{i}(&context), {t.bytes}u);\n" for i, t in enumerate(graph.output_tensors)
    )
    text = '#include "m.h"\n#include "tinyc_host.h"\nm_context context;\n'
    return f"{text}int main(void) {{ for (;;) {{\n{reads}m_run(&context);\n{writes}}} }}\n".encode()


def check_emulated(graphs: list[Graph], cpu_name: str, kind: str, optimize: str, folder: Path) -> None:
    """Every layer in emulation, with the kernel that lowering chooses, against the numpy reference."""
    cpu = CPUS[cpu_name]
    graph = merged(graphs)
    for layer in graph.layers():
        assert problems(layer) == []
    program = lower(graph, cpu, "speed")
    sources = emit(program, plan_memory(program), "m")
    image = build_image({**sources, "main.c": main_program(graph)}, cpu, folder, toolchain=kind, optimize=optimize)
    runs = [random_inputs(graph, seed) for seed in range(3)]
    stdin = b"".join(array.tobytes() for inputs in runs for array in inputs)
    output = emulator(cpu_name).run(image, stdin, entry="m_run", timeout=120).output
    position = 0
    for inputs in runs:
        for node, want in zip(graph.nodes, reference.outputs(graph, inputs), strict=True):
            got = np.frombuffer(output[position : position + want.size], np.int8)
            assert_same_bytes(want.reshape(-1), got, f"{cpu_name} {kind} {optimize} layer {node.index}")
            position += want.size
    assert position == len(output)


def emulator(cpu_name: str):  # type: ignore[no-untyped-def]
    if all(e.unavailable(CPUS[cpu_name]) for e in EMULATORS.values()):
        pytest.skip("; ".join(str(e.unavailable(CPUS[cpu_name])) for e in EMULATORS.values()))
    return find_emulator("auto", CPUS[cpu_name])


def need_compiler(cpu_name: str, kind: str) -> None:
    if not isinstance(try_kind(kind, CPUS[cpu_name]), Toolchain):
        pytest.skip(f"no {kind} for {cpu_name}: {install_line(kind, CPUS[cpu_name])}")


BUILDS = [
    ("cortex-m4", "gcc", "-O2"),
    ("cortex-m4", "gcc", "-Os"),
    ("cortex-m4", "zig", "-O2"),
    ("cortex-m4", "zig", "-Os"),
    ("cortex-m7", "gcc", "-Os"),
    ("cortex-m7", "zig", "-O2"),
    ("cortex-m33", "gcc", "-O2"),
    ("cortex-m33", "zig", "-Os"),
]


def sample(count: int, number: int) -> list[Graph]:
    """`count` layers that hypothesis draws, another set for each number; in one list, so that they share an image."""
    found: list[Graph] = []

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate])
    @given(dsp_layers())
    def collect(graph: Graph) -> None:
        found.append(graph)

    collect()
    return found


@pytest.mark.parametrize(("cpu_name", "kind", "optimize"), BUILDS)
def test_exact_in_emulation(cpu_name: str, kind: str, optimize: str, tmp_path: Path) -> None:
    need_compiler(cpu_name, kind)
    graphs = sample(30, BUILDS.index((cpu_name, kind, optimize)))
    functions = [chosen(graph, cpu_name) for graph in graphs]
    assert functions.count(FUNCTION) > 15
    check_emulated(graphs, cpu_name, kind, optimize, tmp_path)


def test_generic_kernel_agrees(tmp_path: Path) -> None:
    """The same kind of layers through the portable kernel, on a core without the extension and on this computer."""
    need_compiler("cortex-m3", "gcc")
    graphs = sample(30, 0)
    check_emulated(graphs, "cortex-m3", "gcc", "-Os", tmp_path)
    graph = merged(graphs)
    inputs = random_inputs(graph, 0)
    for want, got in zip(reference.outputs(graph, inputs), compiled_outputs(graph, [inputs])[0], strict=True):
        assert_same_bytes(want, got, "host")


# The kernel alone, in memory that faults outside its buffers


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    need_compiler("cortex-m4", "gcc")
    root = resource("runtime_c")
    paths = [root / "kernels" / "cortex_m_dsp" / f"{FUNCTION}.c", root / "tinyc_kernels.h"]
    paths += [root / "internal" / "tinyc_fixed_point.h"]
    keep = (
        f'#include "tinyc_kernels.h"\nvoid *volatile keep;\nint main(void) {{ keep = (void *){FUNCTION}; return 0; }}\n'
    )
    sources = {**{path.name: path.read_bytes() for path in paths}, "main.c": keep.encode()}
    return build_image(sources, CPUS["cortex-m4"], tmp_path_factory.mktemp("dsp"), toolchain="gcc", optimize="-Os")


def call_kernel(image: Image, graph: Graph, seed: int, start: bool) -> tuple[np.ndarray, np.ndarray, int]:  # type: ignore[type-arg]
    """(expected, computed, instructions) of one layer."""
    layer = next(graph.layers())
    binding = kernel(layer.op).bind(layer)
    assert isinstance(binding.params, Params)
    inputs = random_inputs(graph, seed)
    want = reference.outputs(graph, inputs)[0]
    buffers = [
        Buffer(np.array([int(v) for v in binding.params.fields.values()], np.int32).tobytes(), start),  # type: ignore[call-overload]
        Buffer(inputs[0].tobytes(), start),
        Buffer(binding.constants[0].values.tobytes(), start),
        Buffer(bytes(want.size), start),
        Buffer(bytes(binding.scratch), start),
    ]
    after, instructions = call(image, FUNCTION, buffers)
    assert [after[i] for i in range(3)] == [buffers[i].data for i in range(3)]
    return want.reshape(-1), np.frombuffer(after[3], np.int8), instructions


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=dsp_layers(), start=st.booleans())
def test_stays_inside_its_buffers(image: Image, graph: Graph, start: bool) -> None:
    layer = next(graph.layers())
    if kernel(layer.op).applies(layer):
        want, got, _ = call_kernel(image, graph, 0, start)
        assert_same_bytes(want, got, "kernel")


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, derandomize=True)
@given(graph=dsp_layers(), start=st.booleans())
def test_stays_inside_its_buffers_many(image: Image, graph: Graph, start: bool) -> None:
    layer = next(graph.layers())
    if kernel(layer.op).applies(layer):
        want, got, _ = call_kernel(image, graph, 1, start)
        assert_same_bytes(want, got, "kernel")


def conv_1x1(pixels: int, depth: int, channels: int, shift: int = 9, seed: int = 0) -> Graph:
    random = np.random.default_rng(seed)
    weights = random.integers(-127, 128, (channels, 1, 1, depth)).astype(np.int8)
    scales = tuple(layers.scale(f * 2.0**-shift) for f in random.uniform(0.5, 1.0, channels))
    inputs = (
        Tensor("input", (1, 1, pixels, depth), "int8", Quantization((1.0,), (-7,))),
        Tensor("filter", weights.shape, "int8", Quantization(scales, (0,) * channels), weights),
        Tensor("bias", (channels,), "int32", None, random.integers(-5000, 5000, channels).astype(np.int32)),
    )
    output = Tensor("output", (1, 1, pixels, channels), "int8", Quantization((1.0,), (4,)))
    attributes = {"padding": "SAME", "stride": (1, 1), "dilation": (1, 1), "activation": "NONE"}
    return single_node_graph("CONV_2D", inputs, (output,), attributes)


@pytest.mark.parametrize(
    ("pixels", "depth", "channels", "most"),
    [(125, 64, 64, 1.0), (36, 128, 128, 0.9), (256, 8, 16, 2.3), (128, 16, 32, 1.5), (100, 3, 3, 13.0)],
)
def test_instructions_per_mac(image: Image, pixels: int, depth: int, channels: int, most: float) -> None:
    """The speed that the kernel exists for, and a cost model near it."""
    graph = conv_1x1(pixels, depth, channels)
    want, got, instructions = call_kernel(image, graph, 0, False)
    assert_same_bytes(want, got, "kernel")
    assert instructions / (pixels * depth * channels) < most
    layer = next(graph.layers())
    assert 0.9 < kernel("CONV_2D").cost(layer) / instructions < 1.1


def test_largest_sums_that_it_takes(image: Image) -> None:
    """Weights and inputs at their ends, and biases that bring odd channels to just below 2^23."""
    graph = conv_1x1(3, 250, 6, shift=12)
    weights = np.full(graph.tensors[1].shape, 127, np.int8)
    weights[1::2] = -127
    room = (1 << 23) - 1 - 250 * 127 * 135
    bias = np.array([room, room, 1 << 28, -room, -(1 << 28), room], np.int32)
    graph = layers.with_tensor(layers.with_tensor(graph, 1, data=weights), 2, data=bias)
    layer = next(graph.layers())
    assert kernel("CONV_2D").applies(layer)
    one_more = bias + np.array([0, 1 << 20, 0, 0, 0, 0], np.int32)
    assert not kernel("CONV_2D").applies(next(layers.with_tensor(graph, 2, data=one_more).layers()))
    for value in (-128, 127):
        fixed = [np.full(graph.input_tensors[0].shape, value, np.int8)]
        binding = kernel("CONV_2D").bind(layer)
        assert binding.params is not None
        want = reference.outputs(graph, fixed)[0]
        fields = np.array([int(v) for v in binding.params.fields.values()], np.int32)  # type: ignore[call-overload]
        parts = [fields.tobytes(), fixed[0].tobytes(), binding.constants[0].values.tobytes()]
        after, _ = call(image, FUNCTION, [Buffer(p) for p in [*parts, bytes(want.size), bytes(binding.scratch)]])
        assert_same_bytes(want.reshape(-1), np.frombuffer(after[3], np.int8), "kernel")


# Choice


@pytest.mark.parametrize("cpu_name", sorted(CPUS))
def test_chosen_on_cores_with_the_extension_only(cpu_name: str) -> None:
    """Cores with MVE have the extension too, and something better."""
    features = CPUS[cpu_name].features
    expected = "dsp" in features and "mve" not in features
    assert (chosen(conv_1x1(4, 16, 8), cpu_name) == FUNCTION) == expected


def test_cores_with_the_extension() -> None:
    assert {"cortex-m4", "cortex-m7", "cortex-m33"} <= {name for name, cpu in CPUS.items() if "dsp" in cpu.features}


def test_scratch_is_stated() -> None:
    binding = kernel("CONV_2D").bind(next(conv_1x1(4, 17, 8).layers()))
    assert binding.scratch == 4 * 20 + 8


def test_weights_take_one_byte_each() -> None:
    (stream,) = kernel("CONV_2D").bind(next(conv_1x1(4, 64, 64).layers())).constants
    assert stream.values.nbytes == 64 * 64 + 16 * 64


def refused(name: str) -> Graph:
    graph = conv_1x1(4, 16, 8)
    filter_data = graph.tensors[1].data
    bias = graph.tensors[2].data
    assert filter_data is not None
    assert bias is not None
    if name == "3x3":
        random = np.random.default_rng(0)
        data = random.integers(-127, 128, (8, 3, 3, 16)).astype(np.int8)
        return layers.with_tensor(graph, 1, shape=data.shape, data=data)
    if name == "stride 2":
        graph = layers.with_attributes(graph, stride=(1, 2))
        return layers.with_tensor(graph, 3, shape=(1, 1, 2, 8))
    if name == "groups":
        return layers.with_tensor(graph, 1, shape=(8, 1, 1, 8), data=filter_data[..., :8])
    if name == "left shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((2.0,), (0,)))
    if name == "no shift":
        return layers.with_tensor(graph, 1, quantization=Quantization((layers.scale(0.7),), (0,)))
    if name == "weight -128 over a negative one":
        data = filter_data.copy()
        data[2, 0, 0, 5], data[3, 0, 0, 5] = -1, -128
        return layers.with_tensor(graph, 1, data=data)
    if name == "large sum in an odd channel":
        return layers.with_tensor(graph, 2, data=np.where(np.arange(8) == 3, 1 << 23, bias).astype(np.int32))
    if name == "large sum in an even channel":
        return layers.with_tensor(graph, 2, data=np.where(np.arange(8) == 2, 1 << 30, bias).astype(np.int32))
    if name == "computed filter":
        tensors = tuple(replace(t, data=None) if i == 1 else t for i, t in enumerate(graph.tensors))
        return replace(graph, tensors=tensors, inputs=(0, 1), input_names=("input", "filter"))
    assert name == "computed bias"
    tensors = tuple(replace(t, data=None) if i == 2 else t for i, t in enumerate(graph.tensors))
    return replace(graph, tensors=tensors, inputs=(0, 2), input_names=("input", "bias"))


@pytest.mark.parametrize(
    "name",
    [
        "3x3",
        "stride 2",
        "groups",
        "left shift",
        "no shift",
        "weight -128 over a negative one",
        "large sum in an odd channel",
        "large sum in an even channel",
        "computed filter",
        "computed bias",
    ],
)
def test_falls_back(name: str) -> None:
    graph = refused(name)
    layer = next(graph.layers())
    assert problems(layer) == []
    assert not kernel("CONV_2D").applies(layer)
    assert chosen(graph, "cortex-m4") != FUNCTION


def test_large_sum_is_taken_in_an_even_channel() -> None:
    graph = conv_1x1(4, 16, 8)
    bias = np.where(np.arange(8) == 2, (1 << 23) * 5, graph.tensors[2].data).astype(np.int32)  # type: ignore[arg-type]
    assert chosen(layers.with_tensor(graph, 2, data=bias), "cortex-m4") == FUNCTION


def test_fully_connected_with_filter_zero_point_falls_back() -> None:
    graph = next(graph for name, graph in all_ops()["FULLY_CONNECTED"].cases() if name == "filter zero point")
    assert not kernel("FULLY_CONNECTED").applies(next(graph.layers()))
    assert chosen(graph, "cortex-m4") != FUNCTION


def test_never_chosen_where_the_generic_kernel_is_cheaper() -> None:
    for pixels in (1, 2, 3, 100):
        for depth in (1, 2, 5, 64):
            for channels in (1, 2, 5, 64):
                graph = conv_1x1(pixels, depth, channels)
                layer = next(graph.layers())
                if kernel("CONV_2D").cost(layer) > generic("CONV_2D").cost(layer):
                    assert chosen(graph, "cortex-m4") != FUNCTION

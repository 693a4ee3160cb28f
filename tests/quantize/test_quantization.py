# SPDX-License-Identifier: Apache-2.0
"""Float networks to integer ones: what the specification asks of them, and TFLite Micro's word on the bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import CONV, Net, samples, small_cnn
from tinyc import reference
from tinyc.data.dataset import to_input
from tinyc.errors import ModelError, UsageError
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Array, Graph, Node, Quantization, Tensor
from tinyc.importers.tflite import from_bytes
from tinyc.passes import run_passes
from tinyc.quantize import Quantized, Settings, execute, quantize
from tinyc.quantize.ranges import Observed
from tinyc.quantize.simulate import sqnr
from tinyc.quantize.warn import warnings


def outputs(found: Quantized, arrays: list[Array]) -> tuple[list[Array], list[Array]]:
    """(float outputs, integer outputs in real units) on samples."""
    real = execute.outputs(found.real, arrays)
    inputs = [to_input(array, tensor) for array, tensor in zip(arrays, found.graph.input_tensors, strict=True)]
    rows = [reference.outputs(found.graph, [array[n][None] for array in inputs]) for n in range(len(arrays[0]))]
    near = []
    for k, tensor in enumerate(found.graph.output_tensors):
        stacked = np.stack([row[k] for row in rows]).reshape(real[k].shape).astype(np.float32)
        near.append((stacked - np.float32(tensor.zero_point)) * np.float32(tensor.scale))
    return real, near


def check_against_tflm(graph: Graph, count: int = 4) -> None:
    """The saved file loads, and TFLite Micro computes what our reference computes."""
    runtime = pytest.importorskip("tflite_micro").runtime
    data = to_bytes(graph)
    read = run_passes(from_bytes(data, "model"))
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=4 << 20)
    for seed in range(count):
        random = np.random.default_rng(seed)
        inputs = []
        for position, tensor in enumerate(read.input_tensors):
            low, high = (-128, 128) if tensor.dtype == "int8" else (-32768, 32768)
            inputs.append(random.integers(low, high, tensor.shape).astype(tensor.dtype))
            interpreter.set_input(inputs[-1], position)
        interpreter.invoke()
        for position, expected in enumerate(reference.outputs(read, inputs)):
            found = interpreter.get_output(position).reshape(expected.shape)
            assert np.array_equal(found, expected), f"seed {seed}, output {position}"


@pytest.mark.parametrize("activations", ["int8", "int16"])
@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse", "kl"])
def test_close_to_float_and_equal_to_tflm(activations: str, ranges: str) -> None:
    graph = small_cnn()
    found = quantize(graph, samples(graph, 200), Settings(ranges=ranges, activations=activations))
    check_against_tflm(found.graph)
    assert {tensor.dtype for tensor in found.graph.input_tensors + found.graph.output_tensors} == {activations}
    least = {"minmax": 25.0, "percentile": 20.0, "mse": 20.0, "kl": 5.0}[ranges]
    assert sqnr(*outputs(found, samples(graph, 60, seed=9))) > least


def test_int16_activations_are_closer_than_int8() -> None:
    graph = small_cnn()
    arrays, measured = samples(graph, 200), samples(graph, 40, seed=9)
    int8, int16 = (quantize(graph, arrays, Settings(activations=dtype)) for dtype in ("int8", "int16"))
    assert sqnr(*outputs(int16, measured)) > sqnr(*outputs(int8, measured)) + 1


def test_a_file_that_litert_loads() -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    graph = small_cnn()
    loaded = interpreter(model_content=to_bytes(quantize(graph, samples(graph)).graph))
    loaded.allocate_tensors()
    assert loaded.get_input_details()[0]["dtype"] == np.int8
    loaded.invoke()


def test_the_order_of_the_samples_does_not_matter() -> None:
    graph = small_cnn()
    [array] = samples(graph, 50)
    shuffled = array[np.random.default_rng(3).permutation(50)]
    for settings in (Settings(), Settings(ranges="mse"), Settings(ranges="auto", equalize=True, rounding="gptq")):
        files = {to_bytes(quantize(graph, [order], settings).graph) for order in (array, shuffled, array)}
        assert len(files) == 1


def test_weights_are_symmetric_and_per_channel() -> None:
    graph = small_cnn()
    found = quantize(graph, samples(graph))
    axes = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
    for layer in found.graph.layers():
        if layer.op in axes:
            weights, bias = layer.input(1), layer.input(2)
            assert weights.quantization is not None and bias.quantization is not None
            assert len(weights.quantization.scale) == weights.shape[axes[layer.op]]
            assert set(weights.quantization.zero_point) == {0}
            assert weights.data is not None and weights.data.min() >= -127
            steps = np.float32(layer.input(0).scale) * np.float32(weights.quantization.scale)
            assert np.array_equal(np.float32(bias.quantization.scale), steps)


def test_one_scale_per_tensor_when_asked() -> None:
    graph = small_cnn()
    found = quantize(graph, samples(graph), Settings(per_channel=False))
    weights = [layer.input(1) for layer in found.graph.layers() if layer.op in ("CONV_2D", "FULLY_CONNECTED")]
    assert all(tensor.quantization is not None and len(tensor.quantization.scale) == 1 for tensor in weights)
    check_against_tflm(found.graph)


def test_bias_correction_takes_the_mean_error_away() -> None:
    graph = small_cnn()
    arrays = samples(graph, 200)

    def shift(correction: bool) -> float:
        found = quantize(graph, arrays, Settings(bias_correction=correction, per_channel=False))
        logits = next(node for node in found.graph.nodes if node.op == "FULLY_CONNECTED").outputs[0]
        without = replace(found.graph, outputs=(logits,))
        real = replace(found.real, outputs=(found.real_of[logits],))
        exact, near = outputs(replace(found, graph=without, real=real), arrays)
        return float(np.abs((exact[0] - near[0]).mean(axis=0)).max())

    assert shift(True) < 0.5 * shift(False)


def test_what_the_specification_fixes() -> None:
    net = Net((6,))
    logistic = net.add("LOGISTIC", [net.dense(4)], (1, 4))
    net.end = 0
    tanh = net.add("TANH", [net.dense(4)], (1, 4))
    net.end = 0
    relu = net.dense(4, "RELU")
    net.end = 0
    net.dense(4)
    softmax = net.softmax()
    graph = net.graph([logistic, tanh, relu, softmax])
    found = quantize(graph, samples(graph))
    fixed = [(tensor.scale, tensor.zero_point) for tensor in found.graph.output_tensors]
    assert fixed[0] == fixed[3] == (1 / 256, -128)
    assert fixed[1] == (1 / 128, 0)
    assert fixed[2][1] == -128
    check_against_tflm(found.graph)


def test_inputs_of_a_concatenation_share_a_scale() -> None:
    net = Net((6,))
    narrow = net.dense(3)
    net.end = 0
    wide = net.add("MUL", [net.dense(3), net.constant(np.float32([50.0]))], (1, 3), {"activation": "NONE"})
    graph_of = net.add("CONCATENATION", [narrow, wide], (1, 6), {"axis": 1, "activation": "NONE"})
    graph = net.graph([graph_of])
    found = quantize(graph, samples(graph))
    joined = next(layer for layer in found.graph.layers() if layer.op == "CONCATENATION")
    assert {joined.input(0).quantization, joined.input(1).quantization} == {joined.output.quantization}
    assert [node.op for node in found.graph.nodes].count("QUANTIZE") == 0
    check_against_tflm(found.graph)


def test_a_fixed_scale_in_a_concatenation_is_requantized() -> None:
    net = Net((6,))
    sure = net.add("LOGISTIC", [net.dense(3)], (1, 3))
    net.end = 0
    other = net.dense(3)
    graph = net.graph([net.add("CONCATENATION", [sure, other], (1, 6), {"axis": 1, "activation": "NONE"})])
    found = quantize(graph, samples(graph))
    assert [node.op for node in found.graph.nodes].count("QUANTIZE") == 1
    check_against_tflm(found.graph)
    exact, near = outputs(found, samples(graph, 30, seed=5))
    assert sqnr(exact, near) > 30


def test_clamps_and_batch_norms_go_into_the_layer_before() -> None:
    net = Net((6, 6, 2))
    net.conv(4, "NONE", bias=False)
    net.add("MUL", [net.end, net.weights(4)], (1, 6, 6, 4), {"activation": "NONE"})
    net.add("ADD", [net.end, net.weights(4)], (1, 6, 6, 4), {"activation": "NONE"})
    net.add("RELU6", [net.end], (1, 6, 6, 4))
    graph = net.graph()
    found = quantize(graph, samples(graph))
    assert [(node.op, node.attributes["activation"]) for node in found.graph.nodes] == [("CONV_2D", "RELU6")]
    arrays = samples(graph, 20, seed=4)
    [plain], [folded] = execute.outputs(graph, arrays), execute.outputs(found.real, arrays)
    assert np.allclose(plain, folded, atol=1e-4)
    assert sqnr(execute.outputs(graph, samples(graph)), outputs(found, samples(graph))[1]) > 30


def test_a_constant_that_widens_the_layer_before_stays_apart() -> None:
    net = Net((6,))
    net.dense(1)
    net.add("MUL", [net.end, net.weights(4)], (1, 4), {"activation": "NONE"})
    graph = net.graph()
    found = quantize(graph, samples(graph))
    assert [node.op for node in found.graph.nodes] == ["FULLY_CONNECTED", "MUL"]
    check_against_tflm(found.graph)


def test_values_that_are_not_finite() -> None:
    graph = small_cnn()
    weights = graph.nodes[0].inputs[1]
    data = graph.tensors[weights].data
    assert data is not None
    broken = data.copy()
    broken[0, 0, 0, 0] = np.nan
    tensors = list(graph.tensors)
    tensors[weights] = replace(tensors[weights], data=broken)
    with pytest.raises(ModelError, match=r"operator 0 CONV_2D .*not finite") as problem:
        quantize(replace(graph, tensors=tuple(tensors)), samples(graph))
    assert "--allow-float" not in str(problem.value)
    tensors[weights] = replace(tensors[weights], data=data * np.float32(1e38))
    with pytest.raises(ModelError, match="on the calibration data"):
        quantize(replace(graph, tensors=tuple(tensors)), samples(graph, size=100.0))


def test_float16_weights() -> None:
    graph = small_cnn()
    half = _with_half_weights(graph)
    arrays = samples(graph)
    found = quantize(from_bytes(to_bytes(half), "half"), arrays)
    assert [node.op for node in found.graph.nodes] == [node.op for node in quantize(graph, arrays).graph.nodes]
    assert sqnr(execute.outputs(graph, arrays), outputs(found, arrays)[1]) > 25


def _with_half_weights(graph: Graph) -> Graph:
    """As the converter's float16 mode writes it: float16 constants behind DEQUANTIZE."""
    tensors, nodes, moved = list(graph.tensors), [], {}
    for index, tensor in enumerate(graph.tensors):
        if tensor.data is not None and tensor.dtype == "float32":
            tensors.append(replace(tensor, name=f"{tensor.name}_half", dtype="float16", data=tensor.data.astype("f2")))
            tensors[index] = replace(tensor, data=None)
            nodes.append(Node("DEQUANTIZE", (len(tensors) - 1,), (index,), {}, 1, len(nodes)))
            moved[index] = True
    assert moved
    return replace(graph, tensors=tuple(tensors), nodes=(*nodes, *graph.nodes))


def test_dynamic_range_weights() -> None:
    graph = small_cnn()
    tensors = []
    for index, tensor in enumerate(graph.tensors):
        used = any(node.inputs[1:2] == (index,) and "CONV" in node.op for node in graph.nodes)
        if tensor.data is not None and used:
            scale = float(np.float32(np.abs(tensor.data).max() / 127))
            data = np.rint(tensor.data / scale).astype(np.int8)
            tensors.append(replace(tensor, dtype="int8", data=data, quantization=Quantization((scale,), (0,))))
        else:
            tensors.append(tensor)
    hybrid = replace(graph, tensors=tuple(tensors))
    arrays = samples(graph)
    found = quantize(from_bytes(to_bytes(hybrid), "hybrid"), arrays)
    check_against_tflm(found.graph)
    assert sqnr(execute.outputs(graph, arrays), outputs(found, arrays)[1]) > 20


def test_a_legacy_uint8_network_needs_no_samples() -> None:
    random = np.random.default_rng(3)
    activation = Quantization((0.05,), (120,))
    weights = Quantization((0.02,), (131,))
    tensors = (
        Tensor("input", (1, 4, 4, 3), "uint8", activation),
        Tensor("w", (5, 3, 3, 3), "uint8", weights, random.integers(4, 256, (5, 3, 3, 3)).astype(np.uint8)),
        Tensor("b", (5,), "int32", Quantization((0.001,), (0,)), random.integers(-900, 900, 5).astype(np.int32)),
        Tensor("conv", (1, 4, 4, 5), "uint8", Quantization((0.11,), (7,))),
    )
    graph = Graph(tensors, (Node("CONV_2D", (0, 1, 2), (3,), dict(CONV), 1),), (0,), (3,), ("input",), ("conv",))
    found = quantize(from_bytes(to_bytes(graph), "legacy"), [])
    assert found.graph.input_tensors[0].quantization == replace(
        activation, scale=(float(np.float32(0.05)),), zero_point=(-8,)
    )
    # Weights that were integers stay the same integers where -127 to 127 has room for them, and so do biases.
    layer = next(found.graph.layers())
    stored = [tensors[k].data for k in (1, 2)]
    assert stored[0] is not None and stored[1] is not None and layer.input(1).data is not None
    assert np.array_equal(layer.input(1).data, stored[0].astype(np.int16) - 131)
    assert np.array_equal(layer.input(2).data, stored[1])
    assert found.graph.output_tensors[0].zero_point == 7 - 128
    check_against_tflm(found.graph)
    arrays = [np.float32(0.05) * (random.integers(0, 256, (20, 4, 4, 3)) - 120).astype(np.float32)]
    exact = [np.clip(array, 0.11 * -7, 0.11 * 248) for array in execute.outputs(found.real, arrays)]
    assert sqnr(exact, outputs(found, arrays)[1]) > 35


def test_a_layer_may_stay_float() -> None:
    graph = small_cnn()
    name = next(layer.output.name for layer in graph.layers() if layer.op == "FULLY_CONNECTED")
    found = quantize(graph, samples(graph), Settings(keep_float=(name,)))
    assert [node.op for node in found.graph.nodes][-4:] == ["DEQUANTIZE", "FULLY_CONNECTED", "QUANTIZE", "SOFTMAX"]
    assert len(found.floats) == 1 and name in found.floats[0]
    check_against_tflm(found.graph)
    fused = [replace(tensor, name=f"{tensor.name};fused/{n}") for n, tensor in enumerate(graph.tensors)]
    short = quantize(replace(graph, tensors=tuple(fused)), samples(graph), Settings(keep_float=(name,)))
    assert len(short.floats) == 1


def test_unquantizable_layers_are_named_all_at_once() -> None:
    net = Net((6,))
    net.add("ABS", [net.end], (1, 6))
    net.dense(4)
    net.add("EXP", [net.end], (1, 4))
    graph = net.graph()
    with pytest.raises(ModelError) as problem:
        quantize(graph, samples(graph))
    assert "operator 0 ABS" in str(problem.value) and "operator 2 EXP" in str(problem.value)
    assert "2 of 3 layers cannot be quantized" in str(problem.value)


def test_weights_that_are_computed_have_no_integer_form_but_a_float_one() -> None:
    net = Net((6,))
    net.tensors.append(Tensor("weights", (4, 6), "float32"))
    net.inputs.append(1)
    attributes = {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
    net.add("FULLY_CONNECTED", [0, 1], (1, 4), attributes)
    graph = net.graph()
    arrays = [np.ones((20, 6), np.float32), np.ones((20, 4, 6), np.float32)]
    with pytest.raises(ModelError, match="its weights are computed at run time"):
        quantize(graph, arrays)
    found = quantize(graph, arrays, Settings(allow_float=True))
    assert "FULLY_CONNECTED" in found.floats[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.ones((5, 8, 8, 4), np.float32)], r"shape \[5, 8, 8, 4\]"),
        ([np.full((5, 8, 8, 3), np.nan, np.float32)], "not finite"),
        ([np.ones((5, 8, 8, 3), np.float32)] * 2, "2 arrays"),
        ([np.ones((5, 8, 8, 3), "S1")], "S1"),
    ],
)
def test_samples_that_do_not_fit(arrays: list[Array], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        quantize(small_cnn(), arrays)


def test_a_float_network_needs_samples() -> None:
    with pytest.raises(ModelError, match=r"is a float network[\s\S]*--calibrate"):
        quantize(small_cnn(), [])


def test_an_integer_network_is_left_alone() -> None:
    graph = small_cnn()
    with pytest.raises(ModelError, match="quantized already"):
        quantize(quantize(graph, samples(graph)).graph, samples(graph))


def test_settings_that_do_not_exist() -> None:
    graph = small_cnn()
    for settings in (Settings(ranges="minmx"), Settings(activations="int4"), Settings(rounding="up")):
        with pytest.raises(UsageError, match="unknown value"):
            quantize(graph, samples(graph), settings)
    with pytest.raises(UsageError, match="no layer 'dens'"):
        quantize(graph, samples(graph), Settings(keep_float=("dens",)))


def test_options_that_are_measured_are_kept_only_where_they_gain() -> None:
    graph = small_cnn()
    found = quantize(graph, samples(graph, 60), Settings(ranges="auto", equalize=True, rounding="gptq"))
    assert [d.option for d in found.decisions] == [
        *("--ranges percentile", "--ranges mse", "--ranges kl", "--equalize", "--rounding gptq")
    ]
    assert all(decision.kept == (decision.after > decision.before + 0.25) for decision in found.decisions)


def test_equalization_repairs_uneven_channels() -> None:
    net = Net((8, 8, 3))
    net.conv(6)
    weights, bias = (net.nodes[0].inputs[k] for k in (1, 2))
    uneven = np.float32([100.0, 1.0, 0.01, 10.0, 0.1, 1.0])
    for index in (weights, bias):
        tensor = net.tensors[index]
        assert tensor.data is not None
        net.tensors[index] = replace(tensor, data=tensor.data * uneven.reshape(-1, *[1] * (tensor.data.ndim - 1)))
    net.conv(4, "NONE")
    second = net.tensors[net.nodes[1].inputs[1]]
    assert second.data is not None
    net.tensors[net.nodes[1].inputs[1]] = replace(second, data=second.data / uneven)
    graph = net.graph()
    arrays = samples(graph, 60)
    plain, even = quantize(graph, arrays), quantize(graph, arrays, Settings(equalize=True))
    measured = samples(graph, 30, seed=8)
    assert even.decisions[0].kept
    assert sqnr(*outputs(even, measured)) > sqnr(*outputs(plain, measured)) + 6


def test_thin_coverage_and_dead_channels_are_told() -> None:
    net = Net((4, 4, 2))
    net.conv(5)
    weights = net.tensors[net.nodes[0].inputs[1]]
    bias = net.tensors[net.nodes[0].inputs[2]]
    assert weights.data is not None and bias.data is not None
    dead = weights.data.copy()
    dead[2] = 0
    net.tensors[net.nodes[0].inputs[1]] = replace(weights, data=dead)
    graph = net.graph()
    few = samples(graph, 10)
    found = quantize(graph, few)
    assert any("'conv_2d_0' 1 of 5" in line for line in found.warnings)
    assert not any(line.startswith("thin coverage") for line in found.warnings)
    low, inside, beyond = np.zeros(40), np.linspace(0.5, 1.0, 40)[::-1], np.repeat([1.0, 2.0], [30, 10])
    told = [warnings(graph, Observed({0: low}, {0: high}, {}), 10) for high in (inside, beyond)]
    assert told[0] == ()
    assert told[1][0].startswith(
        "thin coverage: 100% of 10 held-out samples leave the range that the other 30 gave 'input'"
    )


def test_a_global_pool_gets_a_scale_of_its_own() -> None:
    net = Net((8, 8, 3))
    net.conv(6)
    window = {"padding": "VALID", "stride": (8, 8), "window": (8, 8), "activation": "NONE"}
    net.add("AVERAGE_POOL_2D", [net.end], (1, 1, 1, 6), window)
    net.flatten()
    net.dense(4)
    graph = net.graph()
    found = quantize(graph, samples(graph, 60))
    mean = next(layer for layer in found.graph.layers() if layer.op == "MEAN")
    assert mean.output.scale < 0.5 * mean.input(0).scale
    check_against_tflm(found.graph)


def test_a_bias_that_weights_of_zero_could_not_hold() -> None:
    net = Net((6,))
    net.add(
        "FULLY_CONNECTED",
        [0, net.constant(np.zeros((3, 6), np.float32)), net.constant(np.float32([5.0, -3.0, 0.0]))],
        (1, 3),
        {"activation": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False},
    )
    graph = net.graph()
    found = quantize(graph, samples(graph, size=1e-4))
    exact, near = outputs(found, samples(graph, 5))
    assert np.abs(exact[0] - near[0]).max() < 0.03
    check_against_tflm(found.graph)


def test_several_inputs_and_a_batch_that_is_no_batch() -> None:
    first, second = (Tensor(name, (3, 4), "float32") for name in ("a", "b"))
    node = Node("ADD", (0, 1), (2,), {"activation": "NONE"}, 1)
    graph = Graph((first, second, Tensor("sum", (3, 4), "float32")), (node,), (0, 1), (2,), ("a", "b"), ("sum",))
    random = np.random.default_rng(1)
    arrays = [random.standard_normal((12, 3, 4)).astype(np.float32) for _ in range(2)]
    found = quantize(graph, arrays)
    assert [t.dtype for t in found.graph.input_tensors] == ["int8", "int8"]
    check_against_tflm(found.graph)
    assert np.allclose(execute.outputs(found.real, arrays)[0], arrays[0] + arrays[1])

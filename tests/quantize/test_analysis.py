# SPDX-License-Identifier: Apache-2.0
"""The analysis tells the truth: every number against one computed another way, and the layer to blame is the one made bad."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from hand_made import by_hand, samples, two_layers
from tinyc import reference
from tinyc.errors import ModelError
from tinyc.graph import Graph, Node
from tinyc.quantize import Quantized, Range, Settings, quantize
from tinyc.quantize.analysis import BINS, Analysis, LayerLoss, analyse
from tinyc.quantize.hints import hints

GOOD = (1 / 127, 0.02, 0.03)


def forward(real: Graph, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two layers in float64."""
    w1, b1, w2, b2 = (np.asarray(real.tensors[i].data, np.float64) for i in (1, 2, 4, 5))
    hidden = np.maximum(x.astype(np.float64) @ w1.T + b1, 0)
    return hidden, hidden @ w2.T + b2


def sqnr(real: np.ndarray, near: np.ndarray) -> float:
    return float(10 * np.log10((real**2).sum() / ((real - near) ** 2).sum()))


def row(analysis: Analysis, name: str) -> LayerLoss:
    (found,) = (layer for layer in analysis.layers if layer.name == name)
    return found


def integer_values(quantized: Quantized, x: np.ndarray, tensor: int) -> np.ndarray:
    """The real values of a tensor in the integer network, sample by sample."""
    graph, found = quantized.graph, []
    for sample in x:
        q = np.clip(np.rint(sample / np.float32(graph.tensors[0].scale)), -128, 127).astype(np.int8)
        value = reference.run(graph, [q[None]])[tensor]
        assert value is not None
        found.append((value.astype(np.float64) - graph.tensors[tensor].zero_point) * graph.tensors[tensor].scale)
    return np.concatenate(found)


def test_signal_to_noise_in_the_network() -> None:
    real, x = two_layers(), samples(40)
    quantized = by_hand(real, GOOD)
    found = analyse(quantized, [x])
    hidden, y = forward(real, x)
    assert [layer.name for layer in found.layers] == ["x", "hidden", "y"]
    assert [layer.op for layer in found.layers] == ["INPUT", "FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert row(found, "hidden").sqnr == pytest.approx(sqnr(hidden, integer_values(quantized, x, 3)), abs=0.02)
    assert row(found, "y").sqnr == pytest.approx(sqnr(y, integer_values(quantized, x, 6)), abs=0.02)
    assert found.sqnr == row(found, "y").sqnr > 25
    assert found.compared == found.seen == 40


def test_a_layer_alone_gets_exact_inputs() -> None:
    """The second layer alone: its integers, on the float hidden values rounded to its input's steps."""
    real, x = two_layers(), samples(40)
    quantized = by_hand(real, GOOD)
    graph = quantized.graph
    hidden, y = forward(real, x)
    tail = replace(graph, nodes=graph.nodes[1:], inputs=(3,), input_names=("hidden",))
    steps = np.clip(np.floor(hidden.astype(np.float32) / np.float32(0.02) + 0.5) - 128, -128, 127).astype(np.int8)
    near = np.concatenate([reference.outputs(tail, [sample[None]])[0] for sample in steps]) * graph.tensors[6].scale
    assert row(analyse(quantized, [x]), "y").alone == pytest.approx(sqnr(y, near), abs=0.02)


def test_range_clipping_and_histogram() -> None:
    real, x = two_layers(), samples(200)
    hidden, _ = forward(real, x)
    scale = float(np.quantile(hidden, 0.97)) / 255
    found = row(analyse(by_hand(real, (1 / 127, scale, 0.03)), [x]), "hidden")
    steps = np.rint(hidden / np.float32(scale))
    above = steps > 255
    assert found.clipped_above == pytest.approx(above.mean(), abs=1e-3) and found.clipped_below == 0 < found.clipped
    assert found.clipped == pytest.approx(0.03, abs=0.003)
    assert found.clipped_channel is not None
    assert found.clipped_channel[0] == above.sum(axis=0).argmax()
    assert found.clipped_channel[1] == pytest.approx(above.sum(axis=0).max() / above.sum(), abs=0.02)
    assert found.steps == pytest.approx(len(np.unique(np.clip(steps, 0, 255))), abs=2) and found.steps_of == 256
    assert found.used == 1.0 and found.first == 0 and found.last == pytest.approx(255 * scale)
    assert len(found.histogram) == BINS and sum(found.histogram) == hidden.size
    expected, _ = np.histogram(np.clip(steps, 0, 255), bins=BINS, range=(0, 256))
    assert np.abs(expected - np.array(found.histogram)).sum() <= 4
    assert (found.low, found.high) == (0.0, pytest.approx(hidden.max(), rel=1e-5))


def test_a_range_four_times_too_wide() -> None:
    real, x = two_layers(), samples(200)
    hidden, _ = forward(real, x)
    found = row(analyse(by_hand(real, (1 / 127, float(hidden.max()) * 4 / 255, 0.03)), [x]), "hidden")
    assert found.used == pytest.approx(0.25, abs=0.01) and found.steps <= 65 and found.clipped == 0
    assert any(
        "--ranges mse" in hint
        for hint in analyse(by_hand(real, (1 / 127, float(hidden.max()) * 8 / 255, 0.3)), [x]).hints
    )


def test_the_layer_made_bad_is_the_one_to_blame() -> None:
    """With steps six times as wide a layer's noise has 36 times the power: its share says what fine steps would give."""
    real, x = two_layers(), samples(64)
    fine = analyse(by_hand(real, GOOD), [x])
    for position, name in enumerate(("x", "hidden", "y")):
        coarse = analyse(by_hand(real, tuple(s * (6 if i == position else 1) for i, s in enumerate(GOOD))), [x])
        worst = coarse.worst
        assert worst is not None and worst.name == name and worst.share > 0.6
        left = 1 - worst.share
        assert coarse.sqnr - 10 * np.log10(left + worst.share / 36) == pytest.approx(fine.sqnr, abs=1.5)
        assert worst.gain == pytest.approx(-10 * np.log10(left))
        assert coarse.estimated == pytest.approx(coarse.sqnr, abs=2.0)
        assert sum(layer.share for layer in coarse.layers) == pytest.approx(1.0)
        assert any(f"'{name}' alone makes" in hint for hint in coarse.hints)


def test_whose_fault_it_is_within_a_layer() -> None:
    real, x = two_layers(), samples(64)
    good = by_hand(real, GOOD)
    tensors = list(good.graph.tensors)
    weights = tensors[4]
    assert weights.data is not None
    tensors[4] = replace(weights, data=(np.rint(weights.data / 16) * 16).clip(-127, 127).astype(np.int8))
    bad = replace(good, graph=replace(good.graph, tensors=tuple(tensors)))
    assert (row(analyse(good, [x]), "y").weights_share or 0) < 0.3
    found = analyse(bad, [x])
    assert (row(found, "y").weights_share or 0) > 0.8 and found.worst is row(found, "y")
    assert any("--rounding gptq" in hint for hint in found.hints)
    assert row(found, "x").weights_share is None


def test_weights() -> None:
    real = two_layers()
    quantized = by_hand(real, GOOD)
    found = row(analyse(quantized, [samples(20)]), "hidden").weights
    exact, integers = real.tensors[1].data, quantized.graph.tensors[1]
    assert exact is not None and integers.data is not None and integers.quantization is not None and found is not None
    near = integers.data * np.array(integers.quantization.scale)[:, None]
    channels = [sqnr(a.astype(np.float64), b) for a, b in zip(exact, near, strict=True)]
    assert found.sqnr == pytest.approx(sqnr(exact.astype(np.float64), near), abs=0.01)
    assert found.worst == int(np.argmin(channels)) and found.worst_sqnr == pytest.approx(min(channels), abs=0.01)
    largest = np.abs(exact).max(axis=1)
    assert found.spread == pytest.approx(largest.max() / largest.min(), rel=1e-5) and found.zero == ()


def altered(real: Graph, **changes: np.ndarray) -> Graph:
    """`real` with the data of some tensors changed, by name with _ for /."""
    return replace(
        real,
        tensors=tuple(
            replace(tensor, data=changes[key]) if (key := tensor.name.replace("/", "_")) in changes else tensor
            for tensor in real.tensors
        ),
    )


def test_dead_channels() -> None:
    real = two_layers()
    weights, bias = (np.array(real.tensors[i].data) for i in (1, 2))
    weights[2], weights[5], bias[7] = 0.0, weights[5] * 1e-9, -100.0
    real = altered(real, hidden_weights=weights, hidden_bias=bias)
    found = row(analyse(by_hand(real, GOOD), [samples(100)]), "hidden")
    assert found.dead == (2, 5, 7) and found.channels == 8
    assert found.weights is not None and found.weights.zero == (2, 5) and found.weights.spread < 100
    assert row(analyse(by_hand(real, GOOD), [samples(3)]), "hidden").dead == (), "three samples cannot tell"


def test_bias_shift() -> None:
    quantized = replace(by_hand(two_layers(), GOOD), bias_shift={5: np.array([0.01, -0.03, 0.0, 0.02], np.float32)})
    found = analyse(quantized, [samples(20)])
    assert row(found, "y").bias_shift == pytest.approx((0.015, 0.03, 0.5, 1.0), rel=1e-5)
    assert row(found, "hidden").bias_shift is None


def test_values_that_calibration_never_had() -> None:
    real, x = two_layers(), samples(100)
    quantized = by_hand(real, GOOD)
    ends = float(np.quantile(x.max(axis=1), 0.6))
    found = analyse(replace(quantized, ranges={**quantized.ranges, 0: Range(-2, ends, -1, 1)}), [x])
    assert row(found, "x").beyond == pytest.approx(0.4, abs=0.01) and row(found, "y").beyond == 0
    assert "more samples" in found.hints[0] and "40%" in found.hints[0] and "100 calibration samples" in found.hints[0]


def test_hints_have_numbers_and_options() -> None:
    real, x = two_layers(), samples(100)
    weights, next_weights = (np.array(real.tensors[i].data) for i in (1, 4))
    weights[3] *= 400
    next_weights[:, 3] /= 400
    real = altered(real, hidden_weights=weights, y_weights=next_weights)
    hidden, _ = forward(real, x)
    quantized = by_hand(real, (1 / 127, float(hidden.max()) / 255, float(np.abs(forward(real, x)[1]).max()) / 127))
    text = "\n".join(analyse(quantized, [x]).hints)
    assert "channel 3 reaches" in text and "--ranges percentile" in text
    spread = np.abs(weights).max(axis=1)
    assert f"{spread.max() / spread.min():,.0f}:1" in text and "--equalize" in text
    clipped = by_hand(real, (1 / 127, float(np.quantile(hidden, 0.98)) / 255, 1.0))
    found = analyse(clipped, [x])
    assert any("of them in channel 3 of 8" in hint for hint in found.hints)
    percentile = replace(clipped, settings=Settings(ranges="percentile"))
    assert any("--ranges minmax" in hint for hint in hints(found, percentile))
    assert not any("--ranges percentile" in hint for hint in hints(found, percentile))


def test_a_good_network_gets_no_advice() -> None:
    assert analyse(by_hand(two_layers(), GOOD), [samples(64)]).hints == ()


def test_hostile_names_make_no_commands() -> None:
    real = two_layers()
    tensors = (*real.tensors[:6], replace(real.tensors[6], name="y'; rm -rf ~"))
    quantized = by_hand(replace(real, tensors=tensors), (1 / 127, 0.02, 0.2))
    text = "\n".join(analyse(quantized, [samples(32)]).hints)
    wanted = shlex.quote("y'")
    assert f"--keep-float {wanted}" in text and "rm -rf" not in text
    tensors = (*real.tensors[:6], replace(real.tensors[6], name="y\x1b[31m"))
    text = "\n".join(analyse(by_hand(replace(real, tensors=tensors), (1 / 127, 0.02, 0.2)), [samples(32)]).hints)
    assert "--keep-float" not in text and "alone makes" in text


def test_json_is_strict() -> None:
    exact = by_hand(two_layers(), GOOD)
    x = np.zeros((4, 6), np.float32)
    found = analyse(exact, [x])
    assert row(found, "x").sqnr == float("inf")
    parsed = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert parsed["layers"][0]["sqnr"] is None and parsed["layers"][1]["name"] == "hidden"
    assert len(parsed["layers"][1]["histogram"]) == BINS and parsed["layers"][1]["weights"]["worst"] >= 0


def test_many_samples_are_thinned_evenly() -> None:
    found = analyse(by_hand(two_layers(), GOOD), [samples(3000)])
    assert found.compared == 64 and found.seen == 512 and found.followed == 64


def test_bad_data() -> None:
    quantized = by_hand(two_layers(), GOOD)
    for arrays in ([], [np.zeros((0, 6), np.float32)], [np.zeros((5, 7), np.float32)], [samples(3), samples(3)]):
        with pytest.raises(ModelError):
            analyse(quantized, arrays)
    with pytest.raises(ModelError, match="finite"):
        analyse(quantized, [np.full((2, 6), np.nan, np.float32)])


# ---- with the quantizer ----------------------------------------------------------------------------------------------


def test_what_the_quantizer_makes() -> None:
    real, x = two_layers(), samples(200)
    quantized = quantize(real, [x])
    found = analyse(quantized, [samples(64, 2)])
    assert found.sqnr > 30 and found.sqnr == pytest.approx(found.estimated, abs=3)
    assert all(layer.used > 0.8 and layer.clipped < 0.01 for layer in found.layers)
    assert row(found, "hidden").bias_shift is not None
    assert analyse(quantized, [samples(64, 2)]) == found


def test_layers_in_float32_are_exact() -> None:
    real, x = two_layers(), samples(200)
    quantized = quantize(real, [x], Settings(keep_float=("hidden",)))
    ops = [node.op for node in quantized.graph.nodes]
    assert ops == ["DEQUANTIZE", "FULLY_CONNECTED", "QUANTIZE", "FULLY_CONNECTED"]
    found = analyse(quantized, [x])
    assert [layer.op for layer in found.layers] == ["INPUT", *ops]
    kept = found.layers[2]
    assert kept.dtype == "float32" and kept.share < 1e-6 and kept.weights is None and kept.histogram == ()
    assert found.layers[1].share == 0, "a conversion to float adds no error"
    assert 0 < found.layers[3].share < 1
    json.dumps(found.to_json(), allow_nan=False)


def test_views_add_nothing() -> None:
    """A RESHAPE behind a layer holds its error, and is not to blame for it."""
    real = two_layers()
    target = replace(real.tensors[6], name="flat", shape=(1, 2, 2))
    shape = replace(real.tensors[5], name="shape", shape=(3,), dtype="int32", data=np.array([1, 2, 2], np.int32))
    node = Node("RESHAPE", (6, 7), (8,), {"new_shape": [1, 2, 2]}, 1, 2)
    graph = replace(real, tensors=(*real.tensors, shape, target), nodes=(*real.nodes, node), outputs=(8,))
    found = analyse(quantize(graph, [samples(200)]), [samples(50, 2)])
    reshaped = found.layers[-1]
    assert reshaped.op == "RESHAPE" and reshaped.share == 0.0 and reshaped.sqnr == found.sqnr < 100

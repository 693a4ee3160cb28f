# SPDX-License-Identifier: Apache-2.0
"""Kernels for the DSP extension with their output in their input's memory: right from the lead on, and wrong one byte tighter."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from dsp_harness import build_kernel, call_shared, check_lead
from hypothesis import given, settings
from test_cortex_m_dsp import dsp_layers
from test_cortex_m_dsp_patches import conv, windows
from test_cortex_m_dsp_rows import dense
from test_cortex_m_dsp_winograd import convolutions
from test_depthwise_dsp import depthwise
from test_elementwise_dsp import pools
from tinyc.graph import Graph
from tinyc.ops._pool import case
from tinyc.targets import Kernel, kernels_for
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Image

CONV_1X1 = "tinyc_conv_1x1_s8_dsp"
CONV_KXK = "tinyc_conv_kxk_s8_dsp"
WINOGRAD = "tinyc_conv_3x3_winograd_s8_dsp"
ROWS = "tinyc_fully_connected_s8_dsp"
MAX_POOL = "tinyc_max_pool_2d_s8_dsp"
AVERAGE_POOL = "tinyc_average_pool_2d_s8_dsp"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Image]:
    return functools.cache(lambda function: build_kernel(function, tmp_path_factory.mktemp("dsp")))


def kernel(graph: Graph, function: str) -> Kernel:
    """The variant with the least scratch that takes the layer, or the first one."""
    (layer,) = graph.layers()
    offered = [k for k in kernels_for(CPUS["cortex-m4"])[layer.op] if k.function == function]
    return next((k for k in reversed(offered) if k.applies(layer)), offered[0])


EXACT = [
    (CONV_1X1, conv((1, 1), (3, 5), 16, 16)),
    (CONV_1X1, conv((1, 1), (3, 5), 7, 20)),
    (CONV_1X1, dense(6, 10, 12)),
    (CONV_KXK, conv((3, 3), (7, 6), 4, 4)),
    (CONV_KXK, conv((3, 3), (7, 6), 4, 4, padding="VALID")),
    (CONV_KXK, conv((3, 3), (9, 9), 3, 12, (2, 2))),
    (CONV_KXK, conv((3, 3), (9, 9), 4, 8, dilation=(2, 2), batches=2)),
    (CONV_KXK, conv((1, 1), (8, 8), 8, 40, (2, 2))),
    (WINOGRAD, conv((3, 3), (8, 8), 8, 8)),
    (WINOGRAD, conv((3, 3), (7, 9), 4, 8, batches=2)),
    (WINOGRAD, conv((3, 3), (9, 7), 8, 16, padding="VALID")),
    (WINOGRAD, conv((3, 3), (2, 1), 8, 16, batches=3)),
    (ROWS, dense(3, 16, 24)),
    (ROWS, dense(1, 400, 700)),
    (ROWS, dense(3, 330, 390)),
]


@pytest.mark.parametrize(("function", "graph"), EXACT)
def test_lead_is_exact(image: Callable[[str], Image], function: str, graph: Graph) -> None:
    check_lead(image(function), kernel(graph, function), graph)


@pytest.mark.parametrize("function", [CONV_1X1, CONV_KXK, WINOGRAD, ROWS])
def test_drawn_layers_at_the_lead(image: Callable[[str], Image], function: str) -> None:
    drawn = {
        CONV_1X1: dsp_layers(),
        CONV_KXK: windows(),
        WINOGRAD: convolutions(),
        ROWS: dsp_layers(conv=False),
    }
    checked = []

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(graph=drawn[function])
    def check(graph: Graph) -> None:
        if kernel(graph, function).applies(next(graph.layers())):
            checked.append(function)
            check_lead(image(function), kernel(graph, function), graph, exact=False)

    check()
    assert len(checked) > 10


@pytest.mark.parametrize("function", [MAX_POOL, AVERAGE_POOL])
@pytest.mark.parametrize("depth", [8, 11])
def test_pools(image: Callable[[str], Image], function: str, depth: int) -> None:
    """The output may start where the input does, unless windows reach back to where earlier outputs have been written."""
    op = "MAX_POOL_2D" if function == MAX_POOL else "AVERAGE_POOL_2D"
    for window, stride, padding, lead in (
        ((2, 2), (2, 2), "VALID", 0),
        ((7, 6), (1, 1), "VALID", 0),
        ((3, 3), (1, 1), "SAME", 7 * depth),
        ((2, 5), (1, 1), "SAME", 2 * depth),
    ):
        graph = case(op, (1, 7, 6, depth), window, stride, padding)
        assert kernel(graph, function).bind(next(graph.layers())).overlap == {0: lead}
        check_lead(image(function), kernel(graph, function), graph, exact=lead > 0)


@pytest.mark.parametrize("function", [MAX_POOL, AVERAGE_POOL])
def test_drawn_pools_at_the_lead(image: Callable[[str], Image], function: str) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(graph=pools())
    def check(graph: Graph) -> None:
        if graph.nodes[0].op == ("MAX_POOL_2D" if function == MAX_POOL else "AVERAGE_POOL_2D"):
            check_lead(image(function), kernel(graph, function), graph, exact=False)

    check()


@pytest.mark.parametrize("function", ["tinyc_depthwise_3x3_relu_s8_dsp", "tinyc_depthwise_3x3_pairs_relu_s8_dsp"])
def test_planes_work_in_place_at_the_same_address_only(image: Callable[[str], Image], function: str) -> None:
    """They finish channel after channel, so outputs a little before the input would replace channels that are not read yet."""
    graph = depthwise((9, 8, 16))
    offered = kernel(graph, function)
    binding = offered.bind(next(graph.layers()))
    assert (binding.in_place, binding.overlap) == ((0,), {})
    assert call_shared(image(function), offered, graph, 0, 0)
    assert not any(call_shared(image(function), offered, graph, 0, ahead) for ahead in (1, 4, 8, 24))

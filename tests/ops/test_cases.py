# SPDX-License-Identifier: Apache-2.0
"""Every operator's own cases: numpy reference == TFLite Micro == compiled generic C."""

import pytest
from oracle import check
from tinyc.graph import Graph
from tinyc.ops import all_ops

CASES = [(op.name, name, graph) for op in all_ops().values() for name, graph in op.cases()]


@pytest.mark.parametrize("graph", [graph for _, _, graph in CASES], ids=[f"{op}-{name}" for op, name, _ in CASES])
def test_case(graph: Graph) -> None:
    check(graph)

# SPDX-License-Identifier: Apache-2.0
"""The order of layers: against all orders of small graphs, and on large ones within bounded work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyc.graph import Graph, Node, Tensor
from tinyc.passes import check_order
from tinyc.passes.order_operators import WORK, order_operators


def graph_of(
    sizes: Sequence[int], layers: Sequence[tuple[str, Sequence[int], int]], outputs: Sequence[int], inputs: int = 1
) -> Graph:
    """Tensors of so many bytes; the first `inputs` are the graph's inputs. A layer is (operator, inputs, output)."""
    tensors = tuple(Tensor(f"t{i}", (size,), "int8") for i, size in enumerate(sizes))
    nodes = tuple(Node(op, tuple(read), (written,), {}, 1, i) for i, (op, read, written) in enumerate(layers))
    return Graph(tensors, nodes, tuple(range(inputs)), tuple(outputs))


def peak(graph: Graph) -> int:
    """The most bytes alive at a step, from the lifetimes of the tensors; an output may take the place of what ends there."""
    storage = {i: i for i in graph.inputs}
    steps = []
    for node in graph.nodes:
        storage[node.outputs[0]] = storage[node.inputs[0]] if node.op == "RESHAPE" else node.outputs[0]
        if node.op != "RESHAPE":
            steps.append(node)
    lives: dict[int, tuple[int, int]] = {i: (0, 0) for i in graph.inputs if any(i in n.inputs for n in graph.nodes)}
    for time_, node in enumerate(steps):
        for tensor in (*node.inputs, *node.outputs):
            first, last = lives.get(storage[tensor], (time_, time_))
            lives[storage[tensor]] = min(first, time_), max(last, time_)
    for tensor in graph.outputs:
        if storage[tensor] in lives:
            lives[storage[tensor]] = lives[storage[tensor]][0], len(steps)
    sizes = {root: -(-graph.tensors[root].bytes // 16) * 16 for root in lives}
    found = 0
    for time_, node in enumerate(steps):
        alive = sum(sizes[root] for root, (first, last) in lives.items() if first <= time_ <= last)
        ending = sum(sizes[root] for root in {storage[i] for i in node.inputs} if lives[root][1] == time_)
        found = max(found, alive - min(sizes[node.outputs[0]], ending))
    return found


def all_orders(graph: Graph) -> Iterator[Graph]:
    def orders(done: tuple[int, ...], known: frozenset[int]) -> Iterator[tuple[int, ...]]:
        if len(done) == len(graph.nodes):
            yield done
        for number, node in enumerate(graph.nodes):
            if number not in done and known.issuperset(node.inputs):
                yield from orders((*done, number), known | set(node.outputs))

    for order in orders((), frozenset(graph.inputs)):
        yield replace(graph, nodes=tuple(graph.nodes[number] for number in order))


@st.composite
def graphs(draw: st.DrawFn, most: int = 6) -> Graph:
    """Any small graph: every tensor that nothing reads is an output, and some others are."""
    inputs = draw(st.integers(1, 2))
    count = draw(st.integers(1, most))
    layers: list[tuple[str, Sequence[int], int]] = []
    sizes = [16 * draw(st.integers(1, 12)) for _ in range(inputs)]
    for number in range(inputs, inputs + count):
        read = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3))
        op = draw(st.sampled_from(["ADD", "ADD", "ADD", "RESHAPE"]))
        layers.append((op, read[:1] if op == "RESHAPE" else read, number))
        sizes.append(sizes[read[0]] if op == "RESHAPE" else draw(st.integers(1, 192)))
    read_ones = {tensor for _, read, _ in layers for tensor in read}
    outputs = [i for i in range(inputs, inputs + count) if i not in read_ones or draw(st.integers(0, 5)) == 0]
    return graph_of(sizes, layers, outputs, inputs)


@given(graphs())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_order_is_better(graph: Graph) -> None:
    found = order_operators(graph)
    assert sorted(node.index for node in found.nodes) == sorted(node.index for node in graph.nodes)
    check_order(found)
    assert peak(found) == min(peak(other) for other in all_orders(graph))
    assert (found is graph) == ([n for n in found.nodes if n.op == "ADD"] == [n for n in graph.nodes if n.op == "ADD"])


@given(graphs(most=40), st.sampled_from([0, 1, 20, 200, WORK]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_never_worse_with_any_work(graph: Graph, work: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyc.passes.order_operators.WORK", work)
        found = order_operators(graph)
        assert found.nodes == order_operators(graph).nodes
    check_order(found)
    assert sorted(node.index for node in found.nodes) == sorted(node.index for node in graph.nodes)
    assert peak(found) <= peak(graph)


def branches(count: int, large: int = 100, small: int = 1) -> Graph:
    """Branches of one input that grow and shrink, all the growing first; one layer reads all of them."""
    sizes = [160]
    layers: list[tuple[str, Sequence[int], int]] = []
    for size, source in ((16 * large, lambda n: 0), (16 * small, lambda n: 1 + n)):
        for n in range(count):
            layers.append(("CONV_2D", (source(n),), len(sizes)))
            sizes.append(size)
    layers.append(("CONCATENATION", range(1 + count, 1 + 2 * count), len(sizes)))
    sizes.append(16 * small * count)
    return graph_of(sizes, layers, [len(sizes) - 1])


@pytest.mark.parametrize("count", [2, 5, 19, 200])
def test_branches_one_after_the_other(count: int) -> None:
    graph = branches(count)
    assert peak(graph) == 1600 * count + (160 if count == 1 else 0)
    # The last branch grows over the input.
    assert peak(order_operators(graph)) == max(1600 + 16 * (count - 1), 160 + 1600 + 16 * (count - 2))


def test_a_chain_is_left_alone() -> None:
    graph = graph_of([64, 640, 32, 32], [("CONV_2D", (0,), 1), ("RELU", (1,), 2), ("ADD", (0, 2), 3)], [3])
    assert order_operators(graph) is graph


def test_what_gains_nothing_stays() -> None:
    """Two equal branches, begun the other way round than a search would."""
    layers = [("CONV_2D", (0,), 2), ("CONV_2D", (0,), 1), ("ADD", (1, 2), 3)]
    graph = graph_of([64, 64, 64, 64], layers, [3])
    assert order_operators(graph) is graph


def test_only_the_part_that_gains_changes() -> None:
    """Behind the branches a part whose order does not matter."""
    graph = branches(3)
    last = len(graph.tensors) - 1
    tensors = (*graph.tensors, *(Tensor(f"late{i}", (48,), "int8") for i in range(3)))
    late = [
        Node("CONV_2D", (last,), (last + 2,)),
        Node("CONV_2D", (last,), (last + 1,)),
        Node("ADD", (last + 1, last + 2), (last + 3,)),
    ]
    longer = replace(graph, tensors=tensors, nodes=(*graph.nodes, *late), outputs=(last + 3,))
    found = order_operators(longer)
    assert found.nodes[: len(graph.nodes)] == order_operators(graph).nodes != graph.nodes
    assert list(found.nodes[len(graph.nodes) :]) == late


def test_views_come_before_their_readers() -> None:
    graph = branches(2)
    view = len(graph.tensors)
    nodes = list(graph.nodes)
    nodes[2] = replace(nodes[2], inputs=(view,))
    nodes.insert(1, Node("RESHAPE", (1,), (view,)))
    longer = replace(graph, tensors=(*graph.tensors, Tensor("view", (1600,), "int8")), nodes=tuple(nodes))
    found = order_operators(longer)
    assert [node.outputs[0] for node in found.nodes] == [1, view, 3, 2, 4, 5]


def test_variables_keep_their_order() -> None:
    graph = branches(3)
    tensors = (replace(graph.tensors[0], variable=True), *graph.tensors[1:])
    variables = replace(graph, tensors=tensors)
    assert order_operators(variables) is variables


def random_graph(count: int, seed: int, near: int) -> Graph:
    random = np.random.default_rng(seed)
    layers: list[tuple[str, Sequence[int], int]] = []
    for number in range(1, count + 1):
        read = random.integers(max(0, number - near), number, int(random.integers(1, 3)))
        layers.append(("ADD", [int(i) for i in read], number))
    read_ones = {tensor for _, read, _ in layers for tensor in read}
    sizes = [int(size) for size in random.integers(1, 2000, count + 1)]
    return graph_of(sizes, layers, [i for i in range(1, count + 1) if i not in read_ones])


@pytest.mark.parametrize(
    ("count", "near"), [(40, 40), (40, 8), (150, 5), (150, 20), (150, 150), (3000, 10), (3000, 3000)]
)
def test_time_is_bounded(count: int, near: int) -> None:
    graph = random_graph(count, count, near)
    start = time.process_time()
    found = order_operators(graph)
    assert time.process_time() - start < 20
    assert count > 200 or peak(found) <= peak(graph)
    check_order(found)


def test_a_long_chain_takes_no_time() -> None:
    count = 5000
    graph = graph_of([16] * (count + 1), [("RELU", (i,), i + 1) for i in range(count)], [count])
    start = time.process_time()
    assert order_operators(graph) is graph
    assert time.process_time() - start < 5

# SPDX-License-Identifier: Apache-2.0
"""The joint choice of kernels, against all possible choices of small made-up problems."""

import itertools

import hypothesis.strategies as st
from hypothesis import given, settings
from tinyc import select as module
from tinyc.program import Binding
from tinyc.select import Candidate, flash
from tinyc.targets import Kernel


def candidate(function: str, code: int, instructions: float, tables: int) -> Candidate:
    def no_binding(layer: object) -> Binding:
        return Binding(())

    kernel = Kernel(function, "OP", no_binding, lambda layer: instructions, code=code)
    return Candidate(kernel, Binding(()), instructions, tables)


@st.composite
def problems(draw: st.DrawFn) -> list[tuple[Candidate, ...]]:
    codes = {name: draw(st.integers(100, 4000)) for name in "abcd"}
    layers = []
    for _ in range(draw(st.integers(1, 4))):
        names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
        options = [candidate(n, codes[n], draw(st.integers(100, 9000)), draw(st.integers(0, 5000))) for n in names]
        layers.append(tuple(sorted(options, key=lambda c: c.instructions)))
    return layers


@given(problems(), st.floats(1.0, 3.0))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_bound_holds_and_flash_never_grows(layers: list[tuple[Candidate, ...]], slack: float) -> None:
    fastest = sum(options[0].instructions for options in layers)
    chosen = module._shrink(layers, slack * fastest)
    assert sum(c.instructions for c in chosen) <= slack * fastest
    assert flash(chosen) <= flash([options[0] for options in layers])
    best = min(
        flash(trial) for trial in itertools.product(*layers) if sum(c.instructions for c in trial) <= slack * fastest
    )
    assert best <= flash(chosen)


@given(problems())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_near_the_smallest_flash(layers: list[tuple[Candidate, ...]]) -> None:
    chosen = module._shrink(layers, float("inf"))
    best = min(flash(trial) for trial in itertools.product(*layers))
    assert flash(chosen) <= 1.35 * best


def test_shared_code_is_counted_once_and_given_up_together() -> None:
    big, small = ("big", 3000, 100.0, 10), ("small", 500, 110.0, 10)
    layers = [(candidate(*big), candidate(*small)) for _ in range(5)]
    assert flash([options[0] for options in layers]) == 3000 + 50
    chosen = module._shrink(layers, 1.2 * 500)
    assert {c.kernel.function for c in chosen} == {"small"}
    assert {c.kernel.function for c in module._shrink(layers, 1.05 * 500)} == {"big"}


def test_goals_are_ordered() -> None:
    slack = {name: goal.slack for name, goal in module.GOALS.items()}
    assert 1.0 <= slack["speed"] < slack["balanced"] < slack["ram"] < slack["size"]

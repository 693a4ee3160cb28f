# SPDX-License-Identifier: Apache-2.0
"""Float network in, integer network out: post-training quantization in numpy.

prepare                    any file's network as float32
observe, choose            the range of every activation on calibration data
assign                     scales and zero points, shared where the specification says so
quantize_weights           integers, and biases corrected for what they lose
Builder                    the integer network
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ModelError
from ..graph import Array, Graph, Layer, Quantization, short_name
from ..ops import problems
from . import execute
from .build import Builder
from .check import check_operators, check_samples, check_settings, float_layers, obstacles, sort_samples
from .equalize import equalize
from .pools import give_pools_scales
from .prepare import Prepared, is_integer, prepare
from .ranges import choose, observe
from .result import ACTIVATIONS, METHODS, RANGES, ROUNDINGS, Decision, Quantized, Range, Settings
from .scales import Scales, activation, assign, reach
from .simulate import simulated, sqnr
from .warn import warnings
from .weights import Weights, quantize_weights

__all__ = [
    "ACTIVATIONS",
    "RANGES",
    "ROUNDINGS",
    "Quantized",
    "Range",
    "Settings",
    "is_integer",
    "quantize",
    "what_is_missing",
]

Progress = Callable[[str], None]

#: Fewer samples than this cannot be split into some that calibrate and some that measure; how often they are split.
LEAST_TO_SPLIT = 12
FOLDS = 4
#: A candidate must be better by so many dB.
LEAST_GAIN = 0.25


def _silent(text: str) -> None:
    pass


def quantize(
    graph: Graph, arrays: Sequence[Array], settings: Settings | None = None, progress: Progress = _silent
) -> Quantized:
    """The integer network of a float one.

    Args:
        graph: as `tinyc.load` gives it: float32, with float16 or int8 weights, or legacy uint8.
        arrays: calibration samples, one float32 array [n, *sample shape] per input; the sample shape is the input's without the
            batch dimension of 1. Without samples the file itself must say the range of every activation. The order of the
            samples does not matter.
        settings: what is wanted, see :class:`Settings`.
        progress: is told what is being done.

    Raises:
        ModelError: operators that have no integer form (all at once), or samples that do not fit the model.
        UsageError: a setting that does not exist.
    """
    settings = settings or Settings()
    check_settings(settings)
    if is_integer(graph):
        raise ModelError(
            graph.source.file_name or "model",
            "is quantized already",
            expected="a float network",
            hint="give it to `tinyc build` as it is",
        )
    prepared = prepare(graph)
    check_operators(prepared.graph, settings)
    samples = sort_samples(check_samples(prepared.graph, arrays))
    if not samples or not len(samples[0]):
        return _quantized(_without_samples(prepared, settings), settings)
    count = len(samples[0])
    progress(f"calibrating on {count} samples")
    observed = observe(prepared.graph, samples, lambda done: progress(f"calibrating: {done} of {count} samples"))
    prepared = give_pools_scales(prepared, observed)
    settled, decided, decisions = _decide(prepared, samples, settings, progress)
    attempt = _attempt(settled, samples, decided, progress)
    held = int(count * settings.held_out) if count >= LEAST_TO_SPLIT else 0
    return replace(
        _quantized(attempt, settings),
        samples=(count, held),
        decisions=decisions,
        warnings=warnings(prepared.graph, observed, held),
    )


@dataclass(frozen=True, eq=False)
class _Attempt:
    """Everything that the integer network is made of."""

    graph: Graph
    floats: frozenset[int]
    seen: Mapping[int, tuple[float, float]]
    scales: Scales
    weights: Mapping[int, Weights]
    settings: Settings


def _attempt(prepared: Prepared, samples: Sequence[Array], settings: Settings, progress: Progress) -> _Attempt:
    graph, floats = prepared.graph, float_layers(prepared.graph, settings)
    observed = observe(graph, samples)
    ranges = choose(graph, samples, observed, settings)
    scales = assign(graph, ranges, prepared.known, floats, settings)
    weights = quantize_weights(graph, scales, floats, samples, settings, progress, prepared.grids)
    return _Attempt(graph, floats, {i: observed.range(i) for i in observed.low}, scales, weights, settings)


def _decide(
    prepared: Prepared, samples: Sequence[Array], settings: Settings, progress: Progress
) -> tuple[Prepared, Settings, tuple[Decision, ...]]:
    """What is measured rather than trusted: `--ranges auto` takes the best method, equalization and GPTQ stay only where they gain.

    Each candidate is scored by cross-validation: quantized with some samples, measured on the others.
    """
    plain = replace(settings, equalize=False, rounding="nearest")
    if settings.ranges == "auto":
        plain = replace(plain, ranges=METHODS[0])
    if plain == settings:
        return prepared, plain, ()
    if len(samples[0]) < LEAST_TO_SPLIT:
        raise ModelError(
            "calibration data",
            f"{len(samples[0])} samples",
            expected=f"at least {LEAST_TO_SPLIT}, to measure what --ranges auto, --equalize and --rounding gain",
        )
    jury = _Jury(samples, progress)
    best = jury.score("minmax" if settings.ranges == "auto" else "as it is", prepared, plain)
    decisions: list[Decision] = []

    def hear(name: str, tried: Prepared, wanted: Settings) -> None:
        nonlocal prepared, plain, best
        score = jury.score(name, tried, wanted)
        kept = score > best + LEAST_GAIN
        decisions.append(Decision(name, best, score, kept))
        if kept:
            prepared, plain, best = tried, wanted, score

    for method in METHODS[1:] if settings.ranges == "auto" else ():
        hear(f"--ranges {method}", prepared, replace(plain, ranges=method))
    if settings.equalize:
        hear("--equalize", equalize(prepared), plain)
    if settings.rounding != "nearest":
        hear(f"--rounding {settings.rounding}", prepared, replace(plain, rounding=settings.rounding))
    return prepared, plain, tuple(decisions)


class _Jury:
    """Scores candidates: the SQNR in dB of the network's outputs on samples that did not calibrate, averaged over `FOLDS` splits."""

    def __init__(self, samples: Sequence[Array], progress: Progress) -> None:
        self.progress = progress
        count = len(samples[0])
        held = [np.arange(count) % FOLDS == fold for fold in range(FOLDS)]
        self.folds = [([a[~out] for a in samples], [a[out] for a in samples]) for out in held]

    def score(self, name: str, tried: Prepared, wanted: Settings) -> float:
        scores = []
        for fold, (calibrate, measure) in enumerate(self.folds, 1):
            self.progress(f"measuring {name}: {fold} of {FOLDS}")
            exact = execute.outputs(tried.graph, measure)
            found = _attempt(tried, calibrate, wanted, _silent)
            near = simulated(found.graph, found.scales, found.weights, found.floats, wanted, measure)
            scores.append(sqnr(exact, near))
        return sum(scores) / FOLDS


def what_is_missing(graph: Graph) -> tuple[list[tuple[Layer, str]], bool]:
    """What keeps a float network from being quantized, by layer; and whether samples are needed: without them the file has to say
    all ranges."""
    prepared = prepare(graph)
    found = obstacles(prepared.graph, Settings())
    return found, bool(found) or bool(_unknown(prepared, Settings()))


def _unknown(prepared: Prepared, settings: Settings) -> list[int]:
    """The activations of which neither the file nor the specification says the range."""
    graph = prepared.graph
    made = (*graph.inputs, *(i for node in graph.nodes for i in node.outputs))
    ranges = {i: reach(prepared.known[i], "int8") if i in prepared.known else (0.0, 0.0) for i in made}
    scales = assign(graph, ranges, prepared.known, float_layers(graph, settings), settings)
    return [i for i in made if i not in prepared.known and scales.of[i] == _nothing(settings)]


def _without_samples(prepared: Prepared, settings: Settings) -> _Attempt:
    """From the ranges in the file alone, as legacy uint8 models have them."""
    graph, floats = prepared.graph, float_layers(prepared.graph, settings)
    made = (*graph.inputs, *(i for node in graph.nodes for i in node.outputs))
    ranges = {i: reach(prepared.known[i], "int8") if i in prepared.known else (0.0, 0.0) for i in made}
    scales = assign(graph, ranges, prepared.known, floats, settings)
    unknown = _unknown(prepared, settings)
    if unknown:
        name = short_name(graph.tensors[unknown[0]].name)
        raise ModelError(
            graph.source.file_name or "model",
            f"is a float network: the ranges of {len(unknown)} activations are not known, such as '{name}'",
            expected="an int8 network, or samples of real input data that say the ranges",
            hint="--calibrate DATA quantizes it; --allow-float compiles it in float32",
        )
    settings = replace(settings, bias_correction=False, rounding="nearest")
    weights = quantize_weights(graph, scales, floats, [], settings, grids=prepared.grids)
    return _Attempt(graph, floats, ranges, scales, weights, settings)


def _nothing(settings: Settings) -> Quantization:
    """What a tensor gets of which nothing is known."""
    return activation(0.0, 0.0, settings.activations)


def _quantized(attempt: _Attempt, settings: Settings) -> Quantized:
    builder = Builder(attempt.graph, attempt.scales, attempt.weights, attempt.floats, attempt.settings)
    graph = builder.graph()
    wrong = [(layer.where, problem) for layer in graph.layers() for problem in problems(layer)]
    if wrong:
        text = "\n".join(f"    {where}: {problem}" for where, problem in wrong)
        raise ModelError(
            graph.source.file_name or "model",
            f"{len(wrong)} layers have no integer form:\n{text}",
            hint="--allow-float keeps them in float32"
            if not settings.allow_float
            else "--keep-float NAME keeps a layer in float32",
        )
    dtype = settings.activations
    ranges = {i: Range(*attempt.seen[i], *reach(attempt.scales.of[i], dtype)) for i in attempt.seen}
    floats = tuple(attempt.graph.layer(attempt.graph.nodes[position]).where for position in sorted(attempt.floats))
    return Quantized(graph, attempt.graph, builder.real_of, ranges, builder.shift, floats, settings=settings)

# SPDX-License-Identifier: Apache-2.0
"""Graph → Program and its memory map: kernels, row streaming and the arena are chosen together.

What a step needs in RAM depends on its own kernel only (tinyc.demand). So for a number of bytes, each step takes the best kernel that
stays within it, and runs of steps that are computed row by row are one more choice. The numbers that are worth trying are the needs
of the choices themselves; each program found is planned, and the goal says which one is the best.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from .demand import Lives
from .errors import ModelError
from .graph import Graph
from .lower import Run, assemble, computed, streamed
from .memory import MemoryMap, plan_memory
from .passes.order_operators import order_operators
from .plan import EFFORT
from .program import Binding, Program
from .select import GOALS, Candidate, Goal, candidates, flash, smaller
from .streaming.rows import can_stream
from .streaming.schedule import accumulates, is_run
from .streaming.slabs import Slabs, choices
from .targets.cpus import Cpu

#: Bytes of scratch that the kernels of a stream may take, tried in this order.
SCRATCH = (64, 300, 600, 1200, 1 << 30)
#: Kernels that are tried in place of one that needs memory at the end of the arena, the fastest first.
ALTERNATIVES = 4
#: The planner's effort for programs that are only compared.
QUICK = 1
#: The most rows per call that are tried.
MOST_ROWS = 4


@dataclass(frozen=True)
class Limits:
    """Bytes of flash for code and tables together, and of the arena; None for no limit."""

    flash: int | None = None
    ram: int | None = None


@dataclass(frozen=True, eq=False)
class Chosen:
    """A program, its plan, and what it was chosen by: estimated instructions and flash bytes of kernels and tables."""

    program: Program
    memory: MemoryMap
    instructions: float
    flash: int


def choose(graph: Graph, cpu: Cpu, optimize: str, limits: Limits = Limits(), stream_input: bool = False) -> Chosen:
    """The best program for the goal `optimize` within `limits`; the nearest to them when none is within.

    Row streaming is used for the goal `ram`, and for any goal when no other program is within the RAM limit. With `stream_input`, the
    rows of the model's input come one by one and are never all in memory. The layers are in the given order or in the one with the
    fewest bytes alive (tinyc.passes.order_operators), where that is the better program: scratch and places count, too.

    Raises:
        ModelError: with `stream_input`, for an input whose rows cannot come one by one.
    """
    given, other = graph, graph if stream_input else order_operators(graph)
    best = _choose(given, cpu, optimize, limits, stream_input)
    if other is given:
        return best
    return _best([best, _choose(other, cpu, optimize, limits, stream_input)], GOALS[optimize], limits)


def _choose(graph: Graph, cpu: Cpu, optimize: str, limits: Limits, stream_input: bool) -> Chosen:
    """The best program with the layers in the order of `graph`."""
    goal = GOALS[optimize]
    search = _Search(graph, cpu, goal, limits.flash)
    if stream_input:
        search.feed()
        found = search.with_streams(None if goal.streams else limits.ram)
        if not found:
            expected = "an input that the first layers alone read, row by row"
            raise ModelError("--stream-input", "later layers need the whole input", expected=expected)
        return _best(found, goal, limits)
    best = search.lighter(search.tightened(_best(search.plain(), goal, limits)))
    if goal.streams:
        return _best([best, *search.with_streams(None)], goal, limits)
    if limits.ram is None or best.memory.size <= limits.ram:
        return best
    return _best([best, *search.with_streams(limits.ram)], goal, limits)


def _best(found: Sequence[Chosen], goal: Goal, limits: Limits) -> Chosen:
    """Within the limits by the goal, else by what is missing."""

    def missing(chosen: Chosen) -> int:
        over_ram = chosen.memory.size - limits.ram if limits.ram is not None else 0
        over_flash = chosen.flash - limits.flash if limits.flash is not None else 0
        return max(over_ram, 0) + max(over_flash, 0)

    least = min(missing(chosen) for chosen in found)
    fitting = [chosen for chosen in found if missing(chosen) == least]
    fastest = min(chosen.instructions for chosen in found)
    allowed = [chosen for chosen in fitting if chosen.instructions <= goal.slack * fastest] or fitting
    return min(allowed, key=lambda c: goal.rank(c.instructions, c.flash, c.memory.size))


@dataclass(frozen=True, eq=False)
class _Option:
    """One way to compute the steps `first` to `last`: a kernel, or a run of them row by row; and the RAM that this takes."""

    first: int
    last: int
    part: Candidate | Run
    need: int
    instructions: float

    @property
    def kernels(self) -> Iterator[tuple[str, int, int]]:
        """(function, bytes of code, bytes of tables) of each step."""
        parts: Sequence[Candidate | Slabs] = (self.part,) if isinstance(self.part, Candidate) else self.part.slabs
        return ((part.kernel.function, part.kernel.code, part.tables) for part in parts)


class _Search:
    def __init__(self, graph: Graph, cpu: Cpu, goal: Goal, flash_limit: int | None) -> None:
        self.graph, self.cpu, self.goal, self.flash_limit = graph, cpu, goal, flash_limit
        self.layers = computed(graph)
        self.options = [goal.allowed(layer, candidates(layer, cpu)) for layer in self.layers]
        self.skeleton = assemble(graph, cpu, [options[0] for options in self.options])
        self.lives = Lives(self.skeleton)
        self.needs = [
            [self.lives.of_step(number, candidate.binding) for candidate in options]
            for number, options in enumerate(self.options)
        ]
        self.fastest = sum(options[0].instructions for options in self.options)
        self.singles: list[list[_Option]] = []
        self.runs: list[_Option] = []
        self.paths: dict[int, list[_Option] | None] = {}
        self.known: dict[tuple[int, tuple[int, ...]], list[_Option]] = {}
        self.slabs: dict[tuple[int, int], tuple[Slabs, ...]] = {}
        self.fed: int | None = None

    # Without streams

    def plain(self) -> list[Chosen]:
        """A program for each number of bytes that can be kept to, the one that needs most first; at least one."""
        least = max((min(needs) for needs in self.needs), default=0)
        limits = sorted({need for needs in self.needs for need in needs if need >= least} | {least}, reverse=True)
        found: dict[tuple[int, ...], Chosen] = {}
        for limit in limits:
            within = self._within(limit)
            if found and sum(options[0].instructions for options in within) > self.goal.slack * self.fastest:
                break
            chosen = self._chosen(within)
            key = tuple(id(candidate) for candidate in chosen)
            if key not in found:
                found[key] = self._planned(chosen)
        tightest = self._chosen(self._within(least))
        return [*found.values(), self._planned(tightest)]

    def tightened(self, chosen: Chosen) -> Chosen:
        """`chosen` with other kernels in the steps that the arena's last bytes are for, as long as that makes it better.

        Places depend on each other, so that a plan may need more than any step does.
        """
        while True:
            best = min(self._others(chosen), key=self._rank, default=chosen)
            if self._rank(best) >= self._rank(chosen):
                return chosen
            chosen = self._planned(self._candidates_of(best))

    def lighter(self, chosen: Chosen) -> Chosen:
        """`chosen` with kernels that take less flash and no more memory, if the goal has instructions left for that."""
        if self.goal.trades_flash != "last":
            return chosen
        now = self._candidates_of(chosen)
        options = [
            [candidate for candidate in own if _takes_no_more(candidate.binding, used.binding)]
            for own, used in zip(self.options, now, strict=True)
        ]
        trial = self._planned(smaller(options, self.goal.slack * self.fastest, self.flash_limit, self.goal.rate))
        return trial if trial.flash < chosen.flash and trial.memory.size <= chosen.memory.size else chosen

    def _rank(self, chosen: Chosen) -> tuple[float, ...]:
        return self.goal.rank(chosen.instructions, chosen.flash, chosen.memory.size)

    def _others(self, chosen: Chosen) -> Iterator[Chosen]:
        """Programs with another kernel in one step that has memory at the end of the arena, or that moves it there by its lead."""
        memory = chosen.memory
        now = self._candidates_of(chosen)
        steps = {step for buffer in memory.topmost for step in range(buffer.first, buffer.last + 1)}
        if memory.size > max((self.lives.of_step(n, used.binding) for n, used in enumerate(now)), default=0):
            steps |= {memory.buffers[overlap.input].last for overlap in memory.overlaps if overlap.lead > 0}
        for step in sorted(steps & set(range(len(now)))):
            spare = self.goal.slack * self.fastest - chosen.instructions + now[step].instructions
            less = (c for c in self.options[step] if _may_take_less(c.binding, now[step].binding))
            for candidate in islice((c for c in less if c.instructions <= spare), ALTERNATIVES):
                yield self._planned([*now[:step], candidate, *now[step + 1 :]], effort=QUICK)

    def _candidates_of(self, chosen: Chosen) -> list[Candidate]:
        return [
            next(c for c in options if c.binding is step.binding)
            for step, options in zip(chosen.program.steps, self.options, strict=True)
        ]

    def _within(self, limit: int) -> list[list[Candidate]]:
        """Per layer, the candidates that need no more than `limit` bytes, fastest first."""
        return [
            [candidate for candidate, need in zip(options, needs, strict=True) if need <= limit]
            for options, needs in zip(self.options, self.needs, strict=True)
        ]

    def _chosen(self, options: Sequence[Sequence[Candidate]]) -> list[Candidate]:
        most = sum(own[0].instructions for own in options)
        bound = max(most, self.goal.slack * self.fastest) if self.goal.trades_flash == "first" else most
        return smaller(options, bound, self.flash_limit, self.goal.rate)

    def _planned(self, chosen: Sequence[Candidate], effort: int = EFFORT) -> Chosen:
        program = assemble(self.graph, self.cpu, chosen)
        return Chosen(program, plan_memory(program, effort=effort), sum(c.instructions for c in chosen), flash(chosen))

    # With streams

    def feed(self) -> None:
        """From now on, the rows of the model's input come one by one."""
        inputs, images = self.graph.inputs, self.graph.input_tensors
        if len(inputs) != 1 or len(images[0].shape) != 4 or images[0].shape[0] != 1 or images[0].shape[1] < 2:
            shapes = ", ".join(str(list(tensor.shape)) for tensor in images)
            raise ModelError("--stream-input", f"the inputs are {shapes}", expected="one input of shape [1, rows, ...]")
        reads = [inputs[0] in layer.node.inputs for layer in self.layers]
        if not reads or not reads[0] or not can_stream(self.layers[0]) or accumulates(self.layers[0]):
            where = self.layers[0].where if self.layers else "the model"
            raise ModelError(
                "--stream-input", f"{where} needs the whole input", expected="a convolution, pool or elementwise layer"
            )
        self.fed = inputs[0]

    def with_streams(self, ram: int | None) -> list[Chosen]:
        """Programs with rows streamed where that needs less RAM: those that need the least, or those within `ram` bytes."""
        self.singles = [
            []
            if n == 0 and self.fed is not None
            else [_Option(n, n, part, need, part.instructions) for part, need in zip(options, needs, strict=True)]
            for n, (options, needs) in enumerate(zip(self.options, self.needs, strict=True))
        ]
        self.runs = self._runs(max((min(needs) for needs in self.needs), default=0))
        needs = {option.need for own in self.singles for option in own} | {option.need for option in self.runs}
        limits = sorted(needs)
        if ram is None:
            first = min(bisect_left(limits, True, key=self._is_fast_enough), max(len(limits) - 1, 0))
            return list(self._along([*self._between(limits, first), *limits[first : first + TRIES]]))
        found: list[Chosen] = []
        for chosen in self._along(limit for limit in reversed(limits) if limit <= ram):
            found.append(chosen)
            if chosen.memory.size <= ram:
                return found
            if len(found) == TRIES:
                break
        # Places may need more than the steps do, and the limit may be out of reach: what needs the least is next.
        first = bisect_left(limits, True, key=lambda limit: self._path(limit) is not None)
        return [*found, *self._along(limits[first : first + TRIES])]

    def _along(self, limits: Iterable[int]) -> Iterator[Chosen]:
        """The program for each number of bytes that can be kept to."""
        paths = (self._path(limit) for limit in limits)
        return (self._streamed(path) for path in paths if path is not None)

    def _between(self, limits: Sequence[int], first: int) -> list[int]:
        """Numbers of bytes below the least need that is enough, which more rows per call may still make enough; the best one last."""
        found: list[int] = []
        low, high = (limits[first - 1], limits[first]) if 0 < first < len(limits) else (0, 0)
        for _ in range(HALVINGS):
            middle = (low + high) // 2
            if self._is_fast_enough(middle):
                high = middle
                found.append(middle)
            else:
                low = middle
        return found[-1:]

    def _is_fast_enough(self, limit: int) -> bool:
        path = self._path(limit)
        return path is not None and sum(option.instructions for option in path) <= self.goal.slack * self.fastest

    def _path(self, limit: int) -> list[_Option] | None:
        """The steps one after the other within `limit` bytes, with few instructions."""
        if limit not in self.paths:
            path = _cheapest(self.singles, self.runs, limit)
            self.paths[limit] = path and [self._refined(option, limit) for option in path]
        return self.paths[limit]

    def _runs(self, most: int) -> list[_Option]:
        """Every run of layers that takes fewer than `most` bytes, with one row per call."""
        found = []
        for first in range(len(self.layers)):
            fed = self.fed if first == 0 else None
            for last in range(first + (fed is None), len(self.layers)):
                layers = self.layers[first : last + 1]
                if not is_run(layers[-1:], set()) or any(accumulates(layer) for layer in layers[:-1]):
                    break
                elsewhere = self._read_elsewhere(first, last)
                if not is_run(layers, elsewhere) or fed in elsewhere:
                    continue
                if self._least(first, last) >= most:
                    continue
                options = self._run_options(first, (1,) * len(layers))
                found += [option for option in options if option.need < most or fed is not None]
        return found

    def _read_elsewhere(self, first: int, last: int) -> set[int]:
        """Tensors that the user, a view, or a layer outside of the run reads."""
        views = {i for i, root in self.skeleton.storage.items() if i != root} | {
            root for i, root in self.skeleton.storage.items() if i != root
        }
        outside = {i for n, layer in enumerate(self.layers) if not first <= n <= last for i in layer.node.inputs}
        return {*self.graph.outputs, *views, *outside}

    def _least(self, first: int, last: int) -> int:
        """Bytes that a run needs at least: what is alive around it."""
        inner = [layer.node.outputs[0] for layer in self.layers[first:last]]
        return self.lives.around(first, last, inner, self.layers[last].node.outputs[0])

    def _run_options(self, first: int, chunks: tuple[int, ...]) -> list[_Option]:
        """The run of these layers with different amounts of scratch."""
        if (first, chunks) not in self.known:
            found: dict[tuple[Slabs, ...], _Option] = {}
            for scratch in SCRATCH:
                slabs = tuple(self._slabs(first + n, chunk, scratch) for n, chunk in enumerate(chunks))
                if slabs not in found:
                    found[slabs] = self._run(Run(first, slabs, chunks, self.fed if first == 0 else None))
            self.known[first, chunks] = list(found.values())
        return self.known[first, chunks]

    def _run(self, run: Run) -> _Option:
        stream = streamed(self.skeleton, [run]).streams[0]
        states = [slabs.state for slabs in run.slabs]
        need = self.lives.of_stream(stream, max(slabs.scratch for slabs in run.slabs), states)
        return _Option(run.first, run.last, run, need, sum(slabs.instructions for slabs in run.slabs))

    def _choices(self, layer: int, chunk: int) -> tuple[Slabs, ...]:
        if (layer, chunk) not in self.slabs:
            self.slabs[layer, chunk] = choices(self.layers[layer], chunk, self.cpu)
        return self.slabs[layer, chunk]

    def _slabs(self, layer: int, chunk: int, scratch: int) -> Slabs:
        """The fastest kernel for some rows of a layer within so much scratch, else the one with the least."""
        found = self.goal.allowed(self.layers[layer], self._choices(layer, chunk))
        within = [slabs for slabs in found if slabs.scratch <= scratch]
        return within[0] if within else min(found, key=lambda slabs: slabs.scratch)

    def _refined(self, option: _Option, limit: int) -> _Option:
        """`option` with more rows per call where that takes fewer instructions within `limit` bytes: most saved per byte first."""

        def worth(trial: _Option) -> float:
            return (best.instructions - trial.instructions) / max(trial.need - best.need, 1)

        best = option
        while isinstance(best.part, Run):
            trials = [t for t in self._neighbours(best) if t.need <= limit and t.instructions < best.instructions]
            if not trials:
                break
            best = max(trials, key=worth)
        return best

    def _neighbours(self, option: _Option) -> Iterator[_Option]:
        """The run with twice the rows per call for one layer, or for two neighbouring ones together."""
        assert isinstance(option.part, Run)
        chunks = option.part.chunks
        groups = [{n} for n in range(len(chunks))] + [{a, b} for a, b in pairwise(range(len(chunks)))]
        for group in groups:
            if all(chunks[n] < MOST_ROWS for n in group):
                trial = tuple(2 * own if n in group else own for n, own in enumerate(chunks))
                yield from self._run_options(option.first, trial)

    def _streamed(self, path: Sequence[_Option]) -> Chosen:
        parts: list[Candidate] = []
        runs: list[Run] = []
        for option in path:
            if isinstance(option.part, Candidate):
                parts.append(option.part)
            else:
                parts += [self.options[n][0] for n in range(option.first, option.last + 1)]
                runs.append(option.part)
        program = streamed(assemble(self.graph, self.cpu, parts), runs)
        kernels = [row for option in path for row in option.kernels]
        size = sum({function: code for function, code, _ in kernels}.values()) + sum(tables for *_, tables in kernels)
        return Chosen(program, plan_memory(program), sum(option.instructions for option in path), size)


def _may_take_less(binding: Binding, than: Binding) -> bool:
    """Whether a plan may be smaller with `binding`: less scratch, a smaller distance, or a distance that is not fixed."""
    nearer = any(lead < than.overlap.get(position, lead + 1) for position, lead in binding.overlap.items())
    return binding.scratch < than.scratch or nearer or bool({*than.in_place} ^ {*binding.in_place})


def _takes_no_more(binding: Binding, than: Binding) -> bool:
    """Whether `binding` fits wherever `than` does: no more scratch, no greater distances."""
    near = all(binding.overlap.get(p, lead + 1) <= lead for p, lead in than.overlap.items())
    return binding.scratch <= than.scratch and near and set(than.in_place) <= {*binding.in_place}


#: Programs with streams that are planned, from the one with the smallest bound on.
TRIES = 4
#: Numbers of bytes tried between two needs.
HALVINGS = 6


def _cheapest(plain: Sequence[Sequence[_Option]], runs: Sequence[_Option], limit: int) -> list[_Option] | None:
    """The fewest instructions from the first step to the last within `limit` bytes at each, or None."""
    ending: dict[int, list[_Option]] = {n: [o for o in own if o.need <= limit] for n, own in enumerate(plain)}
    for run in runs:
        if run.need <= limit:
            ending[run.last].append(run)
    best: list[tuple[float, list[_Option]] | None] = [(0.0, [])]
    for last in range(len(plain)):
        arrivals = []
        for option in ending[last]:
            before = best[option.first]
            if before is not None:
                arrivals.append((before[0] + option.instructions, [*before[1], option]))
        best.append(min(arrivals, key=lambda arrival: arrival[0], default=None))
    return best[-1][1] if best[-1] is not None else None

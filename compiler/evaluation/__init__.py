# SPDX-License-Identifier: Apache-2.0
"""What a network is worth on data: the float network, the integer reference and the compiled C beside each other.

Accuracy is always that of the compiled C, which runs natively on all evaluated samples; the reference has to be equal to it, byte
for byte. So is what an emulated core computes, where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import reference
from ..data.dataset import to_input
from ..emit import emit
from ..errors import MismatchError, ModelError
from ..graph import DTYPES, Array, Graph, short_name
from ..lower import lower
from ..memory import plan_memory
from ..ops import all_ops
from ..program import Program
from ..quantize import execute
from ..quantize.real_values import finite, spread, to_real
from ..targets.cpus import Cpu, find_cpu
from ..toolchains import find as find_toolchain
from ..verification import run_image, verify
from .metrics import METRICS, MOST_CLASSES, TASKS, Truth, confusion, measure, truth

if TYPE_CHECKING:
    from ..pipeline import Compilation

__all__ = ["METRICS", "TASKS", "Column", "Evaluation", "evaluate"]

#: Work that one evaluation may take, in multiply-accumulates; what a call of an operator costs besides counts as `OVERHEAD` of them.
C_WORK, REFERENCE_WORK, EMULATED_WORK = 20_000_000_000, 10_000_000_000, 200_000_000
OVERHEAD = {"c": 2_000, "reference": 300_000, "emulated": 50_000}
#: The most samples that run in emulation, and at all.
EMULATED_SAMPLES, MOST_SAMPLES = 64, 20_000


@dataclass(frozen=True)
class Column:
    """One implementation's results.

    Attributes:
        key: `float`, `reference`, `c` or `emulated`.
        title: for people. `by`: what computed it.
        samples: how many samples it computed; `metrics` (by the names in `METRICS`) and `confusion` are of these.
        confusion: counts [true class][class that it says], or None.
    """

    key: str
    title: str
    by: str
    samples: int
    metrics: Mapping[str, float]
    confusion: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class Evaluation:
    """The results on one set of data.

    Attributes:
        task: see `tinyc.evaluation.metrics`.
        given, samples: samples in the data, and how many of them were evaluated.
        classes: names of the classes, or nothing.
        columns: float (where there is a float network), reference, C, and emulation where asked for.
        compared: samples on which the reference and the C were compared, byte for byte; they are equal, else there would be no result.
        notes: what the reader should know: samples left out, metrics that these labels do not allow.
    """

    task: str
    given: int
    samples: int
    classes: tuple[str, ...]
    columns: tuple[Column, ...]
    compared: int
    notes: tuple[str, ...] = ()

    def column(self, key: str) -> Column | None:
        return next((column for column in self.columns if column.key == key), None)

    @property
    def compiled(self) -> Column:
        """The compiled C's column, which is always there."""
        return next(column for column in self.columns if column.key == "c")

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; numbers without end (no error at all) are null. docs/quantization-report.md has the keys."""
        return {
            "task": self.task,
            "samples_given": self.given,
            "samples": self.samples,
            "samples_compared": self.compared,
            "classes": list(self.classes),
            "columns": {
                column.key: {
                    "title": column.title,
                    "by": column.by,
                    "samples": column.samples,
                    "metrics": {name: finite(value) for name, value in column.metrics.items()},
                    "confusion": None if column.confusion is None else [list(row) for row in column.confusion],
                }
                for column in self.columns
            },
            "notes": list(self.notes),
        }


def evaluate(
    subject: Graph | Compilation,
    arrays: Sequence[Array],
    labels: Array | None = None,
    *,
    real: Graph | None = None,
    classes: Sequence[str] = (),
    task: str = "auto",
    emulate: Cpu | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Evaluation:
    """Measures a network on data.

    Args:
        subject: the integer network, or a build of it, whose own C then runs.
        arrays: one array [n, *sample shape] per input: real values, or numbers of the input's own integer type.
        labels: one per sample; whole numbers are classes (or 0 and 1 for anomalies), real ones are values. None: outputs are only
            compared with the float network's.
        real: the float network with the same inputs and outputs; without it there is no float column and no SQNR.
        classes: the names of classes 0, 1, ...; brought into the model's order where the model names its classes.
        task: one of `TASKS`, or `auto` to tell it from the labels and shapes.
        emulate: a core on which some samples run in emulation too.

    Raises:
        ModelError: the arrays do not fit the inputs, or the labels do not fit samples or outputs.
        MismatchError: the compiled C and the reference differ.
        ToolError: no native compiler, or no emulator for the core.
    """
    built = _Built.of(subject)
    graph = built.graph
    given = _samples(graph, arrays)
    labels, names, notes = _in_model_order(graph, labels, classes)
    against = truth(graph, labels, given, task)
    chosen = spread(given, _affordable(graph, C_WORK, "c", MOST_SAMPLES))
    samples = [np.asarray(array)[chosen] for array in arrays]
    samples = [array.astype(np.float32) if array.dtype.kind == "f" else array for array in samples]
    return _Evaluator(built, samples, against.at(chosen), real, progress).run(given, names, notes, emulate)


@dataclass(frozen=True, eq=False)
class _Built:
    """A network and the C for it that runs on this computer; `own` is the build's own program, if there is a build."""

    name: str
    graph: Graph
    program: Program
    library: Mapping[str, bytes]
    own: tuple[Program, Mapping[str, bytes]] | None = None

    @staticmethod
    def of(subject: Graph | Compilation) -> _Built:
        if not isinstance(subject, Graph):
            own = subject.program, subject.library
            if subject.program.portable and subject.program.fed is None:
                return _Built(subject.name, subject.graph, *own, own)
            return replace(_Built.of(subject.graph), own=own, name=subject.name)._emitted()
        return _Built("model", subject, lower(subject, find_cpu("host")), {})._emitted()

    def _emitted(self) -> _Built:
        return replace(self, library=emit(self.program, plan_memory(self.program), self.name))

    def for_core(self, cpu: Cpu) -> tuple[Program, Mapping[str, bytes]]:
        """The program and C for `cpu`: the build's own where that is its core."""
        if self.own is not None and self.own[0].cpu.name == cpu.name:
            return self.own
        program = lower(self.graph, cpu)
        return program, emit(program, plan_memory(program), self.name)


def _samples(graph: Graph, arrays: Sequence[Array]) -> int:
    """How many samples `arrays` hold, after checking them against the inputs."""
    tensors = graph.input_tensors
    if len(arrays) != len(tensors):
        expected = f"{len(tensors)}: {', '.join(short_name(name) for name in graph.input_names)}"
        raise ModelError("evaluation data", f"{len(arrays)} arrays given", expected=expected)
    for tensor, array in zip(tensors, arrays, strict=True):
        where, shape = f"evaluation data for '{short_name(tensor.name)}'", execute.sample_shape(tensor)
        if array.dtype.kind not in "fiu":
            raise ModelError(where, f"{array.dtype} values", expected="numbers")
        if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
            found = f"samples of shape {list(array.shape[1:])}"
            raise ModelError(where, found, expected=f"{list(shape)}, along a first axis")
        if not np.isfinite(array).all():
            sample = int(np.argwhere(~np.isfinite(array))[0][0])
            raise ModelError(where, f"sample {sample} holds infinities or no numbers", expected="finite values")
    counts = {len(array) for array in arrays}
    if len(counts) != 1 or 0 in counts:
        raise ModelError(
            "evaluation data", f"{sorted(counts)} samples", expected="as many for each input, at least one"
        )
    return counts.pop()


def _in_model_order(
    graph: Graph, labels: Array | None, classes: Sequence[str]
) -> tuple[Array | None, tuple[str, ...], tuple[str, ...]]:
    """(labels, class names, notes): by name where both the data and the model name their classes, else by number."""
    names = tuple(classes)
    numbers = labels is not None and np.asarray(labels).dtype.kind in "biu"
    if not graph.labels or not names or not numbers:
        return labels, names or graph.labels, ()
    if set(names) <= set(graph.labels) and len(set(graph.labels)) == len(graph.labels):
        numbered = np.asarray(labels)
        order = np.array([graph.labels.index(name) for name in names])
        inside = (numbered >= 0) & (numbered < len(order))
        return np.where(inside, order[np.clip(numbered, 0, len(order) - 1)], -1), graph.labels, ()
    note = "the data's class names are not the model's: classes are matched by number"
    return labels, names, (note,) if names != graph.labels else ()


def _affordable(graph: Graph, work: int, kind: str, most: int) -> int:
    """How many samples a kind of run can take."""
    macs = sum(all_ops()[layer.op].macs(layer) + sum(t.elements for t in layer.outputs) for layer in graph.layers())
    return int(max(1, min(most, work // max(1, macs + OVERHEAD[kind] * len(graph.nodes)))))


@dataclass(frozen=True, eq=False)
class _Evaluator:
    built: _Built
    arrays: Sequence[Array]
    against: Truth
    real: Graph | None
    progress: Callable[[str], None]

    def run(self, given: int, names: tuple[str, ...], notes: tuple[str, ...], emulate: Cpu | None) -> Evaluation:
        graph, samples = self.built.graph, len(self.arrays[0])
        inputs = [to_input(a, tensor) for a, tensor in zip(self.arrays, graph.input_tensors, strict=True)]
        everything = np.arange(samples)
        reals = [to_real(a, tensor) for a, tensor in zip(self.arrays, graph.input_tensors, strict=True)]
        baseline = self._float(reals)
        columns = [] if baseline is None else [self._column("float", "float", "numpy", everything, baseline, None)]
        some = spread(samples, _affordable(graph, REFERENCE_WORK, "reference", MOST_SAMPLES))
        expected = self._reference(inputs, some)
        compiled = self._compiled(inputs)
        self._compare(inputs, some, expected, compiled)
        title = f"{_kind(graph)} reference"
        columns.append(self._column("reference", title, "numpy", some, _real(graph, expected), baseline))
        native = find_toolchain(find_cpu("host")).description
        columns.append(
            self._column("c", "compiled C", f"{native}, on this computer", everything, _real(graph, compiled), baseline)
        )
        if emulate is not None:
            columns.append(self._emulated(inputs, some, expected, emulate, baseline))
        said = (*notes, *self._notes(given, len(some), columns))
        return Evaluation(self.against.task, given, samples, names, tuple(columns), len(some), said)

    def _column(
        self, key: str, title: str, by: str, at: Array, outputs: Sequence[Array], baseline: Sequence[Array] | None
    ) -> Column:
        against = self.against.at(at)
        wanted = None if baseline is None else [array[at] for array in baseline]
        tensors = self.built.graph.input_tensors
        reals = [to_real(array[at], tensor) for array, tensor in zip(self.arrays, tensors, strict=True)]
        found = measure(against, reals, outputs, wanted)
        return Column(key, title, by, len(at), found, confusion(against, outputs))

    def _float(self, reals: Sequence[Array]) -> list[Array] | None:
        """The float network's outputs, brought into the shapes of the integer one's."""
        if self.real is None:
            return None
        self.progress("running the float network")
        found = execute.outputs(self.real, reals)
        shapes = [execute.sample_shape(tensor) for tensor in self.built.graph.output_tensors]
        return [array.reshape(len(array), *shape) for array, shape in zip(found, shapes, strict=True)]

    def _reference(self, inputs: Sequence[Array], some: Array) -> list[Array]:
        """The outputs of the numpy reference for the samples `some`: one array [n, *sample shape] per output."""
        graph = self.built.graph
        self.progress(f"running the reference on {len(some)} samples")
        rows = [reference.outputs(graph, self._sample(inputs, int(i))) for i in some]
        return [
            np.stack([row[k] for row in rows]).reshape(len(some), *execute.sample_shape(tensor))
            for k, tensor in enumerate(graph.output_tensors)
        ]

    def _sample(self, inputs: Sequence[Array], index: int) -> list[Array]:
        tensors = self.built.graph.input_tensors
        return [array[index].reshape(tensor.shape) for array, tensor in zip(inputs, tensors, strict=True)]

    def _compiled(self, inputs: Sequence[Array]) -> list[Array]:
        """What the C computes, as `_reference`, for all samples: one image is built and gets them all."""
        graph, samples = self.built.graph, len(self.arrays[0])
        self.progress(f"running the compiled C on {samples} samples")
        sets = [self._sample(inputs, i) for i in range(samples)]
        stream = run_image(self.built.name, self.built.library, graph, sets, "host", find_cpu("host"))
        size = sum(tensor.bytes for tensor in graph.output_tensors)
        if len(stream) != samples * size:
            raise MismatchError(self.built.name, f"the program wrote {len(stream)} bytes", expected=str(samples * size))
        rows = np.frombuffer(stream, np.uint8).reshape(samples, size)
        found, start = [], 0
        for tensor in graph.output_tensors:
            part = np.ascontiguousarray(rows[:, start : start + tensor.bytes])
            found.append(part.view(DTYPES[tensor.dtype]).reshape(samples, *execute.sample_shape(tensor)))
            start += tensor.bytes
        return found

    def _compare(
        self, inputs: Sequence[Array], some: Array, expected: Sequence[Array], compiled: Sequence[Array]
    ) -> None:
        """Raises MismatchError, naming the layer, when a sample's bytes differ."""
        for k, index in enumerate(some):
            if all(want[k].tobytes() == got[index].tobytes() for want, got in zip(expected, compiled, strict=True)):
                continue
            sample = self._sample(inputs, int(index))
            values = [reference.run(self.built.graph, sample)]
            verify(
                self.built.name, self.built.program, self.built.library, [sample], values, emulator="host", layers=True
            )
            raise MismatchError(f"sample {index}", "the compiled C gives other bytes than the reference, but not alone")

    def _emulated(
        self,
        inputs: Sequence[Array],
        some: Array,
        expected: Sequence[Array],
        cpu: Cpu,
        baseline: Sequence[Array] | None,
    ) -> Column:
        """Some of the samples on the emulated core: outputs that differ from the reference by a byte are an error."""
        graph = self.built.graph
        few = spread(len(some), _affordable(graph, EMULATED_WORK, "emulated", EMULATED_SAMPLES))
        program, library = self.built.for_core(cpu)
        sets = [self._sample(inputs, int(i)) for i in some[few]]
        values = [reference.run(graph, sample) for sample in sets]
        result = verify(
            self.built.name, program, library, sets, values, emulator="auto", cpu=cpu, progress=self.progress
        )
        outputs = _real(graph, [array[few] for array in expected])
        return self._column(
            "emulated", f"C on {cpu.title}", f"{result.toolchain}, in {result.emulator}", some[few], outputs, baseline
        )

    def _notes(self, given: int, compared: int, columns: Sequence[Column]) -> list[str]:
        graph, samples = self.built.graph, len(self.arrays[0])
        notes = []
        if samples < given:
            notes.append(
                f"{samples:,} of {given:,} samples are evaluated, evenly spread over the data: all would take long"
            )
        for column in columns:
            if column.samples < samples:
                notes.append(
                    f"{column.title}: {column.samples:,} of these samples, evenly spread; its metrics are of them"
                )
        if len(graph.outputs) > 1:
            notes.append(
                f"the task's metrics are of output 0 '{short_name(graph.output_names[0])}', SQNR of all outputs"
            )
        if self.real is None:
            notes.append("there is no float network to compare with")
        labels = self.against.labels
        if self.against.task in ("binary", "anomaly") and labels is not None and len(np.unique(labels)) < 2:
            notes.append("no AUC: all labels are the same")
        if self.against.task == "classification" and self.against.classes > MOST_CLASSES:
            notes.append(f"no confusion matrix: more than {MOST_CLASSES} classes")
        return notes


def _kind(graph: Graph) -> str:
    """The integers' name, such as int8; `float32` when there are none."""
    types = {t.dtype for layer in graph.layers() for t in layer.outputs}
    return next((name for name in ("int16", "int8", "uint8") if name in types), "float32")


def _real(graph: Graph, outputs: Sequence[Array]) -> list[Array]:
    return [to_real(array, tensor) for array, tensor in zip(outputs, graph.output_tensors, strict=True)]

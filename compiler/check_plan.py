# SPDX-License-Identifier: Apache-2.0
"""`tinyc check-plan`: checks the memory plan in a report.json, sharing no code with the planner that made it.

What is read or written when is taken from the report's layers; everything else is computed again. The one thing that is believed
is how far a kernel's output may reach over its input (`lead`): that is a property of the kernel, which tinyc's tests establish by
running every kernel in one shared buffer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace as Row
from typing import Any, NoReturn

from .errors import ModelError

#: Rows of a list that are looked at, so that a hostile report cannot take hours; and a number that no microcontroller reaches.
MOST, LARGEST = 3_000, 1 << 40

#: The fields that the check reads, and their types. Integers are 0 or more; `ids` is a list of them.
LAYER = {"reads": "ids", "writes": "ids", "output_bytes": "int", "scratch": "int"}
STREAM = {"first": "int", "last": "int"}
RAM = {"arena": "int", "lower_bound": "int", "optimal": "bool"}
BUFFER = {"id": "int", "label": "str", "kind": "str", "size": "int", "first": "int", "last": "int", "offset": "int"}
OVERLAP = {"output": "int", "input": "int", "lead": "int"}
PLAN = {"alignment": "int", "size": "int", "lower_bound": "int", "peak_step": "int"}
PLAN |= {"optimal": "bool", "inputs": "ids", "outputs": "ids"}
KINDS = ("tensor", "window", "scratch", "sums", "position")


def check_plan(report: object, where: str = "report.json") -> str:
    """Checks the plan of a report, parsed from JSON, and says in one line what holds.

    Raises:
        ModelError: naming the first thing that is wrong, or that the report is not one.
    """
    check = _Check(report, where)
    for part in (check.numbers, check.steps, check.lifetimes, check.allowed_overlaps, check.places, check.bound):
        part()
    plan = check.plan
    proof = "met: no plan of these buffers is smaller"
    if plan.size > plan.lower_bound:
        proof = "not met; "
        proof += (
            "that no plan is smaller is the word of the planner's search" if plan.optimal else "a smaller one may exist"
        )
    return (
        f"{where}: the plan is right: {len(check.buffers)} buffers of {len(check.layers)} layers in {plan.size:,} B, "
        f"lower bound {plan.lower_bound:,} B {proof}"
    )


class _Check:
    """The parts of a report as rows, and the checks in their order: each one builds on those before."""

    def __init__(self, report: object, where: str) -> None:
        self.where = where
        data = self.table(report, "the report")
        plan = self.table(data.get("plan"), "plan")
        self.plan, self.ram = self.row(PLAN, plan, "plan"), self.row(RAM, data.get("ram"), "ram")
        self.layers, self.streams = self.rows(LAYER, data, "layers"), self.rows(STREAM, data, "streams")
        self.overlaps, buffers = self.rows(OVERLAP, plan, "overlaps"), self.rows(BUFFER, plan, "buffers")
        self.buffers = {buffer.id: buffer for buffer in buffers}
        if len(self.buffers) < len(buffers):
            self.fail("two buffers have the same id", "buffers")

    def fail(self, found: str, place: str = "plan", expected: str = "") -> NoReturn:
        raise ModelError(f"{self.where}: {place}", found, expected=expected)

    def table(self, value: object, place: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.fail("is missing or no JSON object", place, "a report.json that `tinyc build` wrote")
        return value

    def rows(self, shape: Mapping[str, str], data: Mapping[str, Any], name: str) -> list[Row]:
        rows = data.get(name)
        if not isinstance(rows, list) or len(rows) > MOST:
            self.fail("is no list, or too long", name, f"a list of up to {MOST:,} rows")
        return [self.row(shape, row, f"{name}[{i}]") for i, row in enumerate(rows)]

    def row(self, shape: Mapping[str, str], value: object, place: str) -> Row:
        data = self.table(value, place)
        for key, kind in shape.items():
            found = data.get(key)
            right = {
                "int": _natural(found),
                "bool": isinstance(found, bool),
                "str": isinstance(found, str),
                "ids": isinstance(found, list) and len(found) <= MOST and all(map(_natural, found)),
            }
            if not right[kind]:
                expected = {"int": "an integer, 0 or more and below 2^40", "ids": "a list of buffer ids", "str": "text"}
                what = f"is {str(found)[:40]!r}" if key in data else "is missing"
                self.fail(what, f"{place}.{key}", expected.get(kind, "true or false"))
        return Row(**{key: data[key] for key in shape})

    def padded(self, size: int) -> int:
        alignment: int = self.plan.alignment
        return -(-size // alignment) * alignment

    def find(self, ids: Iterable[int], place: str) -> list[Row]:
        for i in ids:
            if i not in self.buffers:
                self.fail(f"names buffer {i}, which the plan does not have", place)
        return [self.buffers[i] for i in ids]

    def numbers(self) -> None:
        plan, ram = self.plan, self.ram
        if plan.alignment < 1 or plan.alignment & (plan.alignment - 1):
            self.fail(f"is {plan.alignment}", "plan.alignment", "a power of two")
        figures = [max(plan.size, plan.alignment), plan.lower_bound, plan.optimal]
        if [ram.arena, ram.lower_bound, ram.optimal] != figures:
            self.fail(f"arena {ram.arena}, lower bound {ram.lower_bound}, optimal {ram.optimal}", "ram", f"{figures}")
        for b in self.buffers.values():
            if b.size < 1 or b.kind not in KINDS:
                self.fail(f"{_name(b)} has {b.size} B of kind {b.kind[:20]!r}", expected=f"1 B or more of {KINDS}")

    def steps(self) -> None:
        """Streams are runs of layers in order. All layers of one count as its last one."""
        self.step = list(range(len(self.layers)))
        free = 0
        for stream in self.streams:
            if not free <= stream.first <= stream.last < len(self.layers):
                self.fail(f"layers {stream.first} to {stream.last}", "streams", "runs of layers in order")
            free = stream.last + 1
        for stream in self.streams:
            self.step[stream.first : stream.last] = [stream.last] * (stream.last - stream.first)

    def lifetimes(self) -> None:
        """A buffer lives from the layer that first writes it, or from the start, to its last use, or to the end."""
        start, end = (self.step[0], self.step[-1]) if self.layers else (0, 0)
        uses: dict[int, set[int]] = {i: set() for i in self.buffers}
        for buffer in self.find(self.plan.inputs, "plan.inputs"):
            uses[buffer.id].add(start)
        for number, layer in enumerate(self.layers):
            for buffer in self.find(layer.reads, f"layer {number} reads"):
                if not uses[buffer.id]:
                    self.fail(f"reads {_name(buffer)} before anything has written it", f"layer {number}")
            targets = self.find(layer.writes, f"layer {number} writes")
            self.sizes(number, layer, targets)
            for i in (*layer.reads, *layer.writes):
                uses[i].add(self.step[number])
        for buffer in self.find(self.plan.outputs, "plan.outputs"):
            uses[buffer.id].add(end)
        for buffer in self.buffers.values():
            if buffer.kind == "position":
                uses[buffer.id] |= {start, end}
        for i, buffer in self.buffers.items():
            if not uses[i]:
                self.fail(f"{_name(buffer)} is used by no layer")
            if [buffer.first, buffer.last] != [min(uses[i]), max(uses[i])]:
                found = f"{_name(buffer)} lives from layer {buffer.first} to {buffer.last}"
                self.fail(found, expected=f"{min(uses[i])} to {max(uses[i])}, where it is used")

    def sizes(self, number: int, layer: Row, targets: list[Row]) -> None:
        if not any(buffer.kind in ("tensor", "window") for buffer in targets):
            self.fail("writes no output", f"layer {number}")
        if layer.scratch and not any(buffer.kind == "scratch" for buffer in targets):
            self.fail(f"has no buffer for its {layer.scratch} B of scratch", f"layer {number}")
        for kind, needed in (("tensor", layer.output_bytes), ("scratch", layer.scratch)):
            for buffer in targets:
                if buffer.kind == kind and buffer.size < needed:
                    self.fail(f"{_name(buffer)} has {buffer.size} B", expected=f"{needed} B for layer {number}")

    def allowed_overlaps(self) -> None:
        """Over an input lies only what is computed from it, and only if nothing reads that input afterwards."""
        self.leads: dict[tuple[int, int], int] = {}
        for row in self.overlaps:
            output, given = self.find((row.output, row.input), "plan.overlaps")
            what = f"{_name(output)} over {_name(given)}"
            layers = [layer for layer, step in zip(self.layers, self.step, strict=True) if step == given.last]
            read, written = (
                any(given.id in layer.reads for layer in layers),
                any(output.id in layer.writes for layer in layers),
            )
            if given.last != output.first or not read or not written:
                self.fail(what, "plan.overlaps", "an output that is first written where its input is last read")
            if given.id in self.plan.outputs or given is output or (output.id, given.id) in self.leads:
                self.fail(what, "plan.overlaps", "each pair once, and not over an output of the model")
            self.leads[output.id, given.id] = row.lead

    def places(self) -> None:
        ordered = sorted(self.buffers.values(), key=lambda buffer: (buffer.first, buffer.id))
        for buffer in ordered:
            if buffer.offset % self.plan.alignment:
                self.fail(
                    f"{_name(buffer)} starts at offset {buffer.offset}", expected=f"a multiple of {self.plan.alignment}"
                )
        for i, one in enumerate(ordered):
            for other in ordered[i + 1 :]:
                if other.first > one.last:
                    break
                apart = one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
                if not apart and not self.may_overlap(one, other) and not self.may_overlap(other, one):
                    self.fail(
                        f"{_name(one)} and {_name(other)} share bytes, and both are in use at layer {other.first}"
                    )
        end = max((buffer.offset + self.padded(buffer.size) for buffer in ordered), default=0)
        if end != self.plan.size:
            self.fail(f"is {self.plan.size}", "plan.size", f"{end}, the end of the last buffer")

    def may_overlap(self, output: Row, given: Row) -> bool:
        lead = self.leads.get((output.id, given.id))
        return lead is not None and given.offset - output.offset >= lead

    def bound(self) -> None:
        """What is alive at a step, less what outputs that begin there can share with their inputs, which are disjoint."""
        loads = [0] * max(len(self.layers), 1)
        for buffer in self.buffers.values():
            for step in range(buffer.first, buffer.last + 1):
                loads[step] += self.padded(buffer.size)
        rooms: dict[int, list[tuple[int, int]]] = {}
        for (output, given), lead in self.leads.items():
            room = max(0, self.padded(self.buffers[output].size) - self.padded(lead))
            rooms.setdefault(output, []).append((room, self.padded(self.buffers[given].size)))
        for output, pairs in rooms.items():
            loads[self.buffers[output].first] -= min(sum(map(min, pairs)), max(pairs)[0])
        bound, peak = max(loads), loads.index(max(loads))
        if [self.plan.lower_bound, self.plan.peak_step] != [bound, peak]:
            found = f"is {self.plan.lower_bound} at layer {self.plan.peak_step}"
            self.fail(found, "plan.lower_bound", f"{bound} at layer {peak}")
        if self.plan.size == bound and not self.plan.optimal:
            self.fail("is false", "plan.optimal", "true, since the lower bound is met")


def _natural(value: object) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _name(buffer: Row) -> str:
    return f"buffer {buffer.id} {buffer.label[:80]!r}"

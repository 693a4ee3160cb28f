# SPDX-License-Identifier: Apache-2.0
"""`tinyc check-plan` takes every plan that tinyc makes, and no plan that is wrong in any one place."""

import ast
import json
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED, shared_index
from plans import EXAMPLES, ROOT, as_json, build
from tinyc.check_plan import check_plan
from tinyc.choose import choose
from tinyc.errors import ModelError
from tinyc.importers.tflite import load
from tinyc.passes import run_passes
from tinyc.report import Ram, layer_rows, ram, stream_rows
from tinyc.report.plan import plan
from tinyc.targets.cpus import find_cpu

sys.path.insert(0, str(ROOT / "tests" / "cli"))
from command import tinyc, wide_model

MODES = ("speed", "balanced", "ram", "size")
MLPERF = [
    path for path in (SHARED / "mlperf_tiny" / f"{n}.tflite" for n in ("kws", "vww", "ic", "ad")) if path.is_file()
]
INT8 = {m["name"]: SHARED / m["file"] for m in shared_index() if m["kind"] == "int8"}


def checked(model: Path, optimize: str, cpu: str = "cortex-m4", stream_input: bool = False) -> tuple[str, Ram]:
    """Plans a model without compiling it, and checks the plan as it is in a report."""
    chosen = choose(run_passes(load(model)), find_cpu(cpu), optimize, stream_input=stream_input)
    program, memory = chosen.program, chosen.memory
    parts = {"layers": layer_rows(program, memory), "streams": stream_rows(program)}
    report = {name: [vars(row) for row in rows] for name, rows in parts.items()}
    figures = ram(program, memory)
    whole = {**report, "ram": figures, "plan": plan(program, memory)}
    return check_plan(json.loads(json.dumps(whole, default=vars))), figures


def skip_unless_taken(model: Path) -> None:
    try:
        run_passes(load(model))
    except ModelError:
        pytest.skip("tinyc does not take this model")


# ---- right plans -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", MODES)
@pytest.mark.parametrize("model", EXAMPLES.values(), ids=EXAMPLES)
def test_examples(model: Path, optimize: str) -> None:
    for cpu in ("cortex-m4", "cortex-m0plus", "cortex-m55", "rv32imc"):
        line, figures = checked(model, optimize, cpu)
        assert f"in {figures.arena:,} B, lower bound {figures.lower_bound:,} B " in line
        assert ("B met: no plan" in line) == (figures.arena == figures.lower_bound)


@pytest.mark.skipif(not INT8, reason="shared/models is not beside the repository")
@pytest.mark.parametrize("name", INT8)
def test_public_models(name: str) -> None:
    skip_unless_taken(INT8[name])
    line, figures = checked(INT8[name], "balanced")
    assert f" in {figures.arena:,} B" in line


@pytest.mark.slow
@pytest.mark.skipif(not INT8, reason="shared/models is not beside the repository")
@pytest.mark.parametrize("optimize", ["speed", "ram", "size"])
@pytest.mark.parametrize("name", INT8)
def test_public_models_in_every_mode(name: str, optimize: str) -> None:
    skip_unless_taken(INT8[name])
    assert "the plan is right" in checked(INT8[name], optimize)[0]


@pytest.mark.slow
@pytest.mark.parametrize("model", MLPERF, ids=[path.stem for path in MLPERF])
def test_streams_are_there_to_be_checked(model: Path) -> None:
    if model.stem in ("vww", "ic"):
        built = build(model, "ram")
        assert built.program.streams
        assert {buffer.kind for buffer in built.report.plan.buffers} >= {"tensor", "window"}
    if model.stem != "ad":
        assert "the plan is right" in checked(model, "ram", stream_input=True)[0]


# ---- wrong plans -----------------------------------------------------------------------------------------------------


@cache
def example() -> str:
    return json.dumps(as_json(build(EXAMPLES["kws"]).report))


def overlapping(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """An overlap of the plan that is in use, with its output and its input."""
    buffers = {buffer["id"]: buffer for buffer in report["plan"]["buffers"]}
    for overlap in report["plan"]["overlaps"]:
        output, given = buffers[overlap["output"]], buffers[overlap["input"]]
        if output["offset"] <= given["offset"] < output["offset"] + output["size"]:
            return overlap, output, given
    raise AssertionError("the example has no overlap in use")


def at_peak(report: dict[str, Any]) -> dict[str, Any]:
    step = report["plan"]["peak_step"]
    alive = [b for b in report["plan"]["buffers"] if b["first"] <= step <= b["last"]]
    return max(alive, key=lambda b: b["size"])


def moved_down(report: dict[str, Any]) -> None:
    high = next(b for b in report["plan"]["buffers"] if b["kind"] == "scratch" and b["offset"] > 0)
    high["offset"] = 0


def moved_up(report: dict[str, Any]) -> None:
    at_peak(report)["offset"] += report["plan"]["alignment"] * 1000


def misaligned(report: dict[str, Any]) -> None:
    next(b for b in report["plan"]["buffers"] if b["offset"])["offset"] += 1


def tighter_lead(report: dict[str, Any]) -> None:
    overlap, output, given = overlapping(report)
    overlap["lead"] = given["offset"] - output["offset"] + 1


def forbidden_overlap(report: dict[str, Any]) -> None:
    report["plan"]["overlaps"].remove(overlapping(report)[0])


def overlap_of_strangers(report: dict[str, Any]) -> None:
    first, *_, last = report["plan"]["buffers"]
    report["plan"]["overlaps"].append({"output": last["id"], "input": first["id"], "lead": 0})


def overlap_given_twice(report: dict[str, Any]) -> None:
    report["plan"]["overlaps"].append(dict(report["plan"]["overlaps"][0]))


def read_again_later(report: dict[str, Any]) -> None:
    given = overlapping(report)[2]
    given["last"] += 1
    report["layers"][given["last"]]["reads"].append(given["id"])


def kept_output_overlapped(report: dict[str, Any]) -> None:
    given = overlapping(report)[2]
    report["plan"]["outputs"].append(given["id"])
    given["last"] = len(report["layers"]) - 1


def shorter_life(report: dict[str, Any]) -> None:
    next(b for b in report["plan"]["buffers"] if b["last"] > b["first"])["last"] -= 1


def later_birth(report: dict[str, Any]) -> None:
    next(b for b in report["plan"]["buffers"] if b["last"] > b["first"])["first"] += 1


def longer_life(report: dict[str, Any]) -> None:
    report["plan"]["buffers"][0]["last"] += 1


def missing_buffer(report: dict[str, Any]) -> None:
    del report["plan"]["buffers"][0]


def missing_scratch(report: dict[str, Any]) -> None:
    scratch = {b["id"] for b in report["plan"]["buffers"] if b["kind"] == "scratch"}
    layer = next(layer for layer in report["layers"] if layer["scratch"])
    layer["writes"] = [i for i in layer["writes"] if i not in scratch]


def idle_buffer(report: dict[str, Any]) -> None:
    extra = {**report["plan"]["buffers"][0], "id": 1000}
    report["plan"]["buffers"].append(extra)


def two_of_one_id(report: dict[str, Any]) -> None:
    report["plan"]["buffers"].append(report["plan"]["buffers"][0])


def smaller_tensor(report: dict[str, Any]) -> None:
    next(b for b in report["plan"]["buffers"] if b["kind"] == "tensor" and b["size"] > 600)["size"] -= 16


def smaller_scratch(report: dict[str, Any]) -> None:
    next(b for b in report["plan"]["buffers"] if b["kind"] == "scratch")["size"] -= 1


def unwritten_input(report: dict[str, Any]) -> None:
    report["plan"]["inputs"] = []


def no_output_written(report: dict[str, Any]) -> None:
    report["layers"][0]["writes"] = []


def lower_bound(report: dict[str, Any]) -> None:
    for part in ("plan", "ram"):
        report[part]["lower_bound"] -= 16


def other_peak(report: dict[str, Any]) -> None:
    report["plan"]["peak_step"] += 1


def not_optimal(report: dict[str, Any]) -> None:
    for part in ("plan", "ram"):
        report[part]["optimal"] = False


def larger_size(report: dict[str, Any]) -> None:
    report["plan"]["size"] += 16
    report["ram"]["arena"] += 16


def smaller_arena(report: dict[str, Any]) -> None:
    report["ram"]["arena"] -= 16


def odd_alignment(report: dict[str, Any]) -> None:
    report["plan"]["alignment"] = 12


def unknown_kind(report: dict[str, Any]) -> None:
    report["plan"]["buffers"][0]["kind"] = "rumour"


def stream_beyond_the_end(report: dict[str, Any]) -> None:
    report["streams"] = [{"first": 0, "last": len(report["layers"])}]


def stream_that_is_none(report: dict[str, Any]) -> None:
    report["streams"] = [{"first": 1, "last": 3}]


BROKEN: dict[Callable[[dict[str, Any]], None], str] = {
    moved_down: "share bytes",
    moved_up: "the end of the last buffer",
    misaligned: "a multiple of 16",
    tighter_lead: "share bytes",
    forbidden_overlap: "share bytes",
    overlap_of_strangers: "first written where its input is last read",
    overlap_given_twice: "each pair once",
    read_again_later: "first written where its input is last read",
    kept_output_overlapped: "plan.overlaps",
    shorter_life: "where it is used",
    later_birth: "where it is used",
    longer_life: "where it is used",
    missing_buffer: "which the plan does not have",
    missing_scratch: "of scratch",
    idle_buffer: "used by no layer",
    two_of_one_id: "the same id",
    smaller_tensor: "B for layer",
    smaller_scratch: "B for layer",
    unwritten_input: "before anything has written it",
    no_output_written: "writes no output",
    lower_bound: "plan.lower_bound",
    other_peak: "plan.lower_bound",
    not_optimal: "plan.optimal",
    larger_size: "the end of the last buffer",
    smaller_arena: "ram: arena",
    odd_alignment: "a power of two",
    unknown_kind: "of kind 'rumour'",
    stream_beyond_the_end: "runs of layers in order",
    stream_that_is_none: "where it is used",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_broken_plans(spoil: Callable[[dict[str, Any]], None]) -> None:
    report = json.loads(example())
    check_plan(report)
    before = deepcopy(report)
    spoil(report)
    assert report != before
    with pytest.raises(ModelError) as caught:
        check_plan(report)
    assert BROKEN[spoil] in str(caught.value), caught.value
    assert caught.value.where.startswith("report.json: ")


def test_every_buffer_that_is_moved_over_another_one_is_found() -> None:
    """Each buffer moved onto each other one that is alive with it: rejected, unless it is an overlap that is allowed."""
    report = json.loads(example())
    leads = {(o["output"], o["input"]): o["lead"] for o in report["plan"]["overlaps"]}
    tried = 0
    for one in report["plan"]["buffers"]:
        for other in report["plan"]["buffers"]:
            alive = one["first"] <= other["last"] and other["first"] <= one["last"]
            allowed = any(leads.get(pair) == 0 for pair in ((one["id"], other["id"]), (other["id"], one["id"])))
            if one is not other and alive and not allowed:
                trial = deepcopy(report)
                next(b for b in trial["plan"]["buffers"] if b["id"] == one["id"])["offset"] = other["offset"]
                with pytest.raises(ModelError, match=r"share bytes|end of the last"):
                    check_plan(trial)
                tried += 1
    assert tried > 20


# ---- hostile reports -------------------------------------------------------------------------------------------------

NONSENSE = (None, True, -1, 1.5, float("nan"), 10**400, "x", [], {}, [[]], [None], {"id": 1}, "\x1b[31m" * 1000)


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: repr(value)[:20])
def test_nonsense_in_any_place(value: object) -> None:
    """Every value of the report that the check reads, replaced: a clean error, or the same verdict."""
    places: list[tuple[str | int, ...]] = [(), ("layers",), ("plan",), ("ram",), ("streams",)]
    report = json.loads(example())
    places += [("plan", key) for key in report["plan"]] + [("ram", key) for key in report["ram"]]
    places += [("plan", name, 0, key) for name in ("buffers", "overlaps") for key in report["plan"][name][0]]
    places += [("plan", name, 0) for name in ("buffers", "overlaps", "inputs")]
    places += [("layers", 1), *(("layers", 1, key) for key in report["layers"][1])]
    refused = []
    for place in places:
        spoiled: Any = {"": json.loads(example())}
        parent, key = spoiled, ""
        for step in place:
            parent, key = parent[key], step
        parent[key] = value
        try:
            check_plan(spoiled[""])
        except ModelError as error:
            refused.append(str(error))
    assert len(refused) > len(places) // 2
    assert all(len(text) < 500 and "\x1b" not in text for text in refused)


def test_too_many_rows_are_refused() -> None:
    report = json.loads(example())
    report["plan"]["buffers"] *= 10_000
    with pytest.raises(ModelError, match="a list of up to 3,000 rows"):
        check_plan(report)


def test_it_shares_nothing_with_the_planner() -> None:
    source = (ROOT / "compiler" / "check_plan.py").read_text()
    modules = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "collections.abc", "types", "typing", "errors"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(ast.parse(source)))


# ---- the command -----------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path) -> None:
    built = build(EXAMPLES["sine"])
    built.write(tmp_path / "out")
    file = tmp_path / "out" / "report.json"
    shown = tinyc("check-plan", file)
    assert (shown.code, shown.err) == (0, "") and shown.out.startswith(f"{file}: the plan is right: ")
    assert shown.out.count("\n") == 1
    report = json.loads(file.read_text())
    report["plan"]["peak_step"] += 1
    file.write_text(json.dumps(report))
    shown = tinyc("check-plan", file)
    assert shown.code == 1 and shown.out == "" and shown.err.startswith(f"error: {file}: plan")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"3", b'{"plan": {}}', b"1" * 5_000],
    ids=lambda d: repr(d[:10]),
)
def test_command_with_hostile_files(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(data)
    shown = tinyc("check-plan", file)
    assert shown.code == 1 and shown.err.startswith(f"error: {file}") and "expected: " in shown.err


def test_command_without_a_file(tmp_path: Path) -> None:
    shown = tinyc("check-plan", tmp_path / "none.json")
    assert shown.code == 1 and "No such file" in shown.err
    assert tinyc("check-plan", tmp_path).code == 1
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    assert "is larger than" in tinyc("check-plan", large).err


def test_a_network_with_branches(tmp_path: Path) -> None:
    assert "the plan is right" in checked(wide_model(tmp_path / "wide.tflite"), "balanced")[0]

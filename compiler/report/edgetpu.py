# SPDX-License-Identifier: Apache-2.0
"""What `tinyc inspect` says about the Edge TPU: what is in a compiled file, and what to expect of one that is not compiled.

The `describe` functions give plain data for JSON; the `show` functions print it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..accelerators.edgetpu.attest import Attestation, Status, attest
from ..accelerators.edgetpu.executable import Executable, Package, ReceiveOutput, SendInput
from ..accelerators.edgetpu.executable import Layer as PortLayer
from ..accelerators.edgetpu.layout import output_runs
from ..accelerators.edgetpu.lint import Finding, Verdict, lint, reasons
from ..accelerators.edgetpu.partition import inside
from ..accelerators.edgetpu.predict import USABLE_HIGH, USABLE_LOW, Prediction, predict
from ..accelerators.edgetpu.reader import bindings, is_edgetpu, packages, unsupported
from ..graph import Graph, Layer, Node, short_name

ADVISORY = (
    "Advisory: Google's Edge TPU compiler is closed. These rules are from its documentation and from what its users report; "
    "only its own log is certain."
)
UNTOLD = "it keeps every known rule; the compiler left it out without saying why"
NOT_CLAIMED = "Attestation compares stored numbers. What the program computes with them is not checked."


def has_edgetpu(graph: Graph) -> bool:
    return any(map(is_edgetpu, graph.nodes))


def describe(graph: Graph, original: Graph | None) -> dict[str, Any]:
    """The Edge TPU part of a compiled file, its CPU operators, and the original inside it when given.

    Raises:
        ModelError: the package is damaged.
    """
    facts: dict[str, Any] = {
        "parts": [_part(graph, node, package) for node, package in packages(graph)],
        "cpu": _cpu(graph),
        "advisory": ADVISORY,
    }
    if original is not None:
        facts["original"] = _original(graph, original)
    return facts


def _part(graph: Graph, node: Node, package: Package) -> dict[str, Any]:
    inputs, outputs = bindings(graph, node, package.inference)
    caching = package.caching
    return {
        "operator": node.index,
        "chip": package.inference.chip,
        "min_runtime": package.min_runtime,
        "compiler": package.compiler,
        "rejected": list(unsupported(package)),
        "inputs": [_port(graph, package.inference, binding) for binding in inputs],
        "outputs": [_port(graph, package.inference, binding) for binding in outputs],
        "executables": [_executable(executable) for executable in package.executables],
        "instruction_bytes": sum(executable.instruction_bytes for executable in package.executables),
        "parameters_cached": caching.parameter_bytes_sent if caching else 0,
        "parameters_streamed": package.inference.parameter_bytes_sent,
        "narrow_memory_per_tile": package.inference.narrow_memory,
        "cycles": package.inference.cycles,
        "token": f"{package.inference.token:016x}",
    }


def _port(graph: Graph, executable: Executable, binding: tuple[int, PortLayer]) -> dict[str, Any]:
    index, layer = binding
    tensor = graph.tensors[index]
    receives = layer in executable.outputs
    kind = ReceiveOutput if receives else SendInput
    moved = sum(step.size for step in executable.steps if isinstance(step, kind) and step.layer == layer.name)
    facts = {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "bytes": tensor.bytes,
        "transferred": moved,
        "flips_sign": layer.data_type.flips_sign,
    }
    return {**facts, "copies": len(output_runs(layer))} if receives else facts


def _executable(executable: Executable) -> dict[str, Any]:
    return {
        "kind": executable.kind.title,
        "chunks": [len(chunk.code) for chunk in executable.chunks],
        "parameters": len(executable.parameters),
        "steps": len(executable.steps),
        "deterministic": executable.deterministic,
        "scratch": executable.scratch,
    }


def _cpu(graph: Graph) -> list[dict[str, Any]]:
    """The operators that are left, each with the rules it breaks, or the operator before it that is left as well."""
    made_by: dict[int, int] = {}
    found = []
    for layer in graph.layers():
        if is_edgetpu(layer.node):
            continue
        verdict, why = reasons(layer)
        before = next((made_by[index] for index in layer.node.inputs if index in made_by), None)
        if not why:
            why = (UNTOLD if before is None else f"it needs operator {before}, which is on the CPU",)
        made_by.update(dict.fromkeys(layer.node.outputs, layer.node.index))
        found.append({**_named(layer), "reasons": list(why), "certain": verdict is Verdict.NOT_MAPPED})
    return found


def _original(compiled: Graph, original: Graph) -> dict[str, Any]:
    within, added = inside(original, compiled)
    attestation = attest(original, compiled)
    return {
        "file": original.source.file_name,
        "sha256": original.source.sha256,
        "inside": [_named(layer) for layer in original.layers() if layer.node.index in within],
        "outside": [_named(layer) for layer in original.layers() if layer.node.index not in within],
        "added": list(added),
        "same_ends": _ends(original) == _ends(compiled),
        "memory": _memory(predict(original, within)),
        "attestation": _attestation(attestation),
    }


def _ends(graph: Graph) -> list[tuple[tuple[int, ...], str]]:
    return [(tensor.shape, tensor.dtype) for tensor in (*graph.input_tensors, *graph.output_tensors)]


def _named(layer: Layer) -> dict[str, Any]:
    return {"index": layer.node.index, "op": layer.op, "name": layer.outputs[0].name if layer.outputs else ""}


def _memory(prediction: Prediction) -> dict[str, Any]:
    return {
        "chip": prediction.chip,
        "original": sum(layer.original for layer in prediction.layers),
        "depthwise_chip": sum(layer.chip for layer in prediction.layers if layer.diagonal),
        "depthwise_original": sum(layer.original for layer in prediction.layers if layer.diagonal),
        "unknown_layers": prediction.unknown,
        "fit": prediction.fit,
        "streamed": prediction.streamed,
        "usable": [USABLE_LOW, USABLE_HIGH],
    }


def _attestation(found: Attestation) -> dict[str, Any]:
    return {
        "complete": found.complete,
        "counts": {status.value: count for status, count in found.counts.items()},
        "parameter_bytes": found.parameter_bytes,
        "covered_bytes": found.covered_bytes,
        "layers": [
            {
                "index": check.index,
                "op": check.op,
                "name": check.name,
                "shape": list(check.shape),
                "status": check.status.value,
                "executable": check.executable,
                "offset": check.offset,
                "size": check.size,
                "biases": check.biases,
                "multipliers": check.multipliers,
                "note": check.note,
            }
            for check in found.checks
        ],
        "not_claimed": NOT_CLAIMED,
    }


def describe_lint(graph: Graph) -> dict[str, Any]:
    """What Google's compiler will likely make of a model that is not compiled yet."""
    findings = lint(graph)
    on_tpu = {finding.index for finding in findings if finding.on_tpu}
    return {
        "operators": [_finding(finding) for finding in findings],
        "on_tpu": len(on_tpu),
        "ends_at": [f.index for f in findings if f.verdict is Verdict.NOT_MAPPED],
        "may_end_at": [f.index for f in findings if f.verdict is Verdict.PERHAPS],
        "memory": _memory(predict(graph, on_tpu)),
        "advisory": ADVISORY,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "index": finding.index,
        "op": finding.op,
        "name": finding.name,
        "verdict": finding.verdict.value,
        "reasons": list(finding.reasons),
    }


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what :func:`describe` found."""
    for part in facts["parts"]:
        _show_part(part, console)
    _show_cpu(facts["cpu"], console)
    if "original" in facts:
        _show_original(facts["original"], console)
    if facts["cpu"]:
        console.print(facts["advisory"])


def _show_part(part: dict[str, Any], console: Console) -> None:
    compiler = f", compiler {part['compiler']}" if part["compiler"] else ""
    console.print(
        f"[bold]Edge TPU[/] operator {part['operator']}: chip {escape(part['chip'])}, runtime {part['min_runtime']} or later"
        + escape(compiler)
    )
    for port in part["inputs"]:
        console.print(f"  input {_port_line(port)}, {port['transferred']:,} sent")
    for port in part["outputs"]:
        console.print(
            f"  output {_port_line(port)}, {port['transferred']:,} received in {_count(port['copies'], 'run')}"
        )
    for executable in part["executables"]:
        console.print(
            f"  {executable['kind']}: {sum(executable['chunks']):,} bytes of instructions in "
            f"{_count(len(executable['chunks']), 'chunk')}, {executable['parameters']:,} of parameters, "
            f"{_count(executable['steps'], 'step')}"
        )
    console.print(
        f"  parameters: {part['parameters_cached']:,} bytes stay on the chip (token {part['token']}), "
        f"{part['parameters_streamed']:,} are sent for each inference"
    )
    cycles = f"{part['cycles']:,}" if part["cycles"] else "not told"
    console.print(
        f"  narrow memory: {part['narrow_memory_per_tile']:,} bytes of each tile; the compiler's estimate of cycles: {cycles}"
    )
    for reason in part["rejected"]:
        console.print(f"  [red]tinyc does not run it:[/] {escape(reason)}")


def _port_line(port: dict[str, Any]) -> str:
    sign = ", sign inverted" if port["flips_sign"] else ""
    return (
        f"{escape(short_name(port['name']))}: {port['dtype']} {port['shape']}, {port['bytes']:,} bytes{sign}".replace(
            "[", r"\["
        )
    )


def _show_cpu(cpu: Sequence[dict[str, Any]], console: Console) -> None:
    if not cpu:
        console.print("  every operator is on the Edge TPU")
        return
    table = _table(f"On the CPU: {_count(len(cpu), 'operator')}", ("", "operator", "output", "likely because"))
    for layer in cpu:
        why = "; ".join(layer["reasons"])
        table.add_row(str(layer["index"]), escape(layer["op"]), escape(short_name(layer["name"], 40)), escape(why))
    console.print(table)


def _show_original(facts: dict[str, Any], console: Console) -> None:
    within, outside = facts["inside"], facts["outside"]
    console.print(
        f"[bold]Original[/] {escape(facts['file'])}, sha256 {facts['sha256'][:16]}…: {len(within)} of "
        f"{len(within) + len(outside)} operators are inside the Edge TPU part"
    )
    if not facts["same_ends"]:
        console.print(
            "  [yellow]its inputs and outputs are others than those of the compiled file: is it the original?[/]"
        )
    if facts["added"]:
        console.print(f"  [yellow]operators that the original lacks: {', '.join(map(str, facts['added']))}[/]")
    _show_memory(facts["memory"], console)
    _show_attestation(facts["attestation"], console)


def _show_memory(memory: dict[str, Any], console: Console) -> None:
    low, high = memory["usable"]
    console.print(
        f"  predicted parameter memory: {memory['chip']:,} bytes on the chip for {memory['original']:,} of weights "
        f"(depthwise: {memory['depthwise_chip']:,} for {memory['depthwise_original']:,}), "
        f"of about {low / (1 << 20):.1f} to {high / (1 << 20):.1f} MiB"
    )
    if memory["unknown_layers"]:
        console.print(f"  not counted: {_count(memory['unknown_layers'], 'layer')} of unknown layout")
    if memory["fit"] == "streams":
        console.print(
            f"  [yellow]too much to stay there: {memory['streamed']:,} bytes or more are sent for each inference[/]"
        )
    elif memory["fit"] == "perhaps":
        console.print("  [yellow]it may just not fit; what does not is sent for each inference[/]")


def _show_attestation(facts: dict[str, Any], console: Console) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in facts["counts"].items() if count)
    colour = "green" if facts["complete"] else "red" if facts["counts"][Status.NOT_FOUND.value] else "yellow"
    console.print(
        f"  [{colour}]attestation: {counts or 'no layer has weights'}[/]; these layers are {facts['covered_bytes']:,} "
        f"of {facts['parameter_bytes']:,} bytes of parameters"
    )
    for layer in facts["layers"]:
        if layer["status"] not in (Status.FOUND.value, Status.CPU.value):
            console.print(
                f"    operator {layer['index']} {escape(layer['op'])} '{escape(short_name(layer['name']))}': "
                f"{layer['status']}. {escape(layer['note'])}"
            )
    console.print(f"  {facts['not_claimed']}")


def show_lint(facts: dict[str, Any], console: Console) -> None:
    """Print what :func:`describe_lint` found."""
    operators = facts["operators"]
    console.print(f"[bold]For the Edge TPU[/]: {facts['on_tpu']} of {len(operators)} operators may run there")
    notable = [layer for layer in operators if layer["verdict"] != Verdict.MAPPED.value]
    if notable:
        table = _table("Not so, or not for sure", ("", "operator", "output", "", "why"))
        for layer in notable:
            name, why = short_name(layer["name"], 40), "; ".join(layer["reasons"])
            cells = (str(layer["index"]), layer["op"], name, layer["verdict"], why)
            table.add_row(*map(escape, cells))
        console.print(table)
    if facts["ends_at"]:
        console.print(f"  the part for the TPU ends before operators {_numbers(facts['ends_at'])}")
    if facts["may_end_at"]:
        console.print(f"  it may end at operators {_numbers(facts['may_end_at'])}")
    _show_memory(facts["memory"], console)
    console.print(facts["advisory"])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _numbers(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:10]))
    return f"{shown} and {len(indices) - 10} more" if len(indices) > 10 else shown


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table

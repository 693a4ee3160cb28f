# SPDX-License-Identifier: Apache-2.0
"""`tinyc inspect`: what is in a model, and whether tinyc takes it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..accelerators.edgetpu.reader import is_edgetpu
from ..errors import UsageError
from ..graph import Graph, Layer, Tensor
from ..importers.tflite import load
from ..ops import all_ops, problems
from ..passes import ends_before
from ..quantize import is_integer, what_is_missing
from ..quantize.prepare import prepare
from ..report import edgetpu
from ._help import HELP
from .build import output_console


@click.command("inspect", context_settings=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--original",
    type=click.Path(path_type=Path),
    help="The model that MODEL, a *_edgetpu.tflite, was compiled from: shows what of it is on the Edge TPU and whether "
    "its weights are there.",
)
@click.option(
    "--for",
    "accelerator",
    type=click.Choice(["edgetpu"]),
    help="What to expect before MODEL is compiled for this accelerator by its vendor's compiler.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(model: Path, original: Path | None, accelerator: str | None, as_json: bool) -> None:
    """Operators, shapes, quantization, MACs and weights of MODEL, and what keeps tinyc from taking it.

    Of a model compiled for the Edge TPU also what is in its program.
    """
    graph = load(model)
    _check_options(graph, original, accelerator)
    facts = describe(graph)
    if not is_integer(graph) and not edgetpu.has_edgetpu(graph):
        _describe_quantization(graph, facts)
    if edgetpu.has_edgetpu(graph):
        source = load(original) if original else None
        if source is not None and edgetpu.has_edgetpu(source):
            raise UsageError(f"--original {original}", "a compiled model", expected="the model before compilation")
        facts["edgetpu"] = edgetpu.describe(graph, source)
        facts["ends_at"] = ends_before(graph) if not facts["supported"] else []
        rejected = any(part["rejected"] for part in facts["edgetpu"]["parts"])
        facts["supported"] = not rejected and (facts["supported"] or bool(facts["ends_at"]))
    if accelerator:
        facts["lint"] = edgetpu.describe_lint(graph)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(facts, output_console())


def _check_options(graph: Graph, original: Path | None, accelerator: str | None) -> None:
    compiled = edgetpu.has_edgetpu(graph)
    if original and not compiled:
        raise UsageError(
            "--original",
            f"{graph.source.file_name} is not compiled for the Edge TPU",
            expected="a *_edgetpu.tflite as MODEL",
            hint="leave --original out, or swap the two files",
        )
    if accelerator and compiled:
        raise UsageError(
            "--for edgetpu",
            f"{graph.source.file_name} is compiled already",
            expected="a model before compilation",
            hint="leave --for out to see what is in it",
        )


def describe(graph: Graph) -> dict[str, Any]:
    """The facts that `tinyc inspect` prints, as plain data."""
    layers = [_layer(layer) for layer in graph.layers()]
    blocked = [layer for layer in layers if layer["problems"]]
    return {
        "file": graph.source.file_name,
        "sha256": graph.source.sha256,
        "size": graph.source.size,
        "inputs": [_tensor(t, name) for t, name in zip(graph.input_tensors, graph.input_names, strict=True)],
        "outputs": [_tensor(t, name) for t, name in zip(graph.output_tensors, graph.output_names, strict=True)],
        "labels": list(graph.labels),
        "macs": sum(layer["macs"] or 0 for layer in layers),
        "weights": sum(tensor.bytes for tensor in graph.tensors if tensor.constant),
        "operators": dict(Counter(f"{layer['op']} v{layer['version']}" for layer in layers)),
        "layers": layers,
        "supported": not blocked,
    }


def _describe_quantization(graph: Graph, facts: dict[str, Any]) -> None:
    """A network that has to be quantized first: what keeps it from that, in place of what keeps it from being compiled as it is."""
    missing, samples = what_is_missing(graph)
    by_layer: dict[int, list[str]] = {}
    for layer, problem in missing:
        by_layer.setdefault(layer.node.index, []).append(problem)
    macs = {layer.node.index: all_ops()[layer.op].macs(layer) for layer in prepare(graph).graph.layers() if not missing}
    for row in facts["layers"]:
        row["problems"] = by_layer.get(row["index"], [])
        row["macs"] = macs.get(row["index"])
    facts["macs"] = sum(row["macs"] or 0 for row in facts["layers"])
    facts["quantize"] = {"samples": samples}
    facts["supported"] = not missing


def _tensor(tensor: Tensor, name: str) -> dict[str, Any]:
    q = tensor.quantization
    return {
        "name": name,
        "tensor": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "bytes": tensor.bytes,
        "scale": list(q.scale) if q else [],
        "zero_point": list(q.zero_point) if q else [],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    # Whether tinyc takes the program of an Edge TPU operator is in the Edge TPU part of the report.
    found = [] if is_edgetpu(layer.node) else problems(layer)
    op = all_ops().get(layer.op)
    output = layer.outputs[0] if layer.outputs else None
    return {
        "index": layer.node.index,
        "op": layer.op,
        "version": layer.node.version,
        "name": output.name if output else "",
        "input_shape": list(layer.inputs[0].shape) if layer.inputs and layer.inputs[0] is not None else [],
        "output_shape": list(output.shape) if output else [],
        "dtype": output.dtype if output else "",
        "scale": list(output.quantization.scale[:1]) if output and output.quantization else [],
        "zero_point": list(output.quantization.zero_point[:1]) if output and output.quantization else [],
        "macs": op.macs(layer) if op is not None and not found else None,
        "weights": sum(t.bytes for t in layer.inputs if t is not None and t.constant),
        "problems": found,
    }


def _print(facts: dict[str, Any], console: Console) -> None:
    console.print(f"[bold]{escape(facts['file'])}[/] {facts['size']:,} bytes, sha256 {facts['sha256'][:16]}…")
    for kind in ("inputs", "outputs"):
        for tensor in facts[kind]:
            scale = f", scale {tensor['scale'][0]:.9g}, zero point {tensor['zero_point'][0]}" if tensor["scale"] else ""
            console.print(
                f"  {kind[:-1]} {escape(tensor['name'])}: {tensor['dtype']} {escape(str(tensor['shape']))}{scale}"
            )
    if facts["labels"]:
        console.print(f"  labels: {escape(', '.join(facts['labels'][:12]))}{' …' if len(facts['labels']) > 12 else ''}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "operator", "output", "type", "scale", "zero", "MACs", "weights B"):
        table.add_column(heading, justify="right" if heading in ("", "zero", "MACs", "weights B") else "left")
    for layer in facts["layers"]:
        scale = f"{layer['scale'][0]:.6g}" if layer["scale"] else ""
        zero = str(layer["zero_point"][0]) if layer["zero_point"] else ""
        shape = "×".join(str(extent) for extent in layer["output_shape"])
        macs = f"{layer['macs']:,}" if layer["macs"] else ""
        op = escape(f"{layer['op']} v{layer['version']}")
        table.add_row(
            str(layer["index"]),
            f"[red]{op}[/]" if layer["problems"] else op,
            shape,
            layer["dtype"],
            scale,
            zero,
            macs,
            f"{layer['weights']:,}",
        )
    console.print(table)
    console.print(
        f"{len(facts['layers'])} operators, {facts['macs']:,} MACs, {facts['weights']:,} bytes of weights and other constants"
    )
    if "edgetpu" in facts:
        edgetpu.show(facts["edgetpu"], console)
    if "lint" in facts:
        edgetpu.show_lint(facts["lint"], console)
    else:
        _print_verdict(facts, console)


def _print_verdict(facts: dict[str, Any], console: Console) -> None:
    blocked = [layer for layer in facts["layers"] if layer["problems"]]
    rejected = [part for part in facts.get("edgetpu", {}).get("parts", []) if part["rejected"]]
    if not blocked and not rejected:
        how = ""
        if "quantize" in facts:
            needs = "with --calibrate DATA" if facts["quantize"]["samples"] else "from the ranges in the file"
            how = f" and quantizes it, {needs}"
        console.print(f"[green]tinyc takes this model{how}[/]")
        return
    if facts["supported"]:
        ends = ", ".join(f"'{name}'" for name in facts["ends_at"])
        console.print(f"[green]tinyc takes this model up to {escape(ends)}[/]; the rest is left to your firmware:")
    else:
        console.print(f"[red]tinyc does not take this model: {len(blocked) + len(rejected)} operators block it[/]")
    for layer in blocked:
        for problem in layer["problems"]:
            console.print(
                f"  operator {layer['index']} {escape(layer['op'])} '{escape(layer['name'])}': {escape(problem)}"
            )

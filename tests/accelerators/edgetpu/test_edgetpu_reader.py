# SPDX-License-Identifier: Apache-2.0
"""The reader against files made field by field, the public ones, and files that lie."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgetpu_files import (
    CODE,
    HINTS,
    PARAMETERS,
    caching,
    compiled_files,
    dma,
    execution,
    fence,
    file,
    instructions,
    interrupt,
    layer,
    model,
    options,
    output_layer,
    package,
    tiles,
)
from tinyc.accelerators.edgetpu.executable import (
    AwaitInterrupt,
    DataType,
    Fence,
    Kind,
    MoveScratch,
    ReceiveOutput,
    SendInput,
    SendInstructions,
    SendParameters,
    Slice,
)
from tinyc.accelerators.edgetpu.reader import bindings, packages, read, require_supported, unsupported
from tinyc.errors import ModelError
from tinyc.importers.tflite import from_bytes, load


def intact(**fields: Any) -> bytes:
    return options(package([execution(**fields), caching()]))


def test_every_field_arrives() -> None:
    graph = from_bytes(file(intact()), "x.tflite")
    ((node, found),) = packages(graph)
    infer, load_parameters = found.executables
    assert (found.inference, found.caching) == (infer, load_parameters)
    assert (found.min_runtime, found.compiler, found.chip, found.virtual_chip) == (12, "cl/1", "", 0)
    assert (infer.kind, load_parameters.kind) == (Kind.EXECUTION_ONLY, Kind.PARAMETER_CACHING)
    assert infer.chunks[0].code == CODE and infer.instruction_bytes == 64
    assert [(f.base, f.layer, f.high, f.bit) for f in infer.chunks[0].fields] == [
        ("input", "in", False, 70),
        ("input", "in", True, 198),
    ]
    assert load_parameters.parameters == PARAMETERS and load_parameters.parameter_bytes_sent == 128
    assert load_parameters.steps == (SendInstructions(0), SendParameters(0, 128), AwaitInterrupt(0))
    assert infer.steps == (
        SendInstructions(0),
        SendInput("in", 0, 8),
        ReceiveOutput("out", 0, 16),
        ReceiveOutput("flags", 0, 8),
        AwaitInterrupt(0),
    )
    assert infer.deterministic and infer.token == 0xFEDC_BA98_7654_3210
    assert (infer.cycles, infer.narrow_memory, infer.chip, infer.name) == (12345, 678, "beagle", "model")
    out, flags = infer.outputs
    assert (out.y, out.x, out.z, out.size, out.zero_point, out.scale) == (2, 2, 4, 16, 3, 0.5)
    assert out.layout is not None and out.layout.tile_offset == (8, 0)
    assert (flags.data_type, flags.bytes, flags.padded_bytes) == (DataType.SIGNED_FIXED_POINT8, 3, 8)
    assert flags.data_type.flips_sign and not out.data_type.flips_sign
    assert unsupported(found) == ()
    assert list(found.blobs()) == [PARAMETERS, b""]
    inputs, outputs = bindings(graph, node, infer)
    assert [(index, port.name) for index, port in (*inputs, *outputs)] == [(0, "in"), (1, "out"), (2, "flags")]


def test_a_program_of_its_own() -> None:
    found = read(options(package([execution(type=0)]), _2="beagle"), "x")
    assert found.inference.kind is Kind.STAND_ALONE
    assert found.caching is None and found.chip == "beagle"
    assert unsupported(found) == ()


def test_scratch_fences_and_interrupts() -> None:
    hints = [instructions(), dma("scratch", 4, 12), fence(), *HINTS[1:4], interrupt(3)]
    found = read(intact(dma_hints={"hints": hints, "fully_deterministic": True}, scratch_size_bytes=16), "x")
    steps = found.inference.steps
    assert steps[1:3] == (MoveScratch(12, 4, False), Fence())
    assert steps[-1] == AwaitInterrupt(3)


REJECTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "version of the options": (
        lambda: options(package([execution(type=0)]), _1=1),
        "version 1 of the operator's options",
    ),
    "old chip name": (lambda: options(package([execution(type=0)]), _2="turtle"), "for the chip 'turtle'"),
    "chip": (lambda: intact(chip="noronha"), "for the chip 'noronha'"),
    "format version": (lambda: intact(version=1), "format version 1"),
    "runtime": (lambda: options(package([execution(type=0)], min_runtime_version=15)), "runtime version 15"),
    "early runtime": (lambda: options(package([execution(type=0)], min_runtime_version=9)), "runtime version 9"),
    "several chips": (lambda: options(package([execution(type=0)], virtual_chip_id=-1)), "several chips"),
    "more packages": (lambda: options(package([execution(type=0)]), _7=["x"]), "several chips"),
    "only parameters": (lambda: options(package([caching()])), "only executable is parameter-caching"),
    "no parameters": (lambda: options(package([execution()])), "only executable is execution-only"),
    "tokens": (lambda: intact(parameter_caching_token=7), "different parameter-caching tokens"),
    "not deterministic": (lambda: intact(dma_hints={"hints": list(HINTS)}), "not deterministic"),
    "batch": (lambda: intact(batch_size=2), "processes 2 inputs at once"),
    "dram": (lambda: intact(use_tpu_dram_for_parameters=True), "memory outside of the chip"),
    "scratch": (
        lambda: intact(
            dma_hints={"hints": [dma("scratch", 4), *HINTS], "fully_deterministic": True}, scratch_size_bytes=4
        ),
        "scratch buffer of the host (4 bytes)",
    ),
    "half an output": (
        lambda: intact(
            dma_hints={"hints": [*HINTS[:2], dma("output", 8, name="out"), *HINTS[3:]], "fully_deterministic": True}
        ),
        "do not fetch all 16 bytes of output 'out'",
    ),
    "an output twice": (
        lambda: intact(dma_hints={"hints": [*HINTS, HINTS[3]], "fully_deterministic": True}),
        "do not fetch all 8 bytes of output 'flags'",
    ),
    "no program": (
        lambda: intact(dma_hints={"hints": list(HINTS[1:]), "fully_deterministic": True}),
        "no step sends a program",
    ),
    "rows made twice": (
        lambda: intact(
            output_layers=[layer("out", (2, 2, 4), 16, execution_count_per_inference=2, **output_layer(tiles(2, 4)))],
            dma_hints={"hints": [instructions(), dma("output", 32, name="out")], "fully_deterministic": True},
        ),
        "made 2 times per inference",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_read_but_not_run(case: str) -> None:
    make, reason = REJECTED[case]
    found = read(make(), "x.tflite: operator 0")
    assert any(reason in text for text in unsupported(found)), unsupported(found)
    with pytest.raises(ModelError) as caught:
        require_supported(found, "x.tflite: operator 0")
    assert reason in caught.value.found and caught.value.hint


def steps(*hints: dict[str, Any]) -> dict[str, Any]:
    return {"dma_hints": {"hints": list(hints), "fully_deterministic": True}}


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "0 bytes"),
    "no map": (lambda: b"\x00\x04\x01", "a root of type 1"),
    "a map without program": (lambda: b"1\0\x02\x01\x01\x01\x00\x04\x02\x24\x01", "no entry '4'"),
    "no package": (lambda: options(b"x" * 40), "a program marked"),
    "no executable": (lambda: options(package([])), "0 executables"),
    "too many executables": (lambda: options(package([caching()] * 4)), "4 executables"),
    "twice the same kind": (lambda: options(package([caching(), caching()])), "kinds parameter-caching and parameter-caching"),
    "kind": (lambda: intact(type=3), "3"),
    "odd code": (lambda: intact(instruction_bitstreams=[{"bitstream": CODE[:17]}]), "17 bytes"),
    "no code": (lambda: intact(instruction_bitstreams=[{}]), "0 bytes"),
    "chunk": (lambda: intact(**steps(instructions(1))), "instruction chunk 1"),
    "parameters": (lambda: intact(**steps(dma("parameters", 1))), "ends at byte 1 of the parameters"),
    "scratch": (lambda: intact(**steps(dma("scratch", 1))), "ends at byte 1 of the scratch"),
    "layer": (lambda: intact(**steps(dma("input", 1, name="other"))), "the layer 'other'"),
    "an output as input": (lambda: intact(**steps(dma("input", 1, name="out"))), "the layer 'out'"),
    "input": (lambda: intact(**steps(dma("input", 9, name="in"))), "ends at byte 9 of the layer 'in'"),
    "output": (lambda: intact(**steps(dma("output", 8, 9, name="out"))), "ends at byte 17 of the layer 'out'"),
    "negative size": (lambda: intact(**steps(dma("input", -4, name="in"))), "-4"),
    "negative offset": (lambda: intact(**steps(dma("input", 4, -4, name="in"))), "-4"),
    "batch": (lambda: intact(**steps(dma("input", 4, name="in", batch=1))), "buffer 1 of 'in'"),
    "direction": (lambda: intact(**steps({**dma("input", 4, name="in"), "direction": 1})), "input goes to the host"),
    "hint": (lambda: intact(**steps({"any_hint_type": 5})), "a hint of type 5"),
    "no hint": (lambda: intact(**steps({})), "a hint of type 0"),
    "interrupt": (lambda: intact(**steps(interrupt(4))), "4"),
    "field offset": (
        lambda: intact(instruction_bitstreams=[{"bitstream": CODE, "field_offsets": [{"meta": {}, "offset_bit": 481}]}]),
        "481",
    ),
    "no meta": (lambda: intact(instruction_bitstreams=[{"bitstream": CODE, "field_offsets": [{}]}]), "no meta"),
    "names": (lambda: intact(input_layers=[layer("in", (1, 1, 1), 1)] * 2), "two layers of one name"),
    "dimension": (lambda: intact(input_layers=[layer("in", (1, 0, 1), 8)]), "0"),
    "small": (lambda: intact(input_layers=[layer("in", (3, 3, 1), 8)]), "8 bytes for 3x3x1"),
    "huge": (lambda: intact(input_layers=[layer("in", (1, 1, 1), 1 << 30)]), "1073741824"),
    "many times": (
        lambda: intact(input_layers=[layer("in", (1, 1, 1), 1 << 20, execution_count_per_inference=65)]),
        "68,157,440 bytes",
    ),
    "type": (lambda: intact(input_layers=[layer("in", (1, 1, 1), 8, 6)]), "the data type 6"),
    "scale": (
        lambda: intact(input_layers=[{**layer("in", (1, 1, 1), 8), "numerics": {"dequantization_factor": float("nan")}}]),
        "the scale nan",
    ),
    "shape": (
        lambda: intact(input_layers=[{**layer("in", (1, 1, 5), 8), "shape": {"dimension": [6 << 32]}}]),
        "the shape [7]",
    ),
    "shape from 1": (
        lambda: intact(input_layers=[{**layer("in", (1, 1, 5), 8), "shape": {"dimension": [(5 << 32) + 1]}}]),
        "ranges [(1, 5)]",
    ),
    "input as output": (
        lambda: intact(output_layers=[layer("out", (1, 1, 1), 8, any_layer_type=2, any_layer=("InputLayer", {}))]),
        "details of type 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(case: str) -> None:
    make, found = DAMAGED[case]
    with pytest.raises(ModelError) as caught:
        read(make(), "x.tflite: operator 0")
    assert caught.value.where.startswith("x.tflite: operator 0")
    assert found in caught.value.found, caught.value
    assert caught.value.expected and caught.value.hint


def test_vectors_may_not_share_bytes() -> None:
    """Thousands of chunks that are all the same megabyte would fill the memory."""
    code = b"\xab" * (1 << 16)
    data = bytearray(intact(instruction_bitstreams=[{"bitstream": code}, {"bitstream": code}]))
    first = data.index(code) - 4
    data[first : first + 4] = ((1 << 17) - 64).to_bytes(4, "little")
    with pytest.raises(ModelError) as caught:
        read(bytes(data), "x")
    assert "overlap" in caught.value.found


@pytest.mark.parametrize("change", ["inputs", "outputs", "bytes", "type"])
def test_operator_and_program_agree(change: str) -> None:
    graph = model(intact())
    node = graph.nodes[0]
    executable = read(node.attributes["custom_options"], "x").inference
    inputs, outputs = {"inputs": ((), (1, 2)), "outputs": ((0,), (1, 2, 0)), "bytes": ((1,), (1, 2))}.get(
        change, ((0,), (1, 0))
    )
    changed = type(node)(node.op, inputs, outputs, node.attributes)
    with pytest.raises(ModelError) as caught:
        bindings(graph, changed, executable)
    assert caught.value.expected


def test_hidden_outputs_are_state() -> None:
    graph = model(intact())
    node = graph.nodes[0]
    fewer = type(node)(node.op, (0,), (1,), node.attributes)
    executable = read(node.attributes["custom_options"], "x").inference
    assert [port.name for _, port in bindings(graph, fewer, executable)[1]] == ["out"]


@pytest.mark.parametrize("path", compiled_files(), ids=lambda path: path.stem)
def test_public_files(path: Path) -> None:
    """All parse; all but the program whose transfers are not known in advance are accepted."""
    graph = load(path)
    found = list(packages(graph))
    assert len(found) == 1
    node, program = found[0]
    assert [executable.chip for executable in program.executables] == ["beagle"] * 2
    assert program.caching is not None and program.caching.token == program.inference.token
    inputs, outputs = bindings(graph, node, program.inference)
    assert all(graph.tensors[index].name == port.name for index, port in (*inputs, *outputs))
    if "lstm" in path.name:
        assert [text.split(":")[1].strip() for text in unsupported(program)] == ["not deterministic"]
        return
    assert unsupported(program) == ()
    assert program.inference.steps[-1] == AwaitInterrupt(0)
    sent = Counter(type(step) for step in program.caching.steps)
    assert sent == {SendInstructions: 1, SendParameters: 1, AwaitInterrupt: 1}
    # Every address in a program is the 32-bit immediate of a 128-bit instruction.
    assert {f.bit % 128 for e in program.executables for chunk in e.chunks for f in chunk.fields} == {70}


def test_most_public_files_are_accepted() -> None:
    files = compiled_files()
    if not files:
        pytest.skip("shared/models is not beside the repository")
    accepted = [path for path in files if not unsupported(next(packages(load(path)))[1])]
    assert len(accepted) >= 0.9 * len(files)


def test_slices_of_newer_files() -> None:
    shape = {"dimension": [1 << 32, 1 << 32, 3 << 32]}
    info = {"slice_layout": [{"shape": shape, "stride": [8, 4, 1]}], "slice_offset": [0]}
    newer = {**layer("out", (2, 2, 4), 16, **output_layer(tiles(2, 4), info)), "shape": shape}
    out = read(intact(output_layers=[newer, layer("flags", (1, 1, 3), 8, 8, **output_layer())]), "x").inference.outputs[
        0
    ]
    assert out.shape == (2, 2, 4)
    assert out.slices == (Slice(((0, 1), (0, 1), (0, 3)), (8, 4, 1), 0),)

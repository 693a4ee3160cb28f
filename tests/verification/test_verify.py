# SPDX-License-Identifier: Apache-2.0
"""Broken C is caught and located: the comparison outside the program names the first layer and element that differ."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tinyc
from tinyc import reference, targets, verification
from tinyc.errors import MismatchError, ModelError, ToolError
from tinyc.graph import Array, Graph, Quantization, Tensor, single_node_graph
from tinyc.importers.tflite import load
from tinyc.passes import run_passes
from tinyc.targets.cpus import find_cpu
from tinyc.verification import choose_engines, why_unusable
from tinyc.verification.vectors import make_inputs

KWS = Path(__file__).resolve().parent.parent.parent / "examples" / "kws" / "kws.tflite"
GRAPH = run_passes(load(KWS))
COUNT, SEED = 4, 5
INPUTS = make_inputs(GRAPH, COUNT, SEED)

#: The build is for the Cortex-M3 with portable kernels, so that this computer can run it too.
BOARD = "bluepill"
ENGINES = [
    pytest.param(name, marks=pytest.mark.skipif(reason is not None, reason=f"{name}: {reason}"))
    for name in ("host", "unicorn", "qemu")
    for reason in [why_unusable(name, find_cpu("cortex-m3"))]
]


@contextlib.contextmanager
def portable_kernels() -> Iterator[None]:
    """Every core computes with the portable kernels, as it does until its instruction set gets some of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "instruction_sets", lambda: {"generic": frozenset()})
        targets.kernels_for.cache_clear()
        yield
    targets.kernels_for.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _portable() -> Iterator[None]:
    with portable_kernels():
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "kws"
    tinyc.compile(KWS, board=BOARD, format="c", verify="none").write(folder)
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A fresh copy of the build to break."""
    folder = tmp_path / "kws"
    folder.mkdir()
    for path in built.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def check(folder: Path, engine: str, layers: bool = False) -> None:
    tinyc.verify(folder, emulator=engine, seed=SEED, count=COUNT, layers=layers)


def edit(path: Path, pattern: str, replacement: str, at: int = 0) -> None:
    """Replaces the match number `at` of `pattern`."""
    text = path.read_text()
    match = list(re.finditer(pattern, text))[at]
    path.write_text(text[: match.start()] + match.expand(replacement) + text[match.end() :])


def first_difference(wanted: Sequence[Array], found: Sequence[Array]) -> tuple[int, str]:
    """(input set, "element [...] is FOUND, expected WANTED; N of M elements differ")."""
    for number, (want, got) in enumerate(zip(wanted, found, strict=True)):
        places = np.argwhere(want != got)
        if len(places):
            first = tuple(int(i) for i in places[0])
            where = ",".join(map(str, first))
            return (
                number,
                f"element [{where}] is {got[first]}, expected {want[first]}; {len(places)} of {want.size} elements differ",
            )
    raise AssertionError("nothing differs")


def layer_values(graph: Graph, node: int) -> list[Array]:
    index = graph.nodes[node].outputs[0]
    return [np.asarray(reference.run(graph, inputs)[index]) for inputs in INPUTS]


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_build_is_right(built: Path, engine: str, layers: bool) -> None:
    (result,) = tinyc.verify(built, emulator=engine, seed=SEED, count=COUNT, layers=layers)
    assert (result.emulator, result.inputs, result.bytes_compared) == (engine, COUNT, COUNT * 6)
    assert result.layers_compared == (10 if layers else 0)
    if engine == "unicorn":
        assert result.instructions is not None and result.layers is not None and result.stack is not None
        assert len(result.layers) == 10 and result.functions["kws_run"] > 0
    assert result.proves and result.toolchain


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_broken_kernel_is_located(project: Path, engine: str, layers: bool) -> None:
    """The first layer that uses the kernel is named, with its first element; putting the file back heals it."""
    kernel = project / "tinyc_depthwise_conv_2d_s8.c"
    before = kernel.read_bytes()
    edit(kernel, r"\(int8_t\)tinyc_clamp\((.*?)\);", r"(int8_t)(tinyc_clamp(\1) ^ 1);")
    with pytest.raises(MismatchError) as caught:
        check(project, engine, layers)
    right = layer_values(GRAPH, 1)
    number, text = first_difference(right, [values ^ 1 for values in right])
    assert (
        caught.value.where
        == f"layer 1 DEPTHWISE_CONV_2D '{GRAPH.layer(GRAPH.nodes[1]).output.name}' (tinyc_depthwise_conv_2d_s8)"
    )
    assert caught.value.found == f"{text} (input set {number}, {engine})" and number == 0
    assert caught.value.exit_code == 5
    kernel.write_bytes(before)
    check(project, engine, layers)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_rounding_is_located(project: Path, engine: str) -> None:
    """One rounding instead of two: the classical mistake, off by one in a few elements."""
    kernel = project / "tinyc_depthwise_conv_2d_s8.c"
    once = "(int32_t)(((int64_t)(int32_t)sum * p->multiplier[o] + ((int64_t)1 << (30 - p->shift[o]))) >> (31 - p->shift[o]))"
    edit(kernel, r"tinyc_requantize\(.*?\);", once.replace("\\", r"\\") + ";")
    edit(kernel, r"\+ \(\(int64_t\)1 << \(30 - p->shift\[o\]\)\)", "")
    with pytest.raises(MismatchError, match=r"^layer 1 DEPTHWISE_CONV_2D") as caught:
        check(project, engine)
    found = re.match(r"element \[([\d,]+)\] is (-?\d+), expected (-?\d+); ", caught.value.found)
    assert found is not None
    number = int(re.search(r"input set (\d+)", caught.value.found)[1])
    wanted = layer_values(GRAPH, 1)[number][tuple(int(i) for i in found[1].split(","))]
    assert int(found[3]) == wanted and int(found[2]) == wanted - 1


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_weight_is_located(project: Path, engine: str, layers: bool) -> None:
    """One byte of one table in the generated file; what should differ is computed by the reference with that weight."""
    node = GRAPH.nodes[4]
    weights = np.array(GRAPH.tensors[node.inputs[1]].data)
    at = int(np.flatnonzero(np.abs(weights.reshape(-1)) < 20)[7])
    old = int(weights.reshape(-1)[at])
    weights.reshape(-1)[at] = new = 127
    text = (project / "kws.c").read_text()
    table = re.search(
        r"static const int8_t kws_layer4_filter\[\d+\][^=]*= \{(.*?)\};|kws_4_filter\[\d+\][^=]*= \{(.*?)\};",
        text,
        re.DOTALL,
    )
    assert table is not None, [line for line in text.splitlines() if line.startswith("static const int8_t")]
    group = 1 if table[1] is not None else 2
    values = table[group].replace("\n", " ").split(",")
    assert int(values[at]) == old
    values[at] = f" {new}"
    (project / "kws.c").write_text(text[: table.start(group)] + ",".join(values) + text[table.end(group) :])
    tensors = list(GRAPH.tensors)
    tensors[node.inputs[1]] = replace(tensors[node.inputs[1]], data=weights)
    number, expected = first_difference(layer_values(GRAPH, 4), layer_values(replace(GRAPH, tensors=tuple(tensors)), 4))
    with pytest.raises(MismatchError) as caught:
        check(project, engine, layers)
    assert caught.value.where.startswith("layer 4 CONV_2D ")
    assert caught.value.found == f"{expected} (input set {number}, {engine})"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_off_by_one_in_the_plan_is_caught(project: Path, engine: str) -> None:
    """Layer 0 writes one byte further than the next layer reads."""
    edit(project / "kws.c", r"(&kws_\w*0_params, .*\(int8_t \*\)&arena\[)(\d+)\]\);", r"\g<1>\2 + 1]);")
    with pytest.raises(MismatchError, match=r"^layer 0 CONV_2D"):
        check(project, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fault_in_some_inputs_only_names_the_input_set(project: Path, engine: str) -> None:
    """Wrong only where the first input byte is -128: the set of lowest values, which is the third of four."""
    assert [int(inputs[0].reshape(-1)[0]) for inputs in INPUTS].index(-128) == 2
    edit(
        project / "kws.c",
        r"(void kws_run\(.*?\{\n.*?arena;\n)",
        r"\1    const int wrong = (int8_t)arena[NET] == -128;\n",
    )
    text = (project / "kws.c").read_text()
    offset = re.search(r"kws_input\(kws_context \*ctx\) \{\n    return \(int8_t \*\)&ctx->arena\[(\d+)\]", text)
    assert offset is not None
    text = text.replace("arena[NET]", f"arena[{offset[1]}]")
    last = re.search(r"    TINYC_TRACE\(9u, &arena\[(\d+)\]", text)
    assert last is not None
    text = text[: last.start()] + f"    if (wrong) {{ arena[{last[1]}] ^= 0x40u; }}\n" + text[last.start() :]
    (project / "kws.c").write_text(text)
    with pytest.raises(MismatchError, match=rf"^layer 9 SOFTMAX .*\n?.*element \[0,0\].*\(input set 2, {engine}\)"):
        check(project, engine)


def calls(statement: str) -> tuple[str, str]:
    """Edits that put `statement` at the start of kws_run."""
    declarations = "void tinyc_host_exit(int status); void tinyc_host_write(const void *data, uint32_t size);\n"
    return declarations, statement


def put_into_run(project: Path, statement: str) -> None:
    edit(project / "kws.c", r"void kws_run\(kws_context \*ctx\) \{\n", calls("")[0] + rf"\g<0>    {statement}\n")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_that_writes_too_little(project: Path, engine: str) -> None:
    put_into_run(project, "static int n; if (++n == 3) { tinyc_host_exit(0); }")
    with pytest.raises(MismatchError, match=r"stopped after \d+ bytes of layers \(input set 2\)"):
        check(project, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_that_writes_too_much(project: Path, engine: str) -> None:
    """More bytes at the very end, or in between: either way it is no longer the right stream."""
    put_into_run(project, "static int n; if (++n == 4) { tinyc_host_write(ctx, 1u); }")
    with pytest.raises(MismatchError):
        check(project, engine)


def test_trailing_bytes_are_a_difference(project: Path) -> None:
    """Right bytes and then one more (written by a function that runs when the program ends)."""
    edit(
        project / "kws.c",
        r"void kws_run\(",
        r"#include <stdio.h>\n__attribute__((destructor)) static void more(void) { putchar(1); }\n\g<0>",
    )
    with pytest.raises(MismatchError, match=r"the program wrote \d+ bytes of layers, expected \d+"):
        check(project, "host")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_that_ends_with_a_status(project: Path, engine: str) -> None:
    put_into_run(project, "tinyc_host_exit(7);")
    with pytest.raises(MismatchError, match="status 7"):
        check(project, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_that_faults(project: Path, engine: str) -> None:
    put_into_run(project, "*(volatile int *)0xF0000000u = 1;")
    with pytest.raises(MismatchError, match="the program stopped") as caught:
        check(project, engine)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_that_never_ends(project: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "TIMEOUT", 2.0)
    put_into_run(project, "for (volatile int n = 0; n < 1; n = 0) { }")
    with pytest.raises(ToolError, match="did not end within 2 seconds"):
        check(project, engine)


def test_a_project_that_no_longer_compiles(project: Path) -> None:
    edit(project / "kws.c", r"void kws_run\(kws_context \*ctx\) \{\n", r"\g<0>    oops;\n")
    with pytest.raises(ToolError, match=r"compiling kws\.c .*failed[\s\S]*oops"):
        check(project, "host")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("place", ["ctx->arena[sizeof(kws_context)]", "((uint8_t *)ctx)[-1]"])
def test_a_write_outside_of_the_context(project: Path, engine: str, place: str) -> None:
    """Right bytes are not enough: the memory beside the context belongs to somebody else."""
    put_into_run(project, f"volatile uint8_t *const beside = &{place}; *beside = 0;")
    with pytest.raises(MismatchError, match=r"^kws_run: wrote outside of kws_context"):
        check(project, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_header_that_understates_the_arena(project: Path, engine: str) -> None:
    edit(project / "kws.h", r"(KWS_ARENA_SIZE) (\d+)", r"\1 (\2 - 16)")
    with pytest.raises(MismatchError, match=r"wrote outside of kws_context"):
        check(project, engine)


def test_a_build_of_another_version_is_not_compared(project: Path) -> None:
    edit(project / "report.json", r'"kernel": "tinyc_softmax_s8"', '"kernel": "tinyc_softmax_s8_fast"')
    edit(project / "report.json", r'"tinyc": "[^"]*"', '"tinyc": "9.9.9"')
    with pytest.raises(ModelError, match=r"tinyc 9\.9\.9, whose kernels differ"):
        check(project, "host")


def test_scalars_and_floats_in_messages() -> None:
    """Elements are compared as bytes: two NaNs with different bits differ, and so do 0.0 and -0.0."""
    tensor = Tensor("y", (2,), "float32")
    want = np.array([0.0, 1.5], np.float32)
    text = verification._element_text(tensor, want, np.array([-0.0, 1.5], np.float32).tobytes())
    assert text == "element [0] is -0.0, expected 0.0; 1 of 2 elements differ"
    scalar = verification._element_text(Tensor("y", (), "int8"), np.array(3, np.int8), b"\x04")
    assert scalar == "element [] is 4, expected 3; 1 of 1 elements differ"


def test_outputs_that_are_inputs_and_repeats() -> None:
    """A view as output, twice, and a kernel between: every byte is compared in the order of the outputs."""
    source = Tensor("x", (1, 4), "int8", Quantization((0.5,), (0,)))
    shape = Tensor("shape", (2,), "int32", None, np.array([4, 1], np.int32))
    graph = single_node_graph(
        "RESHAPE", (source, shape), (replace(source, name="y", shape=(4, 1)),), {"new_shape": (4, 1)}
    )
    graph = replace(graph, outputs=(2, 0, 2), output_names=("y", "x", "z"))
    from tinyc.emit import emit
    from tinyc.lower import lower
    from tinyc.memory import plan_memory

    program = lower(graph, find_cpu("host"))
    inputs = make_inputs(graph, 4, 1)
    expected = [reference.run(graph, row) for row in inputs]
    result = verification.verify(
        "net", program, emit(program, plan_memory(program), "net"), inputs, expected, emulator="host", layers=True
    )
    assert result.bytes_compared == 4 * 12


def test_auto_takes_this_computer_and_the_best_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    usable = {"host", "unicorn", "qemu"}
    monkeypatch.setattr(verification, "why_unusable", lambda name, cpu: None if name in usable else f"no {name}")
    m4 = find_cpu("cortex-m4")
    assert choose_engines("auto", m4) == (["host", "unicorn"], "")
    assert choose_engines("auto", find_cpu("host")) == (["host"], "")
    usable -= {"unicorn"}
    assert choose_engines("auto", m4) == (["host", "qemu"], "")
    usable -= {"host"}
    assert choose_engines("auto", m4) == (["qemu"], "")
    usable.clear()
    names, why = choose_engines("auto", m4)
    assert names == [] and "pip install 'tinyc[emulate]'" in why and "\n" not in why
    assert choose_engines("renode", m4) == (["renode"], "")

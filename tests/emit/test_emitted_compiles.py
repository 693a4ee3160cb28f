# SPDX-License-Identifier: Apache-2.0
"""The emitted C under strict compilers: warnings, C++, linking, sections, sanitizers."""

from pathlib import Path

import numpy as np
import pytest
from emitted import (
    COMPILERS,
    WARNINGS,
    case_graphs,
    constant_outputs,
    library,
    lowered,
    missing,
    random_graph,
    renamed,
    run,
    write,
)
from tinyc import reference
from tinyc.emit import emit, ports
from tinyc.graph import Graph
from tinyc.importers.tflite import load
from tinyc.memory import plan_memory
from tinyc.passes import run_passes
from tinyc.verification import vectors

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*/*.tflite") if not p.stem.endswith("_float"))
STARTUP = ROOT / "runtime_c" / "startup"

needs = {
    name: pytest.mark.skipif(bool(missing(command[0])), reason=missing(command[0]))
    for name, command in COMPILERS.items()
}
needs_gcc = pytest.mark.skipif(bool(missing("gcc", "g++", "nm")), reason=missing("gcc", "g++", "nm"))
needs_arm = needs["arm-none-eabi-gcc"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders m0, m1, … with the library of every operator and of random networks, all names hostile; m<i>.c in m<i>."""
    graphs = [graph for _, graph in case_graphs(2)] + [random_graph(seed) for seed in range(100, 112)]
    graphs += [constant_outputs()]
    root = tmp_path_factory.mktemp("emitted")
    return [
        write(root / f"m{i}", library(renamed(graph, i), f"m{i}", ("cortex-m4", "host")[i % 2]))
        for i, graph in enumerate(graphs)
    ]


@pytest.mark.parametrize("standard", ["c99", "gnu11"])
@pytest.mark.parametrize("compiler", [pytest.param(name, marks=needs[name]) for name in COMPILERS])
def test_no_warning(models: list[Path], compiler: str, standard: str) -> None:
    sources = [folder / f"{folder.name}.c" for folder in models]
    run([*COMPILERS[compiler], f"-std={standard}", *WARNINGS, "-Wundef", "-fsyntax-only", *sources])


@needs_gcc
def test_no_warning_when_optimized(models: list[Path], tmp_path: Path) -> None:
    for kernel in {
        path.name: path for folder in models for path in folder.glob("tinyc_*.c") if "dsp" not in path.name
    }.values():
        run(["gcc", "-std=c99", *WARNINGS, "-O2", "-c", kernel, "-o", tmp_path / "out.o"])
    for folder in models[:: len(models) // 8]:
        run(["gcc", "-std=c99", *WARNINGS, "-O2", "-c", folder / f"{folder.name}.c", "-o", tmp_path / "out.o"])


@needs_gcc
@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_all_headers_in_one_cplusplus_file(models: list[Path], standard: str, tmp_path: Path) -> None:
    names = [folder.name for folder in models]
    text = "".join(f'#include "{name}.h"\n#include "{name}.h"\n' for name in names)
    text += (
        "int main() {\n"
        + "".join(f"  static {name}_context {name};\n  {name}_run(&{name});\n" for name in names)
        + "}\n"
    )
    (tmp_path / "main.cpp").write_text(text)
    includes = [part for folder in models for part in ("-I", folder)]
    run(
        [
            "g++",
            f"-std={standard}",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Werror",
            "-fsyntax-only",
            *includes,
            tmp_path / "main.cpp",
        ]
    )


@needs_gcc
def test_a_header_stands_alone(models: list[Path]) -> None:
    headers = [path for folder in models[:6] for path in (folder / f"{folder.name}.h", *folder.glob("tinyc_*.h"))]
    # Those of an instruction set stop with the flag that they need.
    headers = [path for path in headers if "#if !defined(__ARM_FEATURE" not in path.read_text()]
    for header in {path.name: path for path in headers}.values():
        run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", header.parent, "-x", "c", header])


@needs_gcc
def test_another_runtime_version_is_refused(tmp_path: Path) -> None:
    files = library(random_graph(1), "net")
    files["tinyc_kernels.h"] = files["tinyc_kernels.h"].replace(b"TINYC_ABI_VERSION 1", b"TINYC_ABI_VERSION 2")
    folder = write(tmp_path / "net", files)
    with pytest.raises(AssertionError, match="generated for another version of the tinyc runtime"):
        run(["gcc", "-std=c99", "-fsyntax-only", folder / "net.c"])


def objects(folder: Path, compiler: tuple[str, ...], *flags: str) -> list[Path]:
    """Objects of all C files in `folder`, in its subfolder `o`."""
    (folder / "o").mkdir()
    sources = sorted(path.resolve() for path in folder.glob("*.c"))
    run([*compiler, "-std=c99", "-ffp-contract=off", *flags, "-c", *sources], folder / "o")
    return sorted((folder / "o").glob("*.o"))


@needs_gcc
def test_two_models_in_one_cplusplus_program(tmp_path: Path) -> None:
    """Both bring the same kernels; one of them is called like the other's accessor."""
    graphs = {
        "kws": run_passes(load(ROOT / "examples/kws/kws.tflite")),
        "kws_input": run_passes(load(ROOT / "examples/digits/digits.tflite")),
    }
    made = []
    for name, graph in graphs.items():
        made += objects(write(tmp_path / name, library(graph, name)), ("gcc",), "-O1")
    lines = ["#include <cstdio>", *(f'#include "{name}.h"' for name in graphs), "int main() {"]
    for name in graphs:
        lines += [
            f"  static {name}_context {name};",
            f"  if (std::fread({name}_input(&{name}), 1, {name.upper()}_INPUT_SIZE, stdin) != {name.upper()}_INPUT_SIZE) return 1;",
        ]
    lines += [f"  {name}_run(&{name});" for name in graphs]
    lines += [f"  std::fwrite({name}_output(&{name}), 1, {name.upper()}_OUTPUT_SIZE, stdout);" for name in graphs]
    (tmp_path / "main.cpp").write_text("\n".join([*lines, "}", ""]))
    includes = [part for name in graphs for part in ("-I", tmp_path / name)]
    run(
        [
            "g++",
            "-std=c++11",
            "-Wall",
            "-Wextra",
            "-Werror",
            *includes,
            tmp_path / "main.cpp",
            *made,
            "-o",
            tmp_path / "both",
        ]
    )
    inputs = [vectors.random_inputs(graph, 7) for graph in graphs.values()]
    expected = [reference.outputs(graph, given)[0] for graph, given in zip(graphs.values(), inputs, strict=True)]
    found = run([tmp_path / "both"], stdin=b"".join(given[0].tobytes() for given in inputs))
    assert found == b"".join(array.tobytes() for array in expected)


@needs_gcc
def test_labels_read_back(tmp_path: Path) -> None:
    graph = renamed(random_graph(2), 0)
    folder = write(tmp_path / "net", library(graph, "net"))
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\n'
        "int main(void) { for (int i = 0; i < NET_LABEL_COUNT; i++) { fputs(net_labels[i], stdout); putchar(0); } return 0; }\n"
    )
    run(["gcc", "-std=c99", *WARNINGS, *objects(folder, ("gcc",), "-O0"), "-o", folder / "main"])
    assert run([folder / "main"]).decode().split("\0")[:-1] == list(graph.labels)


@needs_gcc
@pytest.mark.parametrize("model", EXAMPLES, ids=lambda path: path.stem)
def test_sizes_that_the_header_states(model: Path, tmp_path: Path) -> None:
    graph = run_passes(load(model))
    program = lowered(graph)
    memory = plan_memory(program)
    folder = write(tmp_path / "net", emit(program, memory, "net"))
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include <stdint.h>\n#include "net.h"\n#define SHOW(x) printf("%ld ", (long)(x))\n'
        "int main(void) { static struct { char odd; net_context ctx[2]; } s; net_context *ctx = s.ctx;"
        " SHOW(sizeof(net_context)); SHOW(NET_ARENA_SIZE); SHOW(NET_INPUT_SIZE);"
        " SHOW(NET_INPUT_ELEMENTS * sizeof *net_input(&ctx[0])); SHOW(NET_OUTPUT_SIZE);"
        " SHOW(NET_OUTPUT_ELEMENTS * sizeof *net_output(&ctx[0]));"
        " SHOW((uintptr_t)&ctx[1] % 16u + (uintptr_t)ctx % 16u); return 0; }\n"
    )
    run(["gcc", "-std=c99", "-Wall", "-Werror", *objects(folder, ("gcc",), "-O0"), "-o", folder / "main"])
    source, target = graph.input_tensors[0].bytes, graph.output_tensors[0].bytes
    assert [int(part) for part in run([folder / "main"]).split()] == [
        memory.size,
        memory.size,
        source,
        source,
        target,
        target,
        0,
    ]


def undefined_and_written(made: list[Path], nm: str) -> tuple[set[str], set[str]]:
    """(symbols that the objects need from outside, symbols in writable memory)."""
    lines = [line.split() for line in run([nm, *made]).decode().splitlines()]
    rows = [(parts[-2], parts[-1]) for parts in lines if len(parts) >= 2]
    defined = {name for kind, name in rows if kind not in "Uw"}
    return {name for kind, name in rows if kind == "U"} - defined, {name for kind, name in rows if kind in "dDbBCgGsS"}


@needs_arm
@pytest.mark.parametrize("cpu", ["cortex-m4", "cortex-m0plus"])
def test_no_heap_no_writable_data_nothing_from_outside(cpu: str, tmp_path: Path) -> None:
    """Every operator: only what compilers call by themselves may be undefined, and nothing is in RAM."""
    compiler = (
        COMPILERS["arm-none-eabi-gcc"]
        if cpu == "cortex-m4"
        else ("arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb")
    )
    files: dict[str, bytes] = {}
    for i, (_, graph) in enumerate(case_graphs(2)):
        files |= library(graph, f"m{i}", cpu)
    undefined, written = undefined_and_written(
        objects(write(tmp_path / "all", files), compiler, "-O2", "-ffreestanding"), "arm-none-eabi-nm"
    )
    assert written == set()
    assert {name for name in undefined if not name.startswith("__aeabi_")} <= {
        "memcpy",
        "memset",
        "memmove",
        "__gnu_thumb1_case_uqi",
        "__gnu_thumb1_case_sqi",
    }


#: Unlike the verification main, nothing but red zones beside the context.
PLAIN_MAIN = """
#include "net.h"
#include "tinyc_host.h"
int main(void) {
    static net_context ctx;
    for (;;) {
        READ
        net_run(&ctx);
        WRITE
    }
}
"""
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def plain_main(graph: Graph) -> bytes:
    """Reads inputs and writes outputs until the input ends."""
    sources, targets = ports(graph, graph.inputs, ()), ports(graph, graph.outputs, ())
    read = [
        f"if (tinyc_host_read(net_input{p.suffix}(&ctx), {p.tensor.bytes}u) == 0u) {{ return 0; }}" for p in sources
    ]
    write = [f"tinyc_host_write(net_output{p.suffix}(&ctx), {p.tensor.bytes}u);" for p in targets]
    return PLAIN_MAIN.replace("READ", "\n".join(read)).replace("WRITE", "\n".join(write)).encode()


def sanitized_outputs(graph: Graph, folder: Path, inputs: list[list[np.ndarray]], cpu: str = "host") -> bytes:
    """The outputs of the library under AddressSanitizer and UBSan; the arena ends where it ends."""
    files = {**library(graph, "net", cpu), "main.c": plain_main(graph)}
    files |= {name: (STARTUP / name).read_bytes() for name in ("startup_host.c", "tinyc_host.h")}
    made = objects(write(folder, files), ("gcc",), *SANITIZE)
    run(["gcc", *SANITIZE, *made, "-o", folder / "main"])
    return run([folder / "main"], stdin=b"".join(array.tobytes() for given in inputs for array in given))


@needs_gcc
@pytest.mark.parametrize("model", EXAMPLES, ids=lambda path: path.stem)
def test_examples_under_sanitizers(model: Path, tmp_path: Path) -> None:
    graph = run_passes(load(model))
    inputs = vectors.make_inputs(graph, 6, 11)
    expected = b"".join(array.tobytes() for given in inputs for array in reference.outputs(graph, given))
    assert sanitized_outputs(graph, tmp_path / "net", inputs) == expected


@needs_gcc
@pytest.mark.parametrize("seed", [200, 201, 202])
def test_random_networks_under_sanitizers(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    inputs = vectors.make_inputs(graph, 4, seed)
    expected = b"".join(array.tobytes() for given in inputs for array in reference.outputs(graph, given))
    assert sanitized_outputs(graph, tmp_path / "net", inputs) == expected


@needs_gcc
@pytest.mark.slow
def test_every_operator_case_under_sanitizers(tmp_path: Path) -> None:
    for i, (title, graph) in enumerate(case_graphs(100)):
        inputs = vectors.make_inputs(graph, 4, i)
        expected = b"".join(array.tobytes() for given in inputs for array in reference.outputs(graph, given))
        assert sanitized_outputs(graph, tmp_path / f"m{i}", inputs) == expected, title


@needs_gcc
def test_the_sanitizers_do_see_a_write_past_the_arena(tmp_path: Path) -> None:
    """The test above can fail: a header that understates the arena is caught."""
    graph = run_passes(load(EXAMPLES[0]))
    files = library(graph, "net")
    size = plan_memory(lowered(graph)).size
    files["net.h"] = files["net.h"].replace(b"ARENA_SIZE %d" % size, b"ARENA_SIZE %d" % (size - 16))
    files |= {"main.c": plain_main(graph)}
    files |= {name: (STARTUP / name).read_bytes() for name in ("startup_host.c", "tinyc_host.h")}
    made = objects(write(tmp_path / "net", files), ("gcc",), *SANITIZE)
    run(["gcc", *SANITIZE, *made, "-o", tmp_path / "net" / "main"])
    with pytest.raises(AssertionError, match=r"AddressSanitizer|runtime error"):
        run([tmp_path / "net" / "main"], stdin=vectors.random_inputs(graph, 1)[0].tobytes())


@needs_gcc
def test_outputs_that_are_constants(tmp_path: Path) -> None:
    graph = constant_outputs()
    inputs = vectors.make_inputs(graph, 2, 3)
    expected = b"".join(array.tobytes() for given in inputs for array in reference.outputs(graph, given))
    assert sanitized_outputs(graph, tmp_path / "net", inputs) == expected

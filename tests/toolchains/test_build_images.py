# SPDX-License-Identifier: Apache-2.0
"""Building: sections equal what `size` says, stack usage, symbols, messages, speed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tinyc.errors import ToolError, UsageError
from tinyc.targets.cpus import CPUS, Cpu
from tinyc.toolchains import Sizes, Toolchain, build_image, compile_objects, install_line, kinds, try_kind
from tinyc.toolchains.layout import MACHINES, linker_script, machine_for

BUILDS = [(cpu, kind) for cpu in CPUS for kind in kinds(CPUS[cpu])]

MAIN = b"""
#include "tinyc_host.h"
#include "model.h"
int main(void) {
  static uint8_t data[16];
  tinyc_host_write(data, model_run(data));
  return 0;
}
"""
HEADER = b"#include <stdint.h>\nuint32_t model_run(uint8_t *data);\n"
MODEL = b"""
#include "model.h"
static const uint8_t weights[40] = {1, 2, 3, 4, 5};
static uint8_t state[24];
static uint32_t counter = 5U;
__attribute__((noinline)) static uint32_t helper(volatile uint8_t *data) {
  volatile uint32_t space[60];
  for (uint32_t i = 0U; i < 60U; ++i) { space[i] = data[i % 16U]; }
  return space[data[1] % 60U];
}
uint32_t model_run(uint8_t *data) {
  for (uint32_t i = 0U; i < 16U; ++i) { data[i] = (uint8_t)(weights[data[i] % 40U] + state[i]++); }
  counter += helper(data);
  return (counter % 2U) + 1U;
}
"""
SOURCES = {"main.c": MAIN, "model.h": HEADER, "model.c": MODEL}


def need(kind: str, cpu: Cpu) -> None:
    if not isinstance(try_kind(kind, cpu), Toolchain):
        pytest.skip(f"no {kind} for {cpu.name}: {install_line(kind, cpu)}")


@pytest.mark.parametrize(("cpu", "kind"), BUILDS)
def test_image(cpu: str, kind: str, tmp_path: Path) -> None:
    need(kind, CPUS[cpu])
    image = build_image(SOURCES, CPUS[cpu], tmp_path, toolchain=kind)
    sizes = image.sections["model.c"]
    assert set(image.sections) == {"main.c", "model.c"}
    assert sizes.code > 40
    assert sizes.rodata >= 40
    assert (sizes.data, sizes.bss) == (4, 24)
    red_zone = 128 if cpu == "host" else 0  # x86-64 leaves that much out of the frame
    assert image.stack_usage["helper"] >= 240 - red_zone
    assert image.stack_usage["model_run"] >= 0
    assert image.symbols["model_run"].size > 0
    assert image.function_at(image.symbols["model_run"].address + 2) == "model_run"
    addresses = [function.address for function in image.functions]
    assert addresses == sorted(addresses)
    assert image.toolchain.split()[-1]
    if not (cpu == "host" and kind == "zig"):
        assert "model_run" in image.map_file.read_text()
    if cpu != "host":
        assert not set(image.symbols) & {"printf", "malloc", "exit", "_start"}


@pytest.mark.parametrize(("cpu", "kind"), BUILDS)
def test_sections_equal_what_size_says(cpu: str, kind: str, tmp_path: Path) -> None:
    need(kind, CPUS[cpu])
    program = shutil.which("size")
    if program is None:
        pytest.skip("no size: apt-get install binutils")
    image = build_image(SOURCES, CPUS[cpu], tmp_path, toolchain=kind, optimize="-Os")
    for name, sizes in image.sections.items():
        told = subprocess.run(
            [program, tmp_path / "obj" / "src" / f"{name}.o"], capture_output=True, text=True, check=True
        )
        text, data, bss = map(int, told.stdout.splitlines()[1].split()[:3])
        assert (sizes.text, sizes.data, sizes.bss) == (text, data, bss), name
    library = {name: data for name, data in SOURCES.items() if name != "main.c"}
    objects = compile_objects(library, CPUS[cpu], toolchain=kind, optimize="-Os")
    assert objects.sections["model.c"] == image.sections["model.c"]
    assert objects.stack_usage["model.c"]["helper"] == image.stack_usage["helper"]


@pytest.mark.parametrize(("cpu", "feature"), [("cortex-m4", "dsp"), ("cortex-m33", "dsp"), ("cortex-m55", "mve")])
def test_the_flags_turn_on_what_the_core_has(cpu: str, feature: str) -> None:
    """Zig's bare core names would silently compile scalar soft-float code."""
    macros = {"dsp": "__ARM_FEATURE_DSP", "mve": "__ARM_FEATURE_MVE", "fpu": "__ARM_FP"}
    wanted = [macros[name] for name in sorted(CPUS[cpu].features)]
    assert macros[feature] in wanted
    checks = "".join(f"#ifndef {name}\n#error {name} is missing\n#endif\n" for name in wanted)
    absent = "".join(f"#ifdef {name}\n#error {name}\n#endif\n" for name in macros.values())
    for kind in kinds(CPUS[cpu]):
        need(kind, CPUS[cpu])
        source = f"{checks}int x;\n".encode()
        assert compile_objects({"a.c": source}, CPUS[cpu], toolchain=kind).sections["a.c"].bss == 4
        compile_objects({"a.c": f"{absent}int x;\n".encode()}, CPUS["cortex-m3"], toolchain=kind)


@pytest.mark.parametrize("kind", ["gcc", "zig"])
def test_a_compiler_error_shows_its_first_lines(kind: str, tmp_path: Path) -> None:
    need(kind, CPUS["cortex-m4"])
    with pytest.raises(ToolError, match=r"compiling broken\.c for Arm Cortex-M4 with FPU failed") as caught:
        build_image({**SOURCES, "broken.c": b"#error the reason\n"}, CPUS["cortex-m4"], tmp_path, toolchain=kind)
    assert "the reason" in caught.value.found
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(("cpu", "kind"), [("cortex-m4", "gcc"), ("cortex-m4", "zig"), ("xtensa-lx6", "clang")])
def test_a_missing_function_is_a_link_error(cpu: str, kind: str, tmp_path: Path) -> None:
    need(kind, CPUS[cpu])
    source = b"int main(void); int absent_function(void);\nint main(void) { return absent_function(); }\n"
    with pytest.raises(ToolError, match=r"linking for .* failed:(.|\n)*absent_function"):
        build_image({"main.c": source}, CPUS[cpu], tmp_path, toolchain=kind)


def test_a_model_too_large_for_the_machine_is_a_link_error(tmp_path: Path) -> None:
    need("gcc", CPUS["cortex-m4"])
    source = b"char huge[5000000];\nint main(void);\nint main(void) { return huge[3]; }\n"
    with pytest.raises(ToolError, match=r"RAM|stack"):
        build_image({"main.c": source}, CPUS["cortex-m4"], tmp_path, toolchain="gcc")


def test_defines_reach_the_sources(tmp_path: Path) -> None:
    need("gcc", CPUS["host"])
    source = b"#if !defined(A) || B != 7\n#error no\n#endif\nint main(void);\nint main(void) { return 0; }\n"
    build_image({"main.c": source}, CPUS["host"], tmp_path, toolchain="gcc", defines={"A": None, "B": "7"})
    with pytest.raises(ToolError, match="#error no"):
        build_image({"main.c": source}, CPUS["host"], tmp_path, toolchain="gcc", defines={"A": None})


def test_a_read_only_work_folder_is_a_clean_error(tmp_path: Path) -> None:
    need("gcc", CPUS["host"])
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ToolError, match="cannot write"):
        build_image(SOURCES, CPUS["host"], blocked / "work", toolchain="gcc")


def test_machines() -> None:
    assert machine_for(CPUS["cortex-m3"], None) == "mps2-an385"
    assert machine_for(CPUS["cortex-m3"], "mps2-an386") == "mps2-an386"
    with pytest.raises(UsageError, match="did you mean 'mps2-an386'"):
        machine_for(CPUS["cortex-m3"], "mps2-an368")
    for name in MACHINES:
        assert "{" not in linker_script(CPUS["rv32imc"], name).replace("{ ", "").replace("{\n", "")


def test_a_second_build_of_a_large_model_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """330 kB of weights: only the link remains, in a fresh process too."""
    need("gcc", CPUS["cortex-m4"])
    monkeypatch.setenv("TINYC_CACHE_DIR", str(tmp_path / "cache"))
    numbers = ",".join(str((i * 37) % 256 - 128) for i in range(330_000))
    weights = f"#include <stdint.h>\nconst int8_t w[330000] = {{{numbers}}};\n".encode()
    main = b"#include <stdint.h>\nextern const int8_t w[330000];\nint main(void);\nint main(void) { return w[5]; }\n"
    sources = {"main.c": main, "weights.c": weights}
    first = build_image(sources, CPUS["cortex-m4"], tmp_path / "one", toolchain="gcc")
    start = time.monotonic()
    second = build_image(sources, CPUS["cortex-m4"], tmp_path / "two", toolchain="gcc")
    assert time.monotonic() - start < 2
    assert second.elf.read_bytes() == first.elf.read_bytes()
    assert first.sections["weights.c"] == Sizes(rodata=330_000)


def test_images_do_not_depend_on_the_folder_or_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("gcc", "zig"):
        need(kind, CPUS["cortex-m33"])
        images = []
        for number in range(2):
            monkeypatch.setenv("TINYC_CACHE_DIR", str(tmp_path / f"cache-{kind}-{number}"))
            work = tmp_path / kind / ("x" * (number + 1))
            images.append(build_image(SOURCES, CPUS["cortex-m33"], work, toolchain=kind).elf.read_bytes())
        assert images[0] == images[1]


def test_parallel_processes_share_the_cache(tmp_path: Path) -> None:
    need("gcc", CPUS["cortex-m4"])
    code = (
        "import sys; from pathlib import Path; from tinyc.toolchains import build_image; from tinyc.targets.cpus import CPUS;"
        "sources = {p.name: p.read_bytes() for p in Path(sys.argv[1]).iterdir()};"
        "image = build_image(sources, CPUS['cortex-m4'], Path(sys.argv[2]), toolchain='gcc');"
        "print(image.sections['model.c'])"
    )
    folder = tmp_path / "sources"
    folder.mkdir()
    for name, data in SOURCES.items():
        (folder / name).write_bytes(data)
    environment = {**os.environ, "TINYC_CACHE_DIR": str(tmp_path / "cache")}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code, folder, tmp_path / f"work{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for number in range(3)
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert len(set(outputs)) == 1
    assert outputs[0].startswith("Sizes(")
    assert not list((tmp_path / "cache").glob(".new-*"))

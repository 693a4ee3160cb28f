# SPDX-License-Identifier: Apache-2.0
"""The Python API, as README and docs show it."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tinyc
from tinyc import reference
from tinyc.errors import DoesNotFitError, MismatchError, ModelError, TinycError, ToolError, UsageError
from tinyc.targets.cpus import find_cpu
from tinyc.verification import why_unusable
from tinyc.verification.vectors import random_inputs

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*/*.tflite") if not p.stem.endswith("_float"))
KWS = ROOT / "examples" / "kws" / "kws.tflite"


def test_what_is_public() -> None:
    assert {"compile", "load", "verify", "__version__"} <= set(tinyc.__all__)
    for function in (tinyc.compile, tinyc.load, tinyc.verify):
        assert inspect.getdoc(function)
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
    documented = inspect.getdoc(tinyc.compile) or ""
    for name in set(inspect.signature(tinyc.compile).parameters) - {"seed"}:
        assert re.search(rf"^\s+{name}: ", documented, re.MULTILINE), name


def test_importing_is_light() -> None:
    """`import tinyc` must not pull in what only a build needs."""
    import subprocess
    import sys

    heavy = "numpy jinja2 rich click unicorn tinyc.pipeline".split()
    code = f"import sys, tinyc; print([name for name in {heavy!r} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("board", ["host", "nucleo_f446re"])
def test_run_equals_the_reference(model: Path, board: str) -> None:
    built = tinyc.compile(model, board=board, verify="none")
    samples = np.concatenate([random_inputs(built.graph, seed)[0] for seed in range(3)])
    expected = np.concatenate([reference.outputs(built.graph, [sample[None]])[0] for sample in samples])
    found = built.run(samples)
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    assert np.array_equal(built.run(samples[0]), expected[:1])
    assert np.array_equal(built.run(np.asfortranarray(samples)), expected)


def test_run_refuses_other_data() -> None:
    built = tinyc.compile(KWS, board="host", verify="none")
    for wrong in (np.zeros((1, 49, 10, 1), np.float32), np.zeros((1, 49, 10), np.uint8), np.zeros(489, np.int8)):
        with pytest.raises(ModelError, match=r"expected: int8 samples of \[1, 49, 10, 1\]"):
            built.run(wrong)
    assert built.run(np.zeros((0, 49, 10, 1), np.int8)).shape == (0, 6)


def test_a_compilation_holds_everything(tmp_path: Path) -> None:
    built = tinyc.compile(str(KWS), board="pico", name="words", verify="host", count=2, layers=True, optimize="size")
    assert built.name == "words" and set(built.sources) >= {"words.c", "words.h", "tinyc_kernels.h"}
    assert built.plan.size == built.report.ram.arena and built.plan.optimal
    assert built.report.verification[0].layers_compared == 10
    assert list(tmp_path.iterdir()) == []
    assert built.write(tmp_path / "out") == []
    assert {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()} == set(
        built.files
    )


def test_verify_a_folder_and_a_model(tmp_path: Path) -> None:
    tinyc.compile(KWS, board="host", verify="none").write(tmp_path / "out")
    (host,) = tinyc.verify(tmp_path / "out", emulator="host", layers=True)
    assert (host.emulator, host.layers_compared, host.inputs) == ("host", 10, 4)
    (model,) = tinyc.verify(str(KWS), count=2)
    assert (model.emulator, model.bytes_compared) == ("host", 12)
    extra = [[np.full((1, 49, 10, 1), 3, np.int8)]]
    (more,) = tinyc.verify(KWS, emulator="host", count=1, inputs=extra)
    assert more.inputs == 2


def test_a_build_with_kernels_for_one_core_is_not_run_natively(tmp_path: Path) -> None:
    built = tinyc.compile(KWS, board="nucleo_f446re", optimize="speed", verify="none")
    assert not built.program.portable
    built.write(tmp_path / "m4")
    with pytest.raises(UsageError, match="kernels for Arm Cortex-M4"):
        tinyc.verify(tmp_path / "m4", emulator="host")


def test_load() -> None:
    graph = tinyc.load(KWS)
    assert graph.source.file_name == "kws.tflite" and [t.shape for t in graph.input_tensors] == [(1, 49, 10, 1)]
    assert graph.labels == ("noise", "rise", "fall", "low_high", "high_low", "beeps")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: tinyc.load("nowhere.tflite"), ModelError),
        (lambda: tinyc.compile(KWS, board="esp23"), UsageError),
        (lambda: tinyc.compile(KWS, board="esp32", format="zip"), UsageError),
        (lambda: tinyc.compile(KWS, board="esp32", framework="mbed"), UsageError),
        (lambda: tinyc.compile(KWS, board="esp32", optimize="fast"), UsageError),
        (lambda: tinyc.compile(KWS, board="esp32", verify="hots"), UsageError),
        (lambda: tinyc.compile(KWS, board="host", verify="none", name="1"), UsageError),
        (lambda: tinyc.compile(KWS, board="host", verify="none", count=0), UsageError),
        (lambda: tinyc.compile(KWS, board="host", inputs=[[np.zeros(3, np.int8)]]), ModelError),
        (lambda: tinyc.compile(KWS, board="host", inputs=[[]]), ModelError),
        (lambda: tinyc.compile(KWS, board="esp32", verify="unicorn"), ToolError),
        (lambda: tinyc.verify(KWS, emulator="hots"), UsageError),
        (lambda: tinyc.verify(KWS, emulator="host", board="esp23"), UsageError),
    ],
)
def test_errors_are_tinycs_own(call: Callable[[], object], error: type[TinycError]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert caught.value.where and caught.value.found and str(caught.value) == caught.value.text()


def test_one_exit_code_per_kind() -> None:
    kinds = (ModelError, UsageError, DoesNotFitError, ToolError, MismatchError)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4, 5]


def test_the_example_of_the_package_docstring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The indented code in `help(tinyc)` runs as it stands."""
    reason = why_unusable("qemu", find_cpu("xtensa-lx6"))
    if reason is not None:
        pytest.skip(f"its board is an ESP32: {reason}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kws.tflite").write_bytes(KWS.read_bytes())
    text = inspect.getdoc(tinyc) or ""
    code = text[text.index("import tinyc") :]
    exec(compile(code, "tinyc.__doc__", "exec"), {})
    assert (tmp_path / "kws-esp32" / "platformio.ini").is_file()


def test_the_c_of_the_documentation_compiles(tmp_path: Path) -> None:
    """README.md and docs/generated-c.md show C; it compiles against the real header."""
    import shutil
    import subprocess

    if shutil.which("gcc") is None:
        pytest.skip("gcc is not on PATH")
    for name, data in tinyc.compile(KWS, board="host", format="c", verify="none").files.items():
        (tmp_path / name).write_bytes(data)
    blocks = []
    for page in (ROOT / "README.md", ROOT / "docs" / "generated-c.md"):
        blocks += [
            block for block in re.findall(r"```c\n(.*?)```", page.read_text(), re.DOTALL) if '#include "kws.h"' in block
        ]
    assert len(blocks) >= 2
    for block in blocks:
        top = [line for line in block.splitlines() if line.startswith(("#include", "static"))]
        body = [line for line in block.splitlines() if line not in top]
        (tmp_path / "use.c").write_text(
            "\n".join([*top, "int main(void) {", *body, "(void)in; (void)out; return 0; }", ""])
        )
        command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-fsyntax-only", "use.c"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

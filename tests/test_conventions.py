# SPDX-License-Identifier: Apache-2.0
"""House rules that nothing else would notice: pairs of files, SPDX headers, package lists."""

import re
from pathlib import Path

import pytest
from tinyc.ops import all_ops
from tinyc.targets import instruction_sets, kernels_for
from tinyc.targets.cpus import CPUS

ROOT = Path(__file__).resolve().parent.parent
BINDINGS = [kernel for cpu in CPUS.values() for kernels in kernels_for(cpu).values() for kernel in kernels]
KERNELS = {kernel.function: kernel for kernel in BINDINGS}
HEADER = (ROOT / "runtime_c" / "tinyc_kernels.h").read_text()


def tracked(*patterns: str) -> list[Path]:
    skip = {".venv", "build", "dist", "site", "demo"}
    return [p for pattern in patterns for p in ROOT.rglob(pattern) if not skip & set(p.relative_to(ROOT).parts)]


@pytest.mark.parametrize("name", sorted(all_ops()))
def test_every_operator_has_a_kernel_and_cases(name: str) -> None:
    op = all_ops()[name]
    assert op.view or any(kernel.isa == "generic" for kernel in BINDINGS if kernel.op == name)
    assert list(op.cases())
    assert (ROOT / "compiler" / "ops" / f"{name.lower()}.py").is_file()


@pytest.mark.parametrize("name", sorted(all_ops()))
def test_every_constraint_has_a_rule(name: str) -> None:
    for constraint in all_ops()[name].constraints:
        assert (constraint.__doc__ or "").strip().endswith("."), constraint


@pytest.mark.parametrize("function", sorted(KERNELS))
def test_every_kernel_has_its_file_and_prototype(function: str) -> None:
    source = ROOT / "runtime_c" / "kernels" / KERNELS[function].isa / f"{function}.c"
    assert re.search(rf"^TINYC_KERNEL void {function}\(", source.read_text(), re.MULTILINE)
    assert f"void {function}(" in HEADER


def test_every_kernel_file_is_used() -> None:
    stems = {path.stem for path in (ROOT / "runtime_c" / "kernels").rglob("*.c")}
    assert stems == set(KERNELS)


def test_every_instruction_set_has_a_folder() -> None:
    folders = {path.name for path in (ROOT / "runtime_c" / "kernels").iterdir() if path.is_dir()}
    assert folders == set(instruction_sets())


def test_every_package_folder_has_an_init() -> None:
    for folder in {path.parent for path in (ROOT / "compiler").rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def test_every_source_has_a_licence_line() -> None:
    missing = [
        p
        for p in tracked("*.py", "*.c", "*.h", "*.S", "*.toml", "*.sh")
        if "SPDX-License-Identifier: Apache-2.0" not in p.read_text()[:400]
    ]
    assert [str(p.relative_to(ROOT)) for p in missing if p.name != "pyproject.toml"] == []


def test_stages_do_not_import_later_ones() -> None:
    order = ["importers", "passes", "lower", "memory", "emit", "projects", "verification", "report", "pipeline", "cli"]
    for position, stage in enumerate(order):
        path = ROOT / "compiler" / stage
        for source in path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
            imported = set(re.findall(r"^from \.+(\w+)", source.read_text(), re.MULTILINE))
            assert not imported & set(order[position + 1 :]), source


def test_no_absolute_paths() -> None:
    home = re.compile(r"/(?:home|root|Users)/\w")
    for path in tracked("*.py", "*.md", "*.toml", "*.c", "*.h", "*.j2", "Makefile"):
        assert not home.search(path.read_text()) or path == Path(__file__), path

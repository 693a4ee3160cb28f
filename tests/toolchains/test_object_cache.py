# SPDX-License-Identifier: Apache-2.0
"""The cache of objects is hit when nothing changed and never when something did."""

import os
import tempfile
from pathlib import Path

import pytest
from tinyc.errors import ToolError
from tinyc.targets.cpus import CPUS
from tinyc.toolchains import Toolchain, cache, compile_objects, install_line, try_kind
from tinyc.toolchains import compile as compiling

HOST = CPUS["host"]
SOURCES = {
    "a.c": b'#include "a.h"\nint a(void) { return A; }\n',
    "a.h": b'#include "deep.h"\nint a(void);\n',
    "deep.h": b"#define A 1\n",
    "b.c": b"int b(void);\nint b(void) { return 2; }\n",
    "other.h": b"#define OTHER 1\n",
}


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sources that really went through the compiler, with a cache of the test's own."""
    if not isinstance(try_kind("gcc", HOST), Toolchain):
        pytest.skip(f"no native compiler: {install_line('gcc', HOST)}")
    monkeypatch.setenv("TINYC_CACHE_DIR", str(tmp_path / "cache"))
    names: list[str] = []
    real = compiling._compile

    def spy(toolchain: Toolchain, source: str, *rest: object) -> compiling.Object:
        names.append(source)
        return real(toolchain, source, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(compiling, "_compile", spy)
    return names


def test_unchanged_sources_are_not_compiled_again(compiled: list[str]) -> None:
    first = compile_objects(SOURCES, HOST, toolchain="gcc")
    second = compile_objects(SOURCES, HOST, toolchain="gcc")
    assert sorted(compiled) == ["a.c", "b.c"]
    assert first == second


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"a.c": b'#include "a.h"\nint a(void) { return A + 1; }\n'}, ["a.c"]),
        ({"a.h": b'#include "deep.h"\nint a(void);\nint c(void);\n'}, ["a.c"]),
        ({"deep.h": b"#define A 3\n"}, ["a.c"]),
        ({"other.h": b"#define OTHER 2\n"}, []),
        ({"b.c": b'#define NAME "other.h"\n#include NAME\nint b(void);\nint b(void) { return OTHER; }\n'}, ["b.c"]),
    ],
    ids=["source", "header", "header of a header", "header of nobody", "include by macro"],
)
def test_a_change_compiles_what_depends_on_it(
    change: dict[str, bytes], expected: list[str], compiled: list[str]
) -> None:
    compile_objects(SOURCES, HOST, toolchain="gcc")
    compiled.clear()
    compile_objects({**SOURCES, **change}, HOST, toolchain="gcc")
    assert compiled == expected


def test_an_include_by_macro_follows_every_header(compiled: list[str]) -> None:
    source = b'#define NAME "other.h"\n#include NAME\nint b(void);\nint b(void) { return OTHER; }\n'
    compile_objects({**SOURCES, "b.c": source}, HOST, toolchain="gcc")
    compiled.clear()
    compile_objects({**SOURCES, "b.c": source, "other.h": b"#define OTHER 2\n"}, HOST, toolchain="gcc")
    assert compiled == ["b.c"]


def test_flags_defines_and_compiler_belong_to_the_key(compiled: list[str]) -> None:
    compile_objects(SOURCES, HOST, toolchain="gcc")
    for options in ({"optimize": "-Os"}, {"defines": {"X": None}}, {"defines": {"X": "1"}}, {"defines": {"X": "2"}}):
        compiled.clear()
        compile_objects(SOURCES, HOST, toolchain="gcc", **options)  # type: ignore[arg-type]
        assert sorted(compiled) == ["a.c", "b.c"], options
    if isinstance(try_kind("zig", HOST), Toolchain):
        compiled.clear()
        compile_objects(SOURCES, HOST, toolchain="zig")
        assert sorted(compiled) == ["a.c", "b.c"]


def test_the_table_of_flags_belongs_to_the_key(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    compile_objects(SOURCES, HOST, toolchain="gcc")
    monkeypatch.setattr("tinyc.toolchains.flags.COMMON", ("-std=c99", "-ffunction-sections"))
    compile_objects(SOURCES, HOST, toolchain="gcc")
    assert sorted(compiled) == ["a.c", "a.c", "b.c", "b.c"]


def test_a_damaged_entry_is_made_again(compiled: list[str], tmp_path: Path) -> None:
    first = compile_objects(SOURCES, HOST, toolchain="gcc")
    for entry in (tmp_path / "cache").glob("*.o"):
        entry.write_bytes(entry.read_bytes()[:-7])
    compiled.clear()
    assert compile_objects(SOURCES, HOST, toolchain="gcc") == first
    assert sorted(compiled) == ["a.c", "b.c"]


def test_a_failed_compilation_leaves_nothing(compiled: list[str], tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        compile_objects({"x.c": b"#error\n"}, HOST, toolchain="gcc")
    assert compiled == ["x.c"]
    assert list((tmp_path / "cache").iterdir()) == []


def test_zig_reports_the_stack_although_it_has_a_cache_of_its_own(compiled: list[str], tmp_path: Path) -> None:
    cpu = CPUS["cortex-m4"]
    if not isinstance(try_kind("zig", cpu), Toolchain):
        pytest.skip("no zig: pip install 'tinyc[emulate]'")
    source = {"s.c": b"int s(int i);\nint s(int i) { volatile int x[30]; x[i] = 1; return x[i / 2]; }\n"}
    for _ in range(2):
        assert compile_objects(source, cpu, toolchain="zig").stack_usage["s.c"]["s"] >= 120
        for entry in (tmp_path / "cache").glob("*.o"):
            entry.unlink()
    assert compiled == ["s.c", "s.c"]


def test_the_key_sees_where_parts_end() -> None:
    assert cache.key([b"ab", b"c"]) != cache.key([b"a", b"bc"])


def test_pruning_drops_what_was_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYC_CACHE_DIR", str(tmp_path))
    for number in range(4):
        os.utime(cache.store(f"entry{number}", bytes(100)), (number, number))
    cache.load("entry0")
    cache.prune(limit=400)
    assert len(list(tmp_path.iterdir())) == 4
    cache.prune(limit=399)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["entry0"] or sorted(
        path.name for path in tmp_path.iterdir()
    ) == ["entry0", "entry3"]


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYC_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "tinyc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "tinyc"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cache.folder().parent == tmp_path
    assert cache.folder().stat().st_mode & 0o077 == 0
    cache.folder().chmod(0o777)
    with pytest.raises(ToolError, match="TINYC_CACHE_DIR"):
        cache.folder()
    monkeypatch.setenv("TINYC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError, match="TINYC_CACHE_DIR"):
        cache.folder()

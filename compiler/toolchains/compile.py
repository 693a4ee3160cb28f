# SPDX-License-Identifier: Apache-2.0
"""One source to one object, with each kind of compiler. Objects are cached by everything that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolError
from . import cache, xtensa
from .elf import is_elf
from .find import Toolchain
from .flags import FLAGS, ZIG_EXTRA

#: Part of every cache key: change it when the steps from source to object change.
_RECIPE = "1"

#: Lines of a compiler's message that go into an error.
_MESSAGE_LINES = 8

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*(?:["<]([^">\n]+)[">]|(\w))', re.MULTILINE)


@dataclass(frozen=True)
class Object:
    """A compiled source: the object file's bytes and the frame of each of its functions in bytes."""

    data: bytes
    stack: Mapping[str, int]


def compile_source(
    toolchain: Toolchain, source: str, files: Mapping[str, bytes], folder: Path, options: Sequence[str]
) -> Object:
    """Compiles `source`, which lies with all `files` in `folder`, or takes the object from the cache.

    `options` are the optimization and the -D flags. Raises ToolError with the compiler's first lines when it fails.
    """
    name = cache.key(_dependencies(toolchain, source, files, options)) + ".o"
    known = _unpack(cache.load(name) or b"")
    if known is not None:
        return known
    made = _compile(toolchain, source, folder, options)
    cache.store(name, _pack(made))
    return made


def _pack(made: Object) -> bytes:
    """A cache entry: a checksum, the frames as JSON, the object."""
    content = json.dumps(dict(made.stack)).encode() + b"\n" + made.data
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def _unpack(entry: bytes) -> Object | None:
    """The object of a cache entry; None for one that was cut short or damaged."""
    checksum, _, content = entry.partition(b"\n")
    if checksum != hashlib.sha256(content).hexdigest().encode():
        return None
    frames, _, data = content.partition(b"\n")
    return Object(data, json.loads(frames))


def _dependencies(
    toolchain: Toolchain, source: str, files: Mapping[str, bytes], options: Sequence[str]
) -> Iterator[bytes]:
    flags = FLAGS[toolchain.cpu.name]
    compiler = [toolchain.kind, toolchain.version, *sorted(toolchain.tools.values())]
    for program in toolchain.tools.values():
        stat = os.stat(program)
        compiler.append(f"{stat.st_size} {stat.st_mtime_ns}")
    for part in (_RECIPE, *compiler, toolchain.cpu.name, repr(flags), *flags.common, *ZIG_EXTRA, *options, source):
        yield part.encode()
    for name in _included(source, files):
        yield name.encode()
        yield files[name]


def _included(source: str, files: Mapping[str, bytes]) -> list[str]:
    """`source` and every given file that it may include, directly or not; all headers if an include is a macro."""
    found = {source}
    pending = [source]
    while pending:
        for quoted, macro in _INCLUDE.findall(files[pending.pop()]):
            wanted = quoted.decode(errors="replace").split("/")[-1]
            for name in files:
                is_wanted = name.endswith(".h") if macro else name.split("/")[-1] == wanted
                if is_wanted and name not in found:
                    found.add(name)
                    pending.append(name)
    return sorted(found)


def _compile(toolchain: Toolchain, source: str, folder: Path, options: Sequence[str]) -> Object:
    with tempfile.TemporaryDirectory(prefix="tinyc-") as work:
        made = Path(work, "out.o")
        step = {"zig": _with_zig, "gcc": _with_gcc, "clang": _with_clang}[toolchain.kind]
        frames = step(toolchain, source, folder, options, made)
        data = made.read_bytes() if made.is_file() else b""
    if toolchain.cpu.name != "host" and not is_elf(data):
        raise ToolError(toolchain.description, f"compiling {source} left no object file")
    return Object(data, frames)


def _with_zig(toolchain: Toolchain, source: str, folder: Path, options: Sequence[str], made: Path) -> dict[str, int]:
    """Zig would take a known object from its own cache, without the stack report: give it an empty local cache."""
    flags = FLAGS[toolchain.cpu.name]
    report = made.with_suffix(".su")
    command = [toolchain.tools["cc"], "cc", *(flags.zig or ()), *ZIG_EXTRA, *flags.common, *options, "-I."]
    if source.endswith(".c"):
        command += ["-Xclang", "-stack-usage-file", "-Xclang", str(report)]
    environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": str(made.parent / "zig")}
    run_tool(toolchain, [*command, "-c", source, "-o", str(made)], folder, f"compiling {source}", environment)
    return _read_frames(report)


def _with_gcc(toolchain: Toolchain, source: str, folder: Path, options: Sequence[str], made: Path) -> dict[str, int]:
    flags = FLAGS[toolchain.cpu.name]
    command = [toolchain.tools["cc"], *(flags.gcc or ()), *flags.common, *options, "-I."]
    command += ["-fstack-usage"] if source.endswith(".c") else []
    run_tool(toolchain, [*command, "-c", source, "-o", str(made)], folder, f"compiling {source}")
    return _read_frames(made.with_suffix(".su"))


def _with_clang(toolchain: Toolchain, source: str, folder: Path, options: Sequence[str], made: Path) -> dict[str, int]:
    """C to LLVM's intermediate form, to assembly, repaired, to an object: clang-22 does not know the ESP32's core."""
    flags = FLAGS[toolchain.cpu.name]
    tools, llc = toolchain.tools, flags.llc or ()
    what = f"compiling {source}"
    assembly = made.with_suffix(".s")
    if source.endswith(".S"):
        assembly.write_bytes((folder / source).read_bytes())
        frames: dict[str, int] = {}
    else:
        middle = made.with_suffix(".ll")
        clang = [tools["clang"], "--target=xtensa-none-elf", *flags.common, *options, "-I.", "-S", "-emit-llvm"]
        run_tool(toolchain, [*clang, source, "-o", str(middle)], folder, what)
        code = ["-O2", "-mtriple=xtensa-none-elf", *llc, "--function-sections", "--data-sections", "-filetype=asm"]
        run_tool(toolchain, [tools["llc"], *code, str(middle), "-o", str(assembly)], folder, what)
        text = assembly.read_text()
        frames = xtensa.stack_usage(text)
        assembly.write_text(xtensa.place_literals(text))
    assembler = [tools["mc"], "-triple=xtensa-none-elf", *llc, "-filetype=obj", str(assembly), "-o", str(made)]
    run_tool(toolchain, assembler, folder, what)
    return frames


def _read_frames(report: Path) -> dict[str, int]:
    """`file.c:12:5:name<TAB>48<TAB>static`: name → bytes; the larger one where a name comes twice."""
    frames: dict[str, int] = {}
    if report.is_file():
        for line in report.read_text(errors="replace").splitlines():
            place, size, *_ = line.split("\t")
            name = place.rsplit(":", 1)[-1]
            frames[name] = max(frames.get(name, 0), int(size))
    return frames


def run_tool(
    toolchain: Toolchain, command: Sequence[str], folder: Path, what: str, environment: Mapping[str, str] | None = None
) -> str:
    """Runs a compiler step in `folder`; its messages. Raises ToolError with the first of them when it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", env=environment, check=False
        )
    except OSError as error:
        raise ToolError(toolchain.description, f"{what} failed: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()][:_MESSAGE_LINES]
        message = "".join(f"\n    {line}" for line in lines) or f" with exit status {done.returncode}"
        raise ToolError(toolchain.description, f"{what} for {toolchain.cpu.title} failed:{message}")
    return done.stderr

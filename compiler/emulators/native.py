# SPDX-License-Identifier: Apache-2.0
"""Shared libraries for this computer, built once from runtime_c/emulation/ into the cache."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import ToolError
from ..resources import resource
from ..targets.cpus import find_cpu
from ..toolchains import cache, find

_SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")

#: A plugin's functions come from the program that loads it.
_LINK = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()


def library(source: str, defines: Mapping[str, str] | None = None) -> Path:
    """The shared library made from runtime_c/emulation/<source>. Raises ToolError without a native compiler."""
    folder = resource("runtime_c") / "emulation"
    flags = [f"-D{name}={value}" for name, value in sorted((defines or {}).items())]
    compiler = find(find_cpu("host"))
    texts = [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in (".c", ".h")]
    name = cache.key(
        [source.encode(), compiler.version.encode(), sys.platform.encode(), *map(str.encode, flags), *texts]
    )
    made = cache.folder() / f"{Path(source).stem}-{name[:32]}{_SUFFIX}"
    if made.is_file():
        made.touch()
        return made
    command = [compiler.tools["cc"], *(("cc", "-fno-sanitize=all") if compiler.kind == "zig" else ())]
    with tempfile.TemporaryDirectory(prefix="tinyc-") as work:
        out = Path(work, f"out{_SUFFIX}")
        options = ["-std=c99", "-O2", "-g0", "-shared", "-fPIC", "-fvisibility=hidden", *flags, *_LINK]
        done = subprocess.run(
            [*command, *options, str(folder / source), "-o", str(out)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0 or not out.is_file():
            message = (done.stderr.strip().splitlines() or ["no message"])[0]
            raise ToolError(compiler.description, f"compiling {source} for this computer failed: {message}")
        return cache.store(made.name, out.read_bytes())

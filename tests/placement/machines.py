# SPDX-License-Identifier: Apache-2.0
"""Boards for tests: emulated machines whose memories are declared smaller than they are."""

from __future__ import annotations

from pathlib import Path

from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph, Node, Quantization, Tensor

_TEXT = """\
name = "{name}"
title = "A machine with {name} memories"
cpu = "{cpu}"
clock_hz = 25_000_000
frameworks = ["baremetal"]
sources = ["https://example.org/facts"]
[console]
uart = "semihosting"
baud = 0
[emulator]
qemu = "{qemu}"
"""

_MEMORY = """\
[[memory]]
name = "{}"
kind = "{}"
origin = {:#x}
size = {}
wait = {}
cache = {}
"""

#: name, kind, origin, size, wait, cache
Rows = list[tuple[str, str, int, int, int, int]]


def board_file(folder: Path, rows: Rows, cpu: str = "cortex-m7", qemu: str = "mps2-an500") -> str:
    """Path of a board's .toml with these memories."""
    path = folder / "small.toml"
    text = _TEXT.format(name="small", cpu=cpu, qemu=qemu)
    path.write_text(text + "".join(_MEMORY.format(*row) for row in rows))
    return str(path)


def large_input(folder: Path) -> Path:
    """A model whose input, 16,384 bytes, is most of what it needs: two pools."""

    def tensor(name: str, side: int) -> Tensor:
        return Tensor(name, (1, side, side, 4), "int8", Quantization((0.05,), (0,)), None)

    options = {"padding": "VALID", "stride": (4, 4), "window": (4, 4), "activation": "NONE"}
    nodes = (Node("MAX_POOL_2D", (0,), (1,), options), Node("MAX_POOL_2D", (1,), (2,), options, index=1))
    graph = Graph(
        (tensor("image", 64), tensor("middle", 16), tensor("result", 4)), nodes, (0,), (2,), ("image",), ("result",)
    )
    path = folder / "pools.tflite"
    path.write_bytes(to_bytes(graph))
    return path

# SPDX-License-Identifier: Apache-2.0
"""Accelerators beside the processor: one folder each. A model compiled for one is an operator of its own in the graph.

A folder `compiler/accelerators/<name>/` has `program.py` with `ACCELERATOR`, an :class:`Accelerator`; discovery is by listing the
folders. A step of a program may be a call into an accelerator: then `<model>_run` takes the accelerator's context and can fail.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..errors import ModelError, UsageError

if TYPE_CHECKING:
    from ..boards import Board
    from ..emulators.base import Peer
    from ..graph import Array, Graph, Node
    from ..ops import Op
    from ..targets import Kernel


@dataclass(frozen=True)
class Simulation:
    """What stands for an accelerator in an emulated run.

    Attributes:
        peer: answers the program, see `Emulator.run`.
        outputs: what the program handed over so far.
        problem: what the accelerator did not take, or "".
        checked: bytes of transfers that were checked.
    """

    peer: Peer
    outputs: Callable[[], bytes]
    problem: Callable[[], str]
    checked: Callable[[], int]


@dataclass(frozen=True)
class Accelerator:
    """One accelerator.

    Attributes:
        name: of its folder, and of the argument of `<model>_run`.
        title: for messages.
        op: the operator that a compiled part is. Its `reference` is made-up where the arithmetic is not known, but the same for the
            same inputs.
        kernel: the C function that runs it.
        context: the C type of what `<model>_run` is given.
        header: the C header with that type.
        files: C files of the driver, from runtime_c/<name>/, beside the kernel's.
        arithmetic: whether `op.reference` is what the accelerator computes.
        proves: what an emulated run proves about its part, in one sentence.
        simulate: a stand-in for it, given the graph, what the program reads, and the values of all tensors for each run.
        stream: C files for the emulated program that reach the stand-in, from runtime_c/emulation/.
    """

    name: str
    title: str
    op: Op
    kernel: Kernel
    context: str
    header: str
    files: tuple[str, ...]
    proves: str
    simulate: Callable[[Graph, bytes, Sequence[Sequence[Array | None]]], Simulation]
    stream: tuple[str, ...]
    arithmetic: bool = False


@cache
def all_accelerators() -> Mapping[str, Accelerator]:
    """Every accelerator by the name of its operator."""
    found: dict[str, Accelerator] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            one: Accelerator = importlib.import_module(f".{module.name}.program", __name__).ACCELERATOR
            found[one.op.name] = one
    return found


def used_by(nodes: Iterable[Node]) -> Accelerator | None:
    """The accelerator of a graph's nodes, if it has one."""
    return next((all_accelerators()[node.op] for node in nodes if node.op in all_accelerators()), None)


def check_board(graph: Graph, board: Board) -> None:
    """Raises ModelError when `graph` needs an accelerator that the board does not have."""
    from ..boards import all_boards

    needed = used_by(graph.nodes)
    if needed is None or needed.name == board.accelerator:
        return
    having = [name for name, other in all_boards().items() if other.accelerator == needed.name]
    raise ModelError(
        graph.source.file_name or "model",
        f"it is compiled for the {needed.title}, which the board {board.name} does not have",
        expected=f"--board {' or '.join(having)}",
        hint="or give the original model, from before that compiler",
    )


def accelerator_warnings(graph: Graph) -> list[str]:
    """What a report must say about the part that is not on the processor."""
    needed = used_by(graph.nodes)
    if needed is None or needed.arithmetic:
        return []
    return [
        f"{needed.title}: what it computes is not verified, only that it is given the right bytes in the right order"
    ]


def refuse(graph: Graph, option: str, why: str) -> None:
    """Raises UsageError: an option that makes no sense with an accelerator, when `graph` uses one."""
    needed = used_by(graph.nodes)
    if needed is not None:
        raise UsageError(option, f"the model uses the {needed.title}: {why}")

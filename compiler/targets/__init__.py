# SPDX-License-Identifier: Apache-2.0
"""How machines compute operators. One folder per instruction set, one file per operator; discovery is by listing the folders.

A file `compiler/targets/<isa>/<op>.py` defines `KERNELS`, a tuple of :class:`Kernel`; `compiler/targets/<isa>/__init__.py` defines
`REQUIRES`, the features that a core must have. The kernel's C file is `runtime_c/kernels/<isa>/<function>.c`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ..graph import Layer
from ..program import Binding
from .cpus import Cpu


def always(layer: Layer) -> bool:
    """The predicate of a kernel that takes every layer of its operator."""
    return True


@dataclass(frozen=True)
class Kernel:
    """One way to compute one operator.

    Attributes:
        function: the C function, and the name of its file.
        op: TFLite operator name.
        bind: packs constants and says how the function is called.
        cost: estimated instructions for a layer; the cheapest applicable kernel is chosen.
        applies: on which layers it may be used.
        isa: the folder it lives in.
        partial: whether it is for a layer that is summed up over several calls (row streaming), and for no other.
        dtype: the element type of input 0 that it is for; None: `applies` says it.
        code: filled in by discovery: bytes of its code from `code_sizes.json`, for the choice between kernels.
    """

    function: str
    op: str
    bind: Callable[[Layer], Binding]
    cost: Callable[[Layer], float]
    applies: Callable[[Layer], bool] = always
    isa: str = "generic"
    code: int = 0
    partial: bool = False
    dtype: str | None = "int8"

    def takes(self, layer: Layer) -> bool:
        """Whether it computes `layer`."""
        return self.dtype in (None, layer.input(0).dtype) and self.applies(layer)


@cache
def instruction_sets() -> Mapping[str, frozenset[str]]:
    """The kernel folders by name, with the features a core needs for each."""
    return {
        module.name: importlib.import_module(f".{module.name}", __name__).REQUIRES
        for module in pkgutil.iter_modules(__path__)
        if module.ispkg
    }


@cache
def code_sizes() -> Mapping[str, int]:
    """Measured .text bytes by C function; `benchmarks/code_sizes.py` makes the table again."""
    sizes: dict[str, int] = json.loads((Path(__file__).parent / "code_sizes.json").read_text(encoding="utf-8"))
    return sizes


def _on(kernel: Kernel, cpu: Cpu) -> Kernel:
    """`kernel` with the cost it has on `cpu`."""
    if kernel.isa != "generic" or cpu.portable == 1.0:
        return kernel
    return replace(kernel, cost=lambda layer: cpu.portable * kernel.cost(layer))


@cache
def kernels_for(cpu: Cpu) -> Mapping[str, tuple[Kernel, ...]]:
    """All kernels that `cpu` can run, by operator name."""
    found: dict[str, list[Kernel]] = {}
    for isa, requires in instruction_sets().items():
        if requires <= cpu.features:
            package = importlib.import_module(f".{isa}", __name__)
            for module in pkgutil.iter_modules(package.__path__):
                if not module.name.startswith("_"):
                    for kernel in importlib.import_module(f".{isa}.{module.name}", __name__).KERNELS:
                        assert kernel.isa == isa, kernel.function
                        sized = replace(kernel, code=code_sizes().get(kernel.function, 0))
                        found.setdefault(kernel.op, []).append(_on(sized, cpu))
    return {op: tuple(kernels) for op, kernels in found.items()}

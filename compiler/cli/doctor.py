# SPDX-License-Identifier: Apache-2.0
"""`tinyc doctor`: which compilers and emulators work here, and how to get the others."""

from __future__ import annotations

import json
import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..emulators import choose_emulators, renode
from ..emulators.cores import CORES, QEMU_PACKAGES
from ..emulators.qemu import program_version
from ..emulators.unicorn import INSTALL as UNICORN_INSTALL
from ..emulators.unicorn import Unicorn
from ..targets.cpus import CPUS, Cpu
from ..toolchains import Toolchain, cache, install_line, kinds, try_kind
from ._help import HELP


@dataclass(frozen=True)
class Tool:
    """A compiler for one family of cores, or an emulator program. `version` is None when it is missing or broken."""

    name: str
    what_for: str
    version: str | None
    problem: str
    install: str


@dataclass(frozen=True)
class Core:
    """What can be done for one core here."""

    name: str
    title: str
    compilers: tuple[str, ...]
    emulators: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """All findings; `cache` is the folder of compiled objects."""

    tinyc: str
    python: str
    cache: str
    compilers: tuple[Tool, ...]
    emulators: tuple[Tool, ...]
    cores: tuple[Core, ...]


def examine() -> Diagnosis:
    """Tries every compiler on every core and asks every emulator for its version; one or two seconds."""
    pairs = [(kind, cpu) for cpu in CPUS.values() for kind in kinds(cpu)]
    with ThreadPoolExecutor(2) as pool:
        tried = dict(zip(pairs, pool.map(lambda pair: try_kind(*pair), pairs), strict=True))
    return Diagnosis(
        __version__,
        platform.python_version(),
        str(cache.folder()),
        _compilers(tried),
        _emulators(),
        tuple(_core(cpu, tried) for cpu in CPUS.values()),
    )


def _compilers(tried: dict[tuple[str, Cpu], Toolchain | str]) -> tuple[Tool, ...]:
    """One line for each kind and family: the first core of a family that fails tells the problem."""
    found: dict[tuple[str, str], Tool] = {}
    for (kind, cpu), result in tried.items():
        known = found.get((kind, cpu.family))
        if known is not None and (known.version is None or isinstance(result, Toolchain)):
            continue
        version, problem = (result.description, "") if isinstance(result, Toolchain) else (None, result)
        found[kind, cpu.family] = Tool(kind, cpu.family, version, problem, install_line(kind, cpu))
    return tuple(found.values())


def _emulators() -> tuple[Tool, ...]:
    tools = [Tool("unicorn", "cortex-m, riscv", Unicorn().version(), "not installed", UNICORN_INSTALL)]
    for program, package in QEMU_PACKAGES.items():
        families = sorted({CPUS[name].family for name, runs in CORES.items() if runs.qemu == program})
        install = f"apt-get install {package}"
        tools.append(Tool(program, ", ".join(families), program_version(program), "missing or broken", install))
    found = "found" if renode.unavailable() is None else None
    tools.append(Tool("renode-test", "whole boards", found, "not on PATH", renode.INSTALL))
    return tuple(tools)


def _core(cpu: Cpu, tried: dict[tuple[str, Cpu], Toolchain | str]) -> Core:
    compilers = tuple(kind for kind in kinds(cpu) if isinstance(tried[kind, cpu], Toolchain))
    emulators = tuple(emulator.name for emulator in choose_emulators(cpu)) if compilers else ()
    return Core(cpu.name, cpu.title, compilers, emulators)


def _tools_table(title: str, tools: tuple[Tool, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "for", "version", "to install"):
        table.add_column(heading, overflow="fold")
    for tool in tools:
        found = tool.version is not None
        version = tool.version if tool.version is not None else f"[red]{_plain(tool.problem)}[/red]"
        table.add_row(tool.name, tool.what_for, version, "" if found else _plain(tool.install))
    return table


def _plain(text: str) -> str:
    """`text` with its square brackets kept from rich's markup: `tinyc[emulate]`."""
    return text.replace("[", r"\[")


def _cores_table(cores: tuple[Core, ...]) -> Table:
    table = Table(title="Cores", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "core", "builds with", "verified in"):
        table.add_column(heading, overflow="fold")
    for core in cores:
        none = "[red]nothing[/red]"
        table.add_row(core.name, core.title, ", ".join(core.compilers) or none, ", ".join(core.emulators) or none)
    return table


@click.command("doctor", context_settings=HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(as_json: bool) -> None:
    """Show which compilers and emulators work here, and how to install the others."""
    console = Console()
    if as_json:
        click.echo(json.dumps(asdict(examine()), indent=2))
        return
    with console.status("trying the compilers"):
        found = examine()
    console.print(f"tinyc {found.tinyc}, Python {found.python}, cache {found.cache}", highlight=False)
    for table in (
        _tools_table("Compilers", found.compilers),
        _tools_table("Emulators", found.emulators),
        _cores_table(found.cores),
    ):
        console.print()
        console.print(table)

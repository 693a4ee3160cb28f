# SPDX-License-Identifier: Apache-2.0
"""The `renode/` folder of a project: a platform of our own, a script, a robot test, and the firmware they boot.

The vendor's framework would touch clocks and other peripherals that Renode models only partly or not at all (the
ESP32 family), and Renode's own platform files have more memory than the chips and fetch register descriptions from the
network. So the firmware is the model, the console and one UART, and the platform is the core, the chip's memories and
that UART. Commands and keywords are those seen to work in Renode 1.16.1.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..boards import Board, Renode
from ..errors import UsageError
from ..targets.cpus import CPUS
from ._cores import C_FLAGS, core_build
from ._link import link_script
from ._render import copy, render, values
from .info import Firmware

UART_SOURCES = {
    "UART.STM32_UART": "uart_stm32.c",
    "UART.STM32F7_USART": "uart_stm32f7.c",
    "UART.NRF52840_UART": "uart_nrf52840.c",
    "UART.CMSDK_APB_UART": "uart_cmsdk.c",
    "UART.ESP32_UART": "uart_esp32.c",
}

_HEADERS = ("tinyc_host.h", "tinyc_startup.h")
XTENSA_ROM = {"name": "rom", "origin": 0x40000000, "size": 0x60000}


def _memories(board: Board, renode: Renode) -> list[dict[str, object]]:
    regions: list[dict[str, object]] = [
        {"name": region.name, "origin": region.origin, "size": region.size} for region in board.memory
    ]
    if renode.code_origin:
        regions.append({"name": "code", "origin": renode.code_origin, "size": board.main_memory("flash").size})
    if CPUS[board.cpu].family == "xtensa":
        regions.append(XTENSA_ROM)
    return regions


def _startup(board: Board) -> tuple[list[str], list[str]]:
    """Files from runtime_c/startup, and files of our own in templates/renode."""
    own = ["reset_xtensa.S", "arithmetic_xtensa.c"] if CPUS[board.cpu].family == "xtensa" else []
    return list(core_build(board).startup), own


def has_renode(firmware: Firmware) -> bool:
    """Whether the project has the folder: the robot test is for one model."""
    return firmware.info.board.emulator.renode is not None and not firmware.several


def renode_files(firmware: Firmware, *, model_path: str, console_path: str) -> Mapping[str, bytes]:
    """The folder; the paths say where the model's and the console's sources are, relative to it."""
    info, board = firmware.info, firmware.info.board
    renode = board.emulator.renode
    assert renode is not None, board.name
    if renode.uart_model not in UART_SOURCES:
        raise UsageError(
            f"board '{board.name}': emulator.renode.uart_model",
            f"is '{renode.uart_model}'",
            expected=" or ".join(UART_SOURCES),
        )
    startup, own = _startup(board)
    cpu, build = CPUS[board.cpu], core_build(board)
    first_flash = next(region for region in board.memory if region.kind == "flash")
    known = values(firmware) | {
        "renode": renode,
        "family": cpu.family,
        "memories": _memories(board, renode),
        "has_dwt": cpu.name != "cortex-m0plus",
        "has_mve": "mve" in cpu.features,
        "vector_table": first_flash.origin if cpu.family == "cortex-m" else 0,
        "quiet_uart": renode.uart_model == "UART.ESP32_UART",
        "golden": [(vector.input.hex(), vector.output.hex()) for vector in info.vectors],
        "model_path": model_path,
        "console_path": console_path,
        "uart_source": UART_SOURCES[renode.uart_model],
        "startup": [*startup, *own],
        "compiler": build.compiler,
        "flags": build.flags,
        "c_flags": C_FLAGS,
        "processor": build.processor,
    }
    templates = ["main.c", "start.c", "uart.h", UART_SOURCES[renode.uart_model], *own]
    return {
        **{
            f"renode/{board.name}.{kind}": render(f"renode/board.{kind}.j2", **known)
            for kind in ("repl", "resc", "robot")
        },
        "renode/CMakeLists.txt": render("renode/CMakeLists.txt.j2", **known),
        "renode/README.md": render("renode/README.md.j2", **known),
        "renode/toolchain.cmake": render("cmake/toolchain.cmake.j2", **known),
        "renode/link.ld": link_script(board, code_origin=renode.code_origin),
        **{f"renode/{name}": copy(f"renode/{name}") for name in templates},
        **{f"renode/{name}": copy(f"startup/{name}", "runtime_c") for name in (*startup, *_HEADERS)},
    }

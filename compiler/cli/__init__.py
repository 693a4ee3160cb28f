# SPDX-License-Identifier: Apache-2.0
"""The `tinyc` command. One file per subcommand, each defining `command`; discovery is by listing the folder."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import signal
import sys
from types import FrameType

import click

from .. import __version__
from ..errors import TinycError, suggestion
from ._help import HELP

_ORDER = ("build", "quantize", "verify", "check-plan", "inspect", "bench", "boards", "doctor")


class _Commands(click.Group):
    """Imports a subcommand when it is used, so that `tinyc --help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        modules = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
        names = [name.replace("_", "-") for name in modules]
        return sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            raise click.UsageError(f"no command '{cmd_name}': {suggestion(cmd_name, self.list_commands(ctx))}", ctx)
        module = importlib.import_module(f".{cmd_name.replace('-', '_')}", __name__)
        command: click.Command = module.command
        return command


@click.group(cls=_Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="tinyc")
def cli() -> None:
    """A TinyML compiler: a .tflite model in, verified firmware in plain C out."""


def _terminated(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the program as an exception does, so that temporary folders and other processes go with it."""
    sys.exit(128 + number)


def main() -> None:
    """Entry point: errors a user can act on are printed without a traceback, with the exit code of their kind."""
    for stream in (sys.stdout, sys.stderr):  # a terminal or pipe that cannot show a character gets `?`
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with contextlib.suppress(ValueError):  # not the main thread: signals are somebody else's
        signal.signal(signal.SIGTERM, _terminated)
    try:
        cli.main(prog_name="tinyc", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except TinycError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        place = error.filename or "system"
        click.echo(f"error: {place}: {error.strerror or error}", err=True)
        sys.exit(4)
    except MemoryError:
        click.echo("error: not enough memory for this model on this computer", err=True)
        sys.exit(4)
    except Exception as error:
        if os.environ.get("TINYC_DEBUG"):
            raise
        click.echo(
            f"error: internal error in tinyc {__version__}: {type(error).__name__}: {error}\n"
            "  what to do: please report it with the model; TINYC_DEBUG=1 shows where it happened",
            err=True,
        )
        sys.exit(4)

# SPDX-License-Identifier: Apache-2.0
"""What all commands share: `-h` works like `--help`, also when a command is used without the group; long lists of options have
headings."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import click

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


#: Headings, besides "Options".
QUANTIZATION = "Quantization of float models"
DATA = "Calibration and evaluation data"


class Sections(click.Command):
    """A command whose `--help` shows options of a section of their own under its heading: see `under`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {"Options": [], QUANTIZATION: [], DATA: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                rows[getattr(parameter, "section", "Options")].append(record)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def under(heading: str, names: Collection[str], command: Callable[..., Any]) -> None:
    """Puts the options called `names`, which decorators have just given to `command`, under `heading` in a `Sections` command."""
    for parameter in getattr(command, "__click_params__", ()):
        if parameter.name in names:
            parameter.section = heading

# SPDX-License-Identifier: Apache-2.0
"""`tinyc check-plan`: the memory plan of a build, checked again from its report alone."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..check_plan import check_plan
from ..errors import ModelError
from ._help import HELP

#: Bytes of a report that are read; those of the largest networks have less than a tenth of it.
LARGEST = 16 << 20


@click.command("check-plan", context_settings=HELP)
@click.argument("report", type=click.Path(path_type=Path))
def command(report: Path) -> None:
    """Check the memory plan in REPORT, a report.json that `tinyc build` wrote.

    Lifetimes, disjointness, allowed overlaps, alignment, size and lower bound are computed again from the layers in the report, by
    code that shares nothing with the planner. Exit code 1 names the first thing that is wrong.
    """
    click.echo(check_plan(read_report(report), str(report)))


def read_report(path: Path) -> object:
    """The JSON of a report; ModelError when it is none."""
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(
                str(path), f"is larger than {LARGEST:,} B", expected="a report.json that `tinyc build` wrote"
            )
        return json.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError) as error:
        found = error.strerror if isinstance(error, OSError) else "is not JSON"
        raise ModelError(
            str(path), found or "cannot be read", expected="a report.json that `tinyc build` wrote"
        ) from None

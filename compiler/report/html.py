# SPDX-License-Identifier: Apache-2.0
"""report.html: all of the report on one page that needs no network and no script."""

from __future__ import annotations

from ..emit import environment
from . import LayerRow, Report
from .picture import picture

#: The page's file, beside report.json.
PAGE = "report.html"


def page(report: Report) -> str:
    """The page. Same report, same text."""
    return (
        environment()
        .get_template("report/report.html.j2")
        .render(report=report, picture=picture(report), per_mac=per_mac, shape=shape, proof=proof(report))
    )


def per_mac(row: LayerRow) -> str:
    """Instructions per multiply-accumulate, where both are known."""
    return f"{row.instructions / row.macs:.2f}" if row.instructions is not None and row.macs else ""


def shape(row: LayerRow) -> str:
    return "×".join(str(extent) for extent in row.output_shape)


def proof(report: Report) -> str:
    """What the plan's certificate says, in one sentence."""
    plan = report.plan
    if plan.size == plan.lower_bound:
        return (
            f"The lower bound of {plan.lower_bound:,} B is met: for these kernels in this order no plan can be smaller."
        )
    if plan.optimal:
        return (
            f"The lower bound is {plan.lower_bound:,} B, {plan.size - plan.lower_bound:,} B less; an exhaustive search has proved "
            "that for these kernels in this order no plan is smaller."
        )
    return (
        f"The lower bound is {plan.lower_bound:,} B, {plan.size - plan.lower_bound:,} B less; it is not proved that no plan is "
        "smaller."
    )

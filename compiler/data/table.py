# SPDX-License-Identifier: Apache-2.0
"""CSV files: one sample per row, and maybe a column of labels."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from ..errors import ModelError, suggestion
from ..graph import Array, Tensor
from .arrays import LABEL_NAMES, real_values
from .preprocessing import Preprocessing
from .select import Sample

#: Cells in a row, and characters in a line.
MAX_CELLS: Final = 1 << 22
MAX_LINE: Final = 1 << 27

_LABEL_NAMES: Final = (*LABEL_NAMES, "class")


@dataclass(frozen=True)
class Layout:
    """What the first rows say: whether there is a header, the cells per row, and the label's column if any."""

    header: tuple[str, ...]
    cells: int
    label: int | None


def csv_samples(path: Path, tensor: Tensor, label_column: str | None, preprocessing: Preprocessing) -> Iterator[Sample]:
    """The rows of a .csv file as samples named `file.csv:line`. Raises ModelError naming line and column."""
    rows = read_rows(path)
    first = [row for _, row in zip(range(2), read_rows(path), strict=False)]
    if not first:
        raise ModelError(str(path), "is empty", expected="one sample per row")
    layout = find_layout(path, [row for _, row in first], math.prod(tensor.shape[1:]), label_column)
    for line, row in rows:
        if layout.header and line == first[0][0]:
            continue
        where = f"{path.name}:{line}"
        if len(row) != layout.cells:
            raise ModelError(f"{path}:{line}", f"{len(row)} cells", expected=f"{layout.cells}, as in the first row")
        label = None if layout.label is None else row[layout.label].strip()
        cells = [cell for column, cell in enumerate(row) if column != layout.label]
        raw = _numbers(path, line, cells)
        yield Sample(where, (real_values(where, raw, tensor, preprocessing),), label)


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank; cells are separated by comma, semicolon or tab."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = file.readline(MAX_LINE)
            file.seek(0)
            separator = max(",;\t", key=start.count)
            reader = csv.reader(_lines(path, file), delimiter=separator)
            for row in reader:
                if len(row) > MAX_CELLS:
                    raise ModelError(f"{path}:{reader.line_num}", f"{len(row)} cells", expected=f"at most {MAX_CELLS}")
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except FileNotFoundError:
        raise ModelError(str(path), "no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(str(path), f"not a CSV file: {error}", expected="UTF-8 text, one sample per row") from None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """The file's lines; ModelError for one that is too long to be a sample."""
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise ModelError(
                f"{path}:{number}", f"a line of more than {MAX_LINE} characters", expected="one sample per line"
            )
        yield line


def find_layout(path: Path, first: Sequence[Sequence[str]], elements: int, label_column: str | None) -> Layout:
    """Header and label column from the first two rows. Raises ModelError when the columns do not fit the input."""
    has_header = _is_header(first)
    header = tuple(cell.strip() for cell in first[0]) if has_header else ()
    cells = len(first[0])
    if has_header and len(first) == 1:
        raise ModelError(str(path), "has a header and no rows", expected="one sample per row")
    sample = first[1] if has_header else first[0]
    label = _named_column(path, header, cells, label_column)
    if label is None and cells == elements + 1:
        label = _guessed_column(header, sample)
    if cells - (label is not None) != elements:
        raise ModelError(
            str(path),
            f"{cells} columns" + (f", of which {header[label] if header else f'number {label}'} is the label" if label is not None else ""),
            expected=f"{elements} values per row, as the model's input has, and at most one label",
            hint="name the label's column: --label-column NAME or -1 for the last" if cells == elements + 1 else "",
        )  # fmt: skip
    return Layout(header, cells, label)


def _is_header(first: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has text where the second has a number, or no number at all."""
    if not any(_is_number(cell) for cell in first[0]):
        return True
    below = first[1] if len(first) > 1 else []
    return any(not _is_number(a) and _is_number(b) for a, b in zip(first[0], below, strict=False))


def _named_column(path: Path, header: Sequence[str], cells: int, wanted: str | None) -> int | None:
    if wanted is None:
        return None
    if wanted in header:
        return header.index(wanted)
    try:
        number = int(wanted)
    except ValueError:
        hint = suggestion(wanted, header) if header else "the file has no header: give the column's number, from 0"
        raise ModelError(str(path), f"no column '{wanted}'", hint=hint) from None
    if not -cells <= number < cells:
        raise ModelError(str(path), f"no column {number}", expected=f"0 to {cells - 1}, or -1 for the last")
    return number % cells


def _guessed_column(header: Sequence[str], row: Sequence[str]) -> int | None:
    """The one column called like a label, else the one that is text."""
    called = [column for column, name in enumerate(header) if name.lower() in _LABEL_NAMES]
    texts = [column for column, cell in enumerate(row) if not _is_number(cell)]
    for found in (called, texts):
        if len(found) == 1:
            return found[0]
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(path: Path, line: int, cells: list[str]) -> Array:
    """float64; ModelError names the first cell that is no finite number."""
    try:
        numbers = np.array(cells, np.float64)
    except ValueError:
        numbers = np.array([_number(path, line, cell, column) for column, cell in enumerate(cells)], np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        found = f"value {bad[0]} is {cells[bad[0]].strip()}"
        raise ModelError(f"{path}:{line}", found, expected="a finite number", hint="remove the row")
    return numbers


def _number(path: Path, line: int, cell: str, column: int) -> float:
    """A cell's number; `column` counts the values alone, from 0."""
    try:
        return float(cell)
    except ValueError:
        shown = cell if len(cell) <= 40 else cell[:37] + "..."
        found = f"value {column} is '{shown}'" if cell.strip() else f"value {column} is missing"
        raise ModelError(f"{path}:{line}", found, expected="a number", hint="remove the row, or fill it in") from None

# SPDX-License-Identifier: Apache-2.0
"""Labels: from a file of their own or beside the samples, as class indices or regression targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from ..errors import ModelError, suggestion
from ..graph import Array
from .arrays import plain_label, read_npy
from .table import read_rows

#: The highest class index that is taken for one.
MAX_CLASS: Final = 1_000_000

_NAME_HEADERS: Final = ("name", "file", "filename", "path", "image", "sample")


def label_finder(path: Path) -> tuple[Callable[[int, str], object], Callable[[int], None]]:
    """(label of a sample by number and name, a check of how many samples came) for a file of labels.

    A .csv with two columns has `name,label`, where a name is a sample's path in its folder, its last part, or that without
    the extension; .npy, .txt and a .csv with one column have one label per sample, in order.
    """
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        if array.ndim == 0 or array.dtype.kind not in "fiubU":
            raise ModelError(str(path), f"{array.dtype}, shape {list(array.shape)}", expected="one label per sample")
        return _ordered(path, [plain_label(value) for value in array])
    rows = [[cell.strip() for cell in row] for _, row in read_rows(path)]
    widths = {len(row) for row in rows}
    if not rows:
        raise ModelError(str(path), "is empty", expected="`name,label` rows, or one label per line")
    if widths == {1}:
        header = rows[0][0].lower() in ("label", "labels", "class", "target", "y")
        return _ordered(path, [row[0] for row in rows[1 if header else 0 :]])
    if widths == {2}:
        header = rows[0][0].lower() in _NAME_HEADERS
        return _by_name(path, rows[1 if header else 0 :])
    raise ModelError(str(path), f"rows of {sorted(widths)} cells", expected="`name,label` rows, or one label per line")


def _ordered(path: Path, labels: Sequence[object]) -> tuple[Callable[[int, str], object], Callable[[int], None]]:
    def find(number: int, name: str) -> object:
        return labels[number] if number < len(labels) else None

    def check(found: int) -> None:
        if found != len(labels):
            raise ModelError(
                str(path),
                f"{len(labels)} labels for {found} samples",
                expected="one label per sample, in their order",
                hint="for files, `name,label` rows do not depend on an order",
            )

    return find, check


def _by_name(path: Path, rows: Sequence[Sequence[str]]) -> tuple[Callable[[int, str], object], Callable[[int], None]]:
    table: dict[str, str] = {}
    for name, label in rows:
        if table.setdefault(name.replace("\\", "/"), label) != label:
            raise ModelError(str(path), f"'{name}' has the labels '{table[name]}' and '{label}'", expected="one label")

    def find(number: int, name: str) -> object:
        whole = re.sub(r"(@\d+|\[\d+\])$", "", name)  # of a part such as `a.wav@16000` or `a.npy[3]`
        parts = PurePosixPath(whole)
        for key in (name, whole, parts.name, str(parts.with_suffix("")), parts.stem):
            if key in table:
                return table[key]
        raise ModelError(
            str(path),
            f"no label for '{whole}'",
            expected="a `name,label` row for each sample",
            hint=suggestion(whole, table),
        )

    return find, lambda found: None


def resolve(
    where: str, labels: Sequence[object], texts: Set[str], names: Sequence[str], known: Sequence[str]
) -> tuple[Array | None, tuple[str, ...]]:
    """Labels as int64 class indices or float32 targets, and the names of the classes.

    Args:
        where: for messages: the labels' source.
        labels: of each sample: None, a text, a number, or an array of numbers (one-hot, or several targets).
        texts: all labels that are texts, of samples that were not chosen too: a class keeps its number.
        names: the samples' names, for messages.
        known: the model's own class names, or none.

    Raises ModelError for samples without a label among others with one, and for names that the model does not have.
    """
    missing = [
        name
        for name, label in zip(names, labels, strict=True)
        if label is None or (isinstance(label, str) and not label)
    ]
    if len(missing) == len(labels):
        return None, tuple(known)
    if missing:
        found = f"{len(missing)} of {len(labels)} samples have no label, such as '{missing[0]}'"
        raise ModelError(where, found, expected="a label for every sample, or for none")
    if any(isinstance(label, np.ndarray) for label in labels):
        return _vectors(where, labels, names, known)
    if any(isinstance(label, str) for label in labels):
        return _texts(where, [str(label) for label in labels], texts, names, known)
    return _numbers(where, labels, names, known)


def _texts(
    where: str, labels: Sequence[str], texts: Set[str], names: Sequence[str], known: Sequence[str]
) -> tuple[Array | None, tuple[str, ...]]:
    """Names of the model's classes; else numbers, if all are; else names of classes in sorted order."""
    if not set(labels) <= set(known):
        if all(_as_number(text) is not None for text in texts):
            whole = all(isinstance(_as_number(text), int) for text in texts)
            return _numbers(where, [(int if whole else float)(label) for label in labels], names, known)
        if known:
            position = next(i for i, label in enumerate(labels) if label not in known)
            raise ModelError(
                where,
                f"label '{labels[position]}' of '{names[position]}' is none of the model's",
                expected=_listed(known),
                hint=suggestion(labels[position], known),
            )
    classes = tuple(known) if known else tuple(sorted({*texts, *labels}))
    index: Mapping[str, int] = {name: position for position, name in reversed(list(enumerate(classes)))}
    return np.array([index[label] for label in labels], np.int64), classes


def _as_number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def _numbers(
    where: str, labels: Sequence[object], names: Sequence[str], known: Sequence[str]
) -> tuple[Array | None, tuple[str, ...]]:
    if all(isinstance(label, int) for label in labels):  # bool is one, too
        limit = len(known) if known else MAX_CLASS
        for name, label in zip(names, labels, strict=True):
            if not isinstance(label, int) or not 0 <= label < limit:
                expected = f"0 to {limit - 1}" + (f", the model's {_listed(known)}" if known else "")
                raise ModelError(where, f"class {label} of '{name}'", expected=expected)
        return np.array(labels, np.int64), tuple(known)
    try:
        return _targets(where, np.array(labels, np.float64), names), ()
    except (TypeError, ValueError, OverflowError):
        strange = next((label for label in labels if not isinstance(label, int | float)), labels[0])
        expected = "a class (a whole number or a text), or numbers"
        raise ModelError(where, f"a label that is {type(strange).__name__}", expected=expected) from None


def _vectors(
    where: str, labels: Sequence[object], names: Sequence[str], known: Sequence[str]
) -> tuple[Array | None, tuple[str, ...]]:
    """Several numbers per sample: one-hot rows are classes, anything else targets."""
    arrays = [np.asarray(label) for label in labels]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or any(array.size == 0 or array.dtype.kind not in "fiub" for array in arrays):
        raise ModelError(where, f"labels of shapes {sorted(shapes)[:4]}", expected="numbers, equally many per sample")
    table = np.stack(arrays).reshape(len(arrays), -1)
    if ((table == 0) | (table == 1)).all() and (table.sum(axis=1) == 1).all():
        return _numbers(where, [int(i) for i in table.argmax(axis=1)], names, known)
    return _targets(where, table.astype(np.float64), names), ()


def _targets(where: str, values: Array, names: Sequence[str]) -> Array:
    with np.errstate(over="ignore"):
        targets: Array = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(targets.reshape(len(names), -1)).all(axis=1))
    if len(bad):
        raise ModelError(
            where, f"the target of '{names[bad[0]]}' is not finite", expected="numbers that float32 can hold"
        )
    return targets


def _listed(known: Sequence[str]) -> str:
    return ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")

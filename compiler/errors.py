# SPDX-License-Identifier: Apache-2.0
"""The errors a user can see, one class per exit code.

Every error says where it happened, what was expected, what was found and what to do. The command line prints them
without a traceback and exits with :attr:`TinycError.exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TinycError(Exception):
    """A problem that the user can act on.

    Args:
        where: the file, the operator and tensor, or the command-line option at fault.
        found: what was found there.
        expected: what was expected instead; may be empty.
        hint: what to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, where: str, found: str, *, expected: str = "", hint: str = "") -> None:
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(self.text())

    def text(self) -> str:
        """The message on several lines: where and what, then `expected:` and `what to do:` where known."""
        lines = [f"{self.where}: {self.found}"]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.hint:
            lines.append(f"  what to do: {self.hint}")
        return "\n".join(lines)


class ModelError(TinycError):
    """The model or the data is at fault (exit code 1)."""


class UsageError(TinycError):
    """The command line or an argument is at fault (exit code 2)."""

    exit_code = 2


class DoesNotFitError(TinycError):
    """The model does not fit the board (exit code 3)."""

    exit_code = 3


class ToolError(TinycError):
    """A compiler, an emulator or the file system is missing or failed (exit code 4)."""

    exit_code = 4


class MismatchError(TinycError):
    """The compiled program computes something else than the reference (exit code 5)."""

    exit_code = 5


def suggestion(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'esp32'?" for a misspelled name, or the list of known names when nothing is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known names: {', '.join(names)}"

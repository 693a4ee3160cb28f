# SPDX-License-Identifier: Apache-2.0
"""Enumerations of TFLite's option tables, as names. The raw options of a file hold their numbers."""

from __future__ import annotations

from collections.abc import Sequence

#: The schema's `Padding`, by number.
PADDINGS: Sequence[str] = ("SAME", "VALID")

#: The schema's `ActivationFunctionType`, by number.
ACTIVATION_TYPES: Sequence[str] = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")

#: The schema's `FullyConnectedOptionsWeightsFormat`, by number.
WEIGHTS_FORMATS: Sequence[str] = ("DEFAULT", "SHUFFLED4x16INT8")


def name_of(names: Sequence[str], number: int) -> str:
    """The name of an enumeration's value; an unknown number becomes `value 7`, which constraints then reject."""
    return names[number] if 0 <= number < len(names) else f"value {number}"

# SPDX-License-Identifier: Apache-2.0
"""How good a detector of anomalies is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def area_under_curve(scores: npt.NDArray[Any], anomalous: npt.NDArray[np.bool_]) -> float:
    """The share of pairs (anomalous, normal) in which the anomalous one has the greater score; equal ones count half.

    That is the area under the receiver operating characteristic.
    """
    above = scores[anomalous][:, None] - scores[~anomalous][None]
    return float((above > 0).mean() + (above == 0).mean() / 2)

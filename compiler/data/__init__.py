# SPDX-License-Identifier: Apache-2.0
"""Calibration and evaluation data from files, and the record of what was done to them.

dataset = tinyc.data.load("recordings", graph.input_tensors, tinyc.data.DataOptions(sample_rate=16000, features="mfcc"))
dataset.arrays            # one array [n, ...] per input
dataset.preprocessing     # what a device has to do with its own data
"""

from __future__ import annotations

from .dataset import Dataset
from .loading import load
from .options import DataOptions
from .preprocessing import Preprocessing

__all__ = ["DataOptions", "Dataset", "Preprocessing", "load"]

# SPDX-License-Identifier: Apache-2.0
"""tinyc's own quantization with its defaults, run like the peers: tinyc_int8.py FLOAT.tflite CALIBRATION.npy INT8.tflite. Prints JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from peak import peak_kib
from tinyc import __version__
from tinyc.exporters.tflite import to_bytes
from tinyc.importers.tflite import load
from tinyc.quantize import Settings, quantize


def main(source: str, calibration: str, quantized: str) -> None:
    samples = np.load(calibration)
    start = time.perf_counter()
    result = quantize(load(source), [samples], Settings())
    Path(quantized).write_bytes(to_bytes(result.graph))
    seconds = time.perf_counter() - start
    print(json.dumps({"version": __version__, "seconds": seconds, "peak_kib": peak_kib()}))


if __name__ == "__main__":
    main(*sys.argv[1:])

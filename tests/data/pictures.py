# SPDX-License-Identifier: Apache-2.0
"""Image files that need no library."""

from pathlib import Path

import numpy as np


def save_ppm(path: Path, image: np.ndarray) -> None:
    """uint8 [height, width, 1 or 3] as a binary PGM or PPM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, channels = image.shape
    path.write_bytes(b"P%d\n# made\n%d %d\n255\n" % (6 if channels == 3 else 5, width, height) + image.tobytes())

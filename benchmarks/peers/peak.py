# SPDX-License-Identifier: Apache-2.0
"""Peak memory of this process."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_kib() -> int:
    """KiB of the largest resident set so far. Linux's VmHWM where there is one: ru_maxrss keeps the size of the process that forked."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.is_file() else None
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

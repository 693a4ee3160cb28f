# SPDX-License-Identifier: Apache-2.0
"""Native runs on this computer."""

from __future__ import annotations

import platform
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ..targets.cpus import Cpu
from ..toolchains import Image
from .base import Run, bad_status, fault, too_slow


@dataclass(frozen=True)
class Host:
    """Runs images for the core `host`; counts nothing."""

    name: str = "host"

    def unavailable(self, cpu: Cpu) -> str | None:
        """Only native images run natively."""
        return None if cpu.name == "host" else f"{cpu.title} code does not run natively: use --emulator unicorn or qemu"

    def version(self) -> str | None:
        """System and processor."""
        return f"{platform.system()} {platform.machine()}"

    def run(
        self,
        image: Image,
        stdin: bytes,
        *,
        entry: str,
        marks: Sequence[str] = (),
        timeout: float,
        profile: bool = False,
    ) -> Run:
        """See Emulator.run; a native run needs no `entry` and no `marks`, and has no profile."""
        try:
            done = subprocess.run([image.elf], input=stdin, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise too_slow(image, self.name, timeout) from error
        if done.returncode < 0:
            raise fault(image, self.name, signal.strsignal(-done.returncode) or f"signal {-done.returncode}", None)
        if done.returncode:
            raise bad_status(image, self.name, done.returncode)
        return Run(done.stdout)

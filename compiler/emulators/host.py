# SPDX-License-Identifier: Apache-2.0
"""Native runs on this computer."""

from __future__ import annotations

import platform
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from ..targets.cpus import Cpu
from ..toolchains import Image
from .base import Peer, Run, bad_status, fault, too_slow


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
        peer: Peer | None = None,
    ) -> Run:
        """See Emulator.run; a native run needs no `entry` and no `marks`, and has no profile."""
        try:
            if peer is not None:
                status, output = talk([str(image.elf)], stdin, peer, timeout)
            else:
                done = subprocess.run([image.elf], input=stdin, capture_output=True, timeout=timeout, check=False)
                status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            raise too_slow(image, self.name, timeout) from error
        if status < 0:
            raise fault(image, self.name, signal.strsignal(-status) or f"signal {-status}", None)
        if status:
            raise bad_status(image, self.name, status)
        return Run(output)


def talk(command: Sequence[str], stdin: bytes, peer: Peer, timeout: float) -> tuple[int, bytes]:
    """Runs a command whose output `peer` answers: its exit status and all its output.

    Raises subprocess.TimeoutExpired; the messages of the program go to this one's.
    """
    output = bytearray()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            answer = stdin
            while True:
                _write_all(process.stdin, answer)
                written = process.stdout.read(1 << 16)
                if not written:
                    break
                output += written
                answer = peer(written)
            status = process.wait()
            if not timer.is_alive():
                raise subprocess.TimeoutExpired(command, timeout)
        finally:
            timer.cancel()
            process.kill()
    return status, bytes(output)


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    """What a program that has ended does not read is dropped."""
    view = memoryview(data)
    try:
        while view:
            view = view[pipe.write(view) or 0 :]
    except BrokenPipeError:
        return

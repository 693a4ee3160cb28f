#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The README's one command: makes .venv, installs tinyc with its pip-only emulator, builds the keyword-spotting example and verifies it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 (this script runs before pip has checked)
        print(f"tinyc needs Python 3.11 or newer; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if not (BIN / "tinyc").exists():
        print("installing tinyc into .venv (about a minute: a C compiler and an emulator come along) ...", flush=True)
        try:
            venv.create(ROOT / ".venv", with_pip=True)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"cannot make .venv: {error}\n  what to do: apt-get install python3-venv", file=sys.stderr)
            return 4
        pip = [
            str(BIN / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-e",
            f"{ROOT}[emulate]",
        ]
        if subprocess.run(pip).returncode != 0:
            return 4
    command = ["build", "examples/kws/kws.tflite", "--board", "nucleo_f446re", "-o", "demo/kws", "--layers"]
    print("$ tinyc " + " ".join(command), flush=True)
    return subprocess.run([str(BIN / "tinyc"), *command], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())

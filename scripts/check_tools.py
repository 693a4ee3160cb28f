# SPDX-License-Identifier: Apache-2.0
"""Fails when a tool that the test command installs is absent: a skipped emulator must not pass for a green run in CI."""

import json
import subprocess
import sys
from pathlib import Path


def main() -> int:
    doctor = subprocess.run(
        [str(Path(sys.executable).parent / "tinyc"), "doctor", "--json"], capture_output=True, text=True, check=True
    )
    facts = json.loads(doctor.stdout)
    missing = [core["name"] for core in facts["cores"] if not core["compilers"] or not core["emulators"]]
    if missing:
        print(
            f"these cores cannot be built and verified here, though the test command installs their tools: {', '.join(missing)}"
        )
        return 1
    print(f"all {len(facts['cores'])} cores can be built and verified here")
    return 0


if __name__ == "__main__":
    sys.exit(main())

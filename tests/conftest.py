# SPDX-License-Identifier: Apache-2.0
"""What all tests share: where the public models are, if they are."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "models"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(ROOT / "tests" / "ops"))


def shared_index() -> list[dict[str, Any]]:
    """The public models' index, or nothing when the folder is not beside the repository."""
    path = SHARED / "index.json"
    return json.loads(path.read_text()) if path.is_file() else []


def pytest_report_header(config: pytest.Config) -> str:
    count = len(shared_index())
    return (
        f"public models: {count} in shared/models"
        if count
        else "public models: shared/models is not beside the repository, their tests are skipped"
    )

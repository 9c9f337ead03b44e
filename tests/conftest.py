"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_DATA = SHARED / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the project; a run without it skips, CI's fails."""
    return _beside(SHARED_DATA)


@pytest.fixture(scope="session")
def cases() -> Path:
    """Small checkpoints and files of kinds that were once read wrongly."""
    return _beside(SHARED / "cases")


def _beside(folder: Path) -> Path:
    if not folder.is_dir():
        reason = f"{folder} is absent: it is not part of the project"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def recorded(shared_data: Path) -> Path:
    """Published outputs of Ryan, Held and Yang (2024) in their own layout."""
    return shared_data / "recorded" / "unintended-impacts"

"""What all tests share: where the optional data folder is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("NER_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of corpora and cases (``NER_SHARED``); tests skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no data folder at {SHARED}; set NER_SHARED to one")
    return SHARED

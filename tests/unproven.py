"""Tests that were written and never seen to pass on a quiet machine; they are run where somebody asks for them."""

import os

import pytest

UNPROVEN = pytest.mark.skipif(
    not os.environ.get("PERENNIAL_UNPROVEN"),
    reason="not yet seen to pass on a quiet machine (see CHANGELOG.md); PERENNIAL_UNPROVEN=1 runs it",
)

"""Sounds need the extra audio."""

import pytest

pytest.importorskip("soundfile")
pytest.importorskip("soxr")

"""Programs that tests need, and that a machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest


def require_age() -> None:
    """Skip a test where ``age`` is missing; but fail where `setup.sh`, run as root, would have installed it."""
    if shutil.which("age") is not None:
        return
    if os.geteuid() == 0 and shutil.which("apt-get") is not None:
        pytest.fail("the program age is missing, which tests/support/setup.sh servers installs")
    pytest.skip(reason="the program age is not installed (apt-get install age)")

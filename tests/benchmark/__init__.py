"""How fast the core is beside plain scripts: ``make bench``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# As pytest does it (pyproject.toml): the checkout is its own collection.
sys.path[:0] = [str(ROOT / ".ansible" / "collections"), str(ROOT)]

"""Check the laws for one case again; the file is named by the failure.

``PYTHONPATH=.ansible/collections python -m tests.property.replay FILE [MAJOR]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.property.case import Case
from tests.property.conftest import start
from tests.property.laws import Seen, check


def main(file: str, major: str = "18") -> None:
    """:raises AssertionError: as the test did."""
    case = Case.from_json(Path(file).read_text())
    print(case)
    server, seen = start(int(major)), Seen()
    try:
        check(server, case, seen)
    finally:
        server.remove()
    print("\n".join(["every law holds", *seen.lines()]))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Who holds a lease: written for people, and readable for the next run."""

from __future__ import annotations

import getpass
import os
import re
import socket


def holder_is_alive(holder: str) -> bool | None:
    """Whether the process that holds a lease runs on this machine; None when it is of another machine."""
    found = re.fullmatch(r".*@(?P<machine>.*), pid (?P<pid>\d+)", holder)
    if found is None or found["machine"] != socket.gethostname():
        return None
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def this_process() -> str:
    """Who holds the lease, for people and for :func:`holder_is_alive`: the ansible-playbook process, not its worker."""
    return f"{getpass.getuser()}@{socket.gethostname()}, pid {os.getppid()}"

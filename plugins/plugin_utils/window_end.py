"""The end of the maintenance window, once work has begun: no step begins after it."""

from __future__ import annotations

from datetime import datetime

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError


class WindowEnded(MultischemaError):
    """The window has ended before everything was done.

    :param done: how many steps were done before, of ``total``.
    :param end: the end, as it stands in the inventory.
    """

    def __init__(self, done: int, total: int, end: str) -> None:
        super().__init__(
            f"The maintenance window has ended ({end}): {done} of {count_of(total, 'step')} are done, and no other has begun.",
            "Changes are allowed only inside the window that was agreed on. The step that was under way then was finished, and the "
            "journal says exactly what is done. What has moved works where it is, under its old name too, for as long as you like.",
            "In the next window write that to multischema_maintenance_window and run the same playbook again: it goes on with the next "
            "step. Or go back, now or later: playbooks/rollback.yml is not held by the window.",
        )


def read_window_end(text: str) -> datetime | None:
    """Read the end of a window; None where there is none.

    :param text: ISO 8601 with a zone, or nothing.
    :raises ConfigurationError: when it is something else.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConfigurationError(
            f"The end of the maintenance window is {text!r}, which is not a time in ISO 8601 with a zone.",
            "No step may begin after it, so it has to be known exactly.",
            'Write it like "2026-03-02T04:00:00+01:00".',
        )
    return found

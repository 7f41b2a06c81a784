"""The errors that the core raises.

Every error carries three things, because an operator on a bad day needs all of them: what was found, why it is
refused, and what to write or run instead. Nothing in the core prints or exits; the modules and action plugins translate
these errors at the door.
"""

from __future__ import annotations

from typing import Any


class MultischemaError(Exception):
    """Something that stops the work, said for a person.

    :param found: what was found, in one sentence.
    :param why: why that is refused or cannot work.
    :param remedy: what to write or run instead.
    """

    def __init__(self, found: str, why: str = "", remedy: str = "") -> None:
        super().__init__(found)
        self.found = found.strip()
        self.why = why.strip()
        self.remedy = remedy.strip()
        self.result: dict[str, Any] = {}  # what had been reached, for the caller's report

    def __str__(self) -> str:
        parts = [self.found]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}")
        return "\n".join(parts)


class ConfigurationError(MultischemaError):
    """A ``multischema_*`` value cannot be used as it is written."""


class ConnectionFailed(MultischemaError):
    """The server cannot be reached, or does not let this role in."""


class ServerRefused(MultischemaError):
    """PostgreSQL answered a statement with an error.

    :param sqlstate: the five-character code of the error.
    :param statement: the statement that was sent.
    """

    def __init__(self, found: str, why: str = "", remedy: str = "", sqlstate: str = "", statement: str = "") -> None:
        super().__init__(found, why, remedy)
        self.sqlstate = sqlstate
        self.statement = statement


class PlanRefused(MultischemaError):
    """The saved plan cannot be applied: edited, of another database, refused by its findings, or out of date."""


class JournalError(MultischemaError):
    """The journal does not allow the work: another run holds the lease, or what it records is not what is there."""


class BackupRefused(MultischemaError):
    """A backup is not what was written, was not proved, or is of another database."""


class StepFailed(MultischemaError):
    """A step could not be done; its transaction was rolled back and the database is as the journal says.

    :param step_id: the step, for example ``move:public.orders``.
    :param connection_lost: it is not known here whether the step was done; the journal knows.
    """

    def __init__(self, step_id: str, found: str, why: str = "", remedy: str = "", *, connection_lost: bool = False) -> None:
        super().__init__(found, why, remedy)
        self.step_id = step_id
        self.connection_lost = connection_lost

"""The decision to go on without a receipt: it needs a reason that somebody else can understand later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

VARIABLE = "multischema_promotion_override"
FEWEST_WORDS = 4
SHORTEST = 20  # characters
_WORD = re.compile(r"[^\W\d_]{2,}")
EXAMPLE = f'{VARIABLE}: {{reason: "INC-4711, orders are lost since 14:00; the fix was tried on a restored copy"}}'


def override_reason(value: Any) -> str | None:
    """The reason, or None where nothing is overridden.

    :raises ConfigurationError: when there is no reason, or none that says anything.
    """
    if value is None or value in ("", {}):
        return None
    reason = value.get("reason") if isinstance(value, Mapping) else value
    text = " ".join(str(reason or "").split())
    words = {word.lower() for word in _WORD.findall(text)}
    if len(text) < SHORTEST or len(words) < FEWEST_WORDS:
        raise ConfigurationError(
            f"{VARIABLE} gives no reason that could be understood later: {text!r}.",
            "It lets an unrehearsed migration begin. The reason is kept in the journal and in every receipt that this environment "
            f"gives, so it has to say why, in at least {FEWEST_WORDS} words.",
            f"Write what has happened and who has decided it, or remove it and promote as usual:\n  {EXAMPLE}",
        )
    return text

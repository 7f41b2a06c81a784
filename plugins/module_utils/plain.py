"""A catalog as JSON has it, and as one short text: how observations, steps and plans cross Ansible and are kept."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    ColumnDefault,
    DefaultPrivileges,
    Dependent,
    EventTrigger,
    Extension,
    ForeignKey,
    Grant,
    Index,
    OwnedSequence,
    Publication,
    Relation,
    Role,
    Schema,
    SchemaObject,
    Server,
    Statistics,
    Table,
    TypeName,
    View,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_followers import Slot, Subscription
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import (
    ExtensionUse,
    PathSetting,
    PathUser,
    PinnedRoutine,
    SharedName,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import (
    Argument,
    Expression,
    Mention,
    RemoteTable,
    Routine,
    Wiring,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType

T = TypeVar("T")

_ATOMS = frozenset((str, int, bool, float, type(None)))


def to_plain(value: Any) -> Any:
    """Turn dataclasses and tuples into what JSON has."""
    # What there is most of is asked for first, and without a call for it: a catalog has millions of values.
    if type(value) in _ATOMS:
        return value
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _ATOMS else to_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {key: item if type(item) in _ATOMS else to_plain(item) for key, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(key): item if type(item) in _ATOMS else to_plain(item) for key, item in value.items()}
    return value


_MEMBERS: dict[type, dict[str, type]] = {
    Catalog: {
        "schemas": Schema,
        "tables": Table,
        "relations": Relation,
        "namesakes": Relation,
        "types": TypeName,
        "statistics": Statistics,
        "routines": Routine,
        "views": View,
        "dependents": Dependent,
        "contents": SchemaObject,
        "foreign_keys": ForeignKey,
        "default_privileges": DefaultPrivileges,
        "publications": Publication,
        "slots": Slot,
        "subscriptions": Subscription,
        "event_triggers": EventTrigger,
        "expressions": Expression,
        "mentions": Mention,
        "remote_tables": RemoteTable,
        "roles": Role,
        "extensions": Extension,
        "user_types": UserType,
        "search_paths": PathSetting,
        "path_users": PathUser,
        "shared_names": SharedName,
        "extension_uses": ExtensionUse,
        "pinned_routines": PinnedRoutine,
    },
    Table: {
        "acl": Grant,
        "column_grants": Grant,
        "indexes": Index,
        "sequences": OwnedSequence,
        "statistics": Statistics,
        "defaults": ColumnDefault,
    },
    Schema: {"grants": Grant},
    Routine: {"arguments": Argument, "wiring": Wiring},
    DefaultPrivileges: {"grants": Grant},
}


def from_plain(cls: type[T], data: Mapping[str, Any]) -> T:
    """The inverse of :func:`to_plain` for the classes of this module.

    :raises KeyError, TypeError: when the data was not made by this version of the code.
    """
    members = _MEMBERS.get(cls, {})
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise KeyError(key)
        if key == "server":
            values[key] = from_plain(Server, value)
        elif isinstance(value, list):
            values[key] = tuple(from_plain(members[key], item) if key in members else item for item in value)
        else:
            values[key] = value
    return cls(**values)


# Ansible masks the secrets of a task wherever they occur in its result, and a short password occurs anywhere in base64.
# So there are several alphabets, and the first character says which one was used.
_HEX = "0123456789abcdef"
_ALPHABETS = {"-": "ghijklmnopqrstuv", "+": "GHIJKLMNOPQRSTUV", "=": "wxyzWXYZ!#%&()[]", "~": "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ"}
_BASE64 = "."


def pack(data: Any, secrets: Iterable[str] = ()) -> str:
    """Plain data as compressed text. Large nested results are slow to cross Ansible; one string is not.

    :param secrets: texts that must not occur in the result, because Ansible would mask them there.
    """
    compressed = zlib.compress(json.dumps(data, default=to_plain).encode(), 6)
    text = _BASE64 + base64.b64encode(compressed).decode()
    hidden = [secret for secret in secrets if secret]
    for mark, alphabet in _ALPHABETS.items():
        if not any(secret in text for secret in hidden):
            break
        text = mark + compressed.hex().translate(str.maketrans(_HEX, alphabet))
    return text


def unpack(text: str) -> Any:
    """The inverse of :func:`pack`."""
    mark, body = text[0], text[1:]
    if mark == _BASE64:
        return json.loads(zlib.decompress(base64.b64decode(body)))
    return json.loads(zlib.decompress(bytes.fromhex(body.translate(str.maketrans(_ALPHABETS[mark], _HEX)))))

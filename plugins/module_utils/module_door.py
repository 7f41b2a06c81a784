"""The door between Ansible's modules and the core: arguments in, results out, errors translated."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import (
    SEARCH_PATHS,
    Configuration,
    read_configuration,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import (
    SSL_MODES,
    ConnectionSettings,
    read_connection,
)
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.plain import pack
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

CONNECTION: dict[str, dict[str, Any]] = {
    "database_url": {"type": "str", "no_log": True},
    "login_host": {"type": "str"},
    "login_port": {"type": "int"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "login_unix_socket": {"type": "str"},
    "ssl_mode": {"type": "str", "choices": list(SSL_MODES), "default": "prefer"},
    "ca_cert": {"type": "path"},
}

CONFIGURATION: dict[str, dict[str, Any]] = {
    "source_schema": {"type": "str", "default": "public"},
    "schemas": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "owner": {"type": "str"}, "comment": {"type": "str"}},
    },
    "placement": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "schema": {"type": "str", "required": True},
            "tables": {"type": "raw"},
            "types": {"type": "raw"},
            "compatibility_view": {"type": "bool"},
        },
        "required_one_of": [["tables", "types"]],
    },
    "keep": {"type": "list", "elements": "str", "default": []},
    "unplaced": {"type": "str", "choices": ["refuse", "keep"], "default": "refuse"},
    "accept": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {key: {"type": "str", "required": True} for key in ("finding", "object", "reason")},
    },
    "compatibility_views": {"type": "bool", "default": True},
    "view_defaults": {"type": "bool", "default": False},
    "application_roles": {"type": "list", "elements": "str", "default": []},
    "search_path": {"type": "str", "choices": list(SEARCH_PATHS), "default": "roles"},
    "repair_routines": {"type": "list", "elements": "str", "default": []},
}


class Door:
    """One call of a module.

    :param module: Ansible's own object.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    @property
    def params(self) -> dict[str, Any]:
        """The task's arguments."""
        params: dict[str, Any] = self.module.params
        return params

    def settings(self) -> ConnectionSettings:
        """The connection, its password made known to Ansible so that it is masked wherever it might appear."""
        settings = read_connection(self.params)
        if settings.password:
            self.module.no_log_values.add(settings.password)
        return settings

    def connect(self, purpose: str = "") -> Database:
        """Open a direct connection."""
        return Database(self.settings(), purpose)

    def pack(self, data: Any) -> str:
        """Plain data as one text in which Ansible finds no secret to mask."""
        return pack(data, self.module.no_log_values)

    def configuration(self) -> Configuration:
        """The configuration, normalized."""
        return read_configuration(self.params)


def unexpected(error: Exception) -> str:
    """What an operator is told when the code itself is wrong."""
    return (
        f"Unexpected {type(error).__name__}: {error}\nWhy: this is a mistake in dbops.multischema.\n"
        "What to do: run again with -vvv and report what it shows; the journal says what has been done."
    )


def run(spec: dict[str, Any], work: Callable[[Door], dict[str, Any]]) -> None:
    """Run a module.

    :param spec: its own arguments, besides the connection.
    :param work: does it; returns what ``exit_json`` is given.
    """
    module = AnsibleModule(argument_spec={**CONNECTION, **spec}, supports_check_mode=True)
    try:
        result = work(Door(module))
    except MultischemaError as error:
        module.fail_json(msg=str(error), **error.result)
    except Exception as error:  # an operator gets a sentence; the traceback is there for -vvv
        module.fail_json(msg=unexpected(error), exception=traceback.format_exc())
    module.exit_json(**result)

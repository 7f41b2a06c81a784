"""The connection that the ``multischema_*`` variables describe, in the words of community.postgresql."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.dbops.multischema.plugins.module_utils.connection import read_connection
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

DOCUMENTATION = r"""
name: connection_options
short_description: Connection options for the modules of community.postgresql
version_added: 0.1.0
description:
  - Turns the C(multischema_*) connection variables, or the one URL in C(multischema_database_url), into the options
    that every module of P(community.postgresql#collection) takes.
  - What the URL holds beyond those options goes into O(community.postgresql.postgresql_query#module:connect_params).
positional: _input
options:
  _input:
    description:
      - Names and values, with or without the prefix C(multischema_).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Count the tables of each schema
  community.postgresql.postgresql_query:
    query: SELECT schemaname, count(*) FROM pg_tables GROUP BY 1
  module_defaults:
    group/community.postgresql.all: "{{ connection | dbops.multischema.connection_options }}"
  vars:
    connection:
      database_url: "{{ multischema_database_url }}"
"""

RETURN = r"""
_value:
  description:
    - C(login_host), C(login_port), C(login_user), C(login_password), C(login_db), C(login_unix_socket), C(ssl_mode),
      C(ca_cert) and C(connect_params), each only where it has a value. It holds the password.
  type: dict
"""

PREFIX = "multischema_"
# libpq's word → the option of community.postgresql. What is not here goes into connect_params.
OPTIONS = {
    "host": "login_host",
    "port": "login_port",
    "user": "login_user",
    "password": "login_password",
    "dbname": "login_db",
    "sslmode": "ssl_mode",
    "sslrootcert": "ca_cert",
}


def connection_options(variables: Mapping[str, Any]) -> dict[str, Any]:
    """See DOCUMENTATION.

    :raises AnsibleFilterError: when the variables do not describe a connection; the message holds no secret.
    """
    try:
        settings = read_connection({key.removeprefix(PREFIX): value for key, value in variables.items()})
    except ConfigurationError as error:
        raise AnsibleFilterError(str(error)) from error
    parameters = dict(settings.parameters)
    # Without this, community.postgresql would log in as "postgres" where libpq takes the system user's name.
    options: dict[str, Any] = {"login_user": ""}
    if parameters.get("host", "").startswith("/"):
        options["login_unix_socket"] = parameters.pop("host")
    options |= {OPTIONS[key]: parameters.pop(key) for key in list(parameters) if key in OPTIONS}
    if "login_port" in options:
        options["login_port"] = int(options["login_port"])
    if parameters:
        options["connect_params"] = parameters
    return options


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"connection_options": connection_options}

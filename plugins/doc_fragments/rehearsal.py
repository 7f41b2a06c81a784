"""Options that the modules for rehearsals share."""

from __future__ import annotations


class ModuleDocFragment:
    """What the copy of a database needs."""

    DOCUMENTATION = r"""
options:
  space_checked:
    description: Whether a person has looked for free space on the server's disk, where that cannot be seen from here.
    type: bool
    default: false
  tools_directory:
    description:
      - Where C(pg_dump) and C(pg_restore) are, on the host that talks to the database, of the server's major version or newer.
      - By default the server's own, where they are on this machine, else those in C(PATH) or where packages put them.
    type: path
    default: ""
"""

"""Options that the modules for backups share."""

from __future__ import annotations


class ModuleDocFragment:
    """Where backups are, how one is read, and what an action plugin asks while the work goes on."""

    DOCUMENTATION = r"""
options:
  directory:
    description:
      - Where backups are kept on the host; below it come the environment, the host's name in the inventory, and the backup's name.
      - Relative to where the user stands, on a local connection; on other hosts it has to be absolute.
      - By default C(backups) in O(artifacts_dir).
    type: path
  folder:
    description: Where the backups of this host lie; the action plugin makes it of O(directory), O(environment) and the host's name.
    type: path
    required: true
"""

    JOB = r"""
options:
  job:
    description: Work that goes on; the action plugin sets it, to ask with further calls how far it is.
    type: str
    default: ""
  seconds:
    description: How long one call waits for the end, in seconds; the action plugin sets it.
    type: float
    default: 4.0
"""

    READ = r"""
options:
  name:
    description: Which backup; the newest by default.
    type: str
    default: ""
  age_identity:
    description: File on the host with the private key of age, for an encrypted backup.
    type: path
  tools_directory:
    description:
      - Where PostgreSQL's programs are.
      - By default the server's own, where they are on this machine and the role may read C(pg_config), else those in C(PATH) or where
        packages put them.
    type: path
  jobs:
    description: Tables that are restored side by side, where the format allows it.
    type: int
    default: 2
"""

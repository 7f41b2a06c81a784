"""Options that every plugin of this collection shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection and configuration; see L(house rules,../docs/architecture.md)."""

    DOCUMENTATION = r"""
options:
  database_url:
    description:
      - One C(postgresql://) URL, used instead of the O(login_host) family and before it.
      - C(schema), C(connection_limit) and C(pool_timeout), which are Prisma's own, are left out with a note.
        C(pgbouncer=true) is refused.
    type: str
  login_host:
    description: Host of the PostgreSQL server itself, never of a pooler.
    type: str
  login_port:
    description: Port of the server.
    type: int
  login_user:
    description: Role that migrates. It must own the tables or be a member of their owners.
    type: str
  login_password:
    description: Its password.
    type: str
  login_db:
    description: The database to migrate.
    type: str
  login_unix_socket:
    description: Directory of a Unix domain socket, instead of O(login_host).
    type: str
  ssl_mode:
    description: How to encrypt.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: File with the certificates that the server's certificate is checked against.
    type: path
requirements:
  - psycopg2 2.9 or newer on the host that runs the module
attributes:
  check_mode:
    support: full
    description: Nothing is written in check mode.
notes:
  - Every option that a task does not give is taken from the host variable of the same name with the prefix
    C(multischema_), where that is defined. A playbook states its connection and its placement once, in the inventory.
"""

    CONFIGURATION = r"""
options:
  source_schema:
    description: The schema that the tables leave.
    type: str
    default: public
  schemas:
    description: The target schemas.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the schema.
        type: str
        required: true
      owner:
        description: Role that shall own it where it is created.
        type: str
      comment:
        description: Comment that it gets where it is created.
        type: str
  placement:
    description:
      - Rules that say where tables go; the first that matches a table wins.
      - Names and globs are case-sensitive and stand without a schema.
    type: list
    elements: dict
    default: []
    suboptions:
      schema:
        description: Where the tables go.
        type: str
        required: true
      tables:
        description: A name or glob, or a list of them; a rule has these, O(placement[].types), or both.
        type: raw
      types:
        description:
          - Names or globs of enums, domains, composite and range types that go there too.
          - Types that no rule names stay.
        type: raw
      compatibility_view:
        description: Whether views keep the old names working; by default what O(compatibility_views) says.
        type: bool
  keep:
    description: Names or globs of tables that stay.
    type: list
    elements: str
    default: []
  unplaced:
    description: What becomes of a table that no rule names.
    type: str
    choices: [refuse, keep]
    default: refuse
  accept:
    description: Findings that would refuse, and that a person has decided to live with.
    type: list
    elements: dict
    default: []
    suboptions:
      finding:
        description: Id of the finding.
        type: str
        required: true
      object:
        description: The object, written as in the finding.
        type: str
        required: true
      reason:
        description: Why that is right. It is journaled and reported.
        type: str
        required: true
  compatibility_views:
    description: Whether views keep the old names working.
    type: bool
    default: true
  view_defaults:
    description:
      - Whether these views carry the defaults of the tables' columns, so that C(UPDATE … SET c = DEFAULT) through an old name does
        not write NULL.
      - A default that is changed on a table later must be changed on its view too; the verification tells which.
    type: bool
    default: false
  application_roles:
    description: Database roles of the application.
    type: list
    elements: str
    default: []
  search_path:
    description:
      - Whose C(search_path) the last steps of phase 2 set, so that new sessions find moved tables by their bare names.
      - V(roles) sets that of each of O(application_roles) in this database, V(database) that of the database.
    type: str
    choices: [roles, database, unchanged]
    default: roles
  repair_routines:
    description:
      - Routines that get a C(search_path) of their own in phase 2, so that they find what they name without a schema.
      - By name, with or without a schema, by glob, or by the whole signature as the findings write it.
    type: list
    elements: str
    default: []
"""

    ARTIFACTS = r"""
options:
  artifacts_dir:
    description: Root of what is kept on the control node, relative to the directory the user stands in.
    type: path
    default: artifacts
  environment:
    description: Name of the environment, a directory below O(artifacts_dir).
    type: str
    default: default
"""

    PACE = r"""
options:
  lock_timeout_ms:
    description: Longest wait for one lock, in milliseconds. It must be below the server's C(deadlock_timeout).
    type: int
    default: 50
  deadline_s:
    description: How long one step may keep trying, in seconds.
    type: float
    default: 300.0
  workers:
    description: How many connections move tables side by side.
    type: int
    default: 1
  probe:
    description:
      - Whether a further connection (one for each worker) reads the tables by their old names while they move, and measures how
        long a reader waits at worst.
    type: bool
    default: true
"""

    PROMOTION = r"""
options:
  promotes_from:
    description: The environment whose receipt is demanded; none, if it is empty.
    type: str
    default: ""
  promotes_from_host:
    description:
      - The host there whose receipt counts.
      - By default the name of this host, with the name of that environment in the place of this one's.
    type: str
    default: ""
  promotes_from_copy:
    description: Whether that host is a physical copy of this server, so that both have one identifier.
    type: bool
    default: false
  promotion_max_age_h:
    description: How old a receipt may be when the migration begins, in hours.
    type: float
    default: 168
  promotion_override:
    description: The decision to go on without a receipt.
    type: dict
    suboptions:
      reason:
        description: Why, so that somebody else can understand it later.
        type: str
  allowed_signers:
    description:
      - File that says whose signatures count (ALLOWED SIGNERS in the manual page of ssh-keygen).
      - By default C(allowed_signers.txt) in the directory of the inventory.
    type: path
"""

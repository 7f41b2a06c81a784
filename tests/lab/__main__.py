"""``python -m tests.lab up|down|status|reset``: the lab by hand; ``remember`` and ``drop`` serve the scenarios."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.lab.hosts import Lab
from tests.lab.machine import LabError, missing_packages, obstacle
from tests.lab.mover import let_migrate
from tests.lab.pictures import FIRST, LATEST, remember, take

WELCOME = """
The lab is up. Every host is a Debian with systemd, in a container:

{hosts}

A shell on one:       .lab/bin/podman exec -it {container} bash
A playbook against it (in the virtual environment: . .venv/bin/activate):
                      ansible-playbook -i molecule/inventory playbooks/preflight.yml
                      ansible-playbook -i molecule/inventory playbooks/plan.yml playbooks/phase1_schema_creation.yml
By SSH, as "deploy":  ssh -F .lab/ssh/config {release}-writer
One host only:        add --limit debian13-writer
The sample again:     python -m tests.lab reset
All scenarios:        make molecule        Take it down:  make lab-down
"""


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say whether the lab can run on this machine")
    commands.add_parser("missing", help="list the packages that the lab needs and this machine has not")
    commands.add_parser("up", help="bring all hosts up; what is up stays as it is").add_argument("--quiet", action="store_true")
    commands.add_parser("down", help="remove hosts and network").add_argument("--images", action="store_true", help="and the images")
    commands.add_parser("status", help="list the hosts")
    commands.add_parser("reset", help="give every writer a fresh sample database").add_argument("database", nargs="*", default=["school"])
    remembering = commands.add_parser("remember", help="write down how every writer and a database of it is")
    remembering.add_argument("database")
    remembering.add_argument("--as", dest="label", choices=(FIRST, LATEST), help="only under this name (default: under both)")
    letting = commands.add_parser("let-migrate", help="make a role that may migrate a database, and a vault file with its password")
    letting.add_argument("database")
    commands.add_parser("drop", help="drop a database from every writer").add_argument("database")
    options = parser.parse_args()
    try:
        return _run(options)
    except LabError as error:
        print(f"The lab: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "missing":
        print(*missing_packages())
        return 0
    why = obstacle()
    if why is not None:
        print(f"The lab cannot run here: {why}", file=sys.stderr)
        # Where it cannot be, there is nothing to take down.
        return 0 if options.command == "down" else 3
    _COMMANDS[options.command](Lab(), options)
    return 0


def _check(_lab: Lab, _options: argparse.Namespace) -> None:
    print("The lab can run here.")


def _up(lab: Lab, options: argparse.Namespace) -> None:
    lab.up()
    if not options.quiet:
        print(WELCOME.format(hosts=_table(lab), container=lab.writers[0].container, release=lab.writers[0].release.name))


def _down(lab: Lab, options: argparse.Namespace) -> None:
    lab.down(options.images)


def _status(lab: Lab, _options: argparse.Namespace) -> None:
    print(_table(lab))


def _reset(lab: Lab, options: argparse.Namespace) -> None:
    for database in options.database:
        lab.reset(database)


def _drop(lab: Lab, options: argparse.Namespace) -> None:
    lab.drop(options.database)


def _remember(lab: Lab, options: argparse.Namespace) -> None:
    for host in lab.writers:
        picture = take(host, options.database)
        for label in [options.label] if options.label else [FIRST, LATEST]:
            remember(host, options.database, label, picture)


def _let_migrate(lab: Lab, options: argparse.Namespace) -> None:
    let_migrate(lab.writers, options.database)


def _table(lab: Lab) -> str:
    return "\n".join(f"  {name:22}{state:12}{address}".rstrip() for name, state, address in lab.status())


_COMMANDS: dict[str, Callable[[Lab, argparse.Namespace], None]] = {
    "check": _check,
    "up": _up,
    "down": _down,
    "status": _status,
    "reset": _reset,
    "drop": _drop,
    "remember": _remember,
    "let-migrate": _let_migrate,
}


if __name__ == "__main__":
    sys.exit(main())

"""The lab's hosts in testinfra's words, for ``testinfra_hosts``: by podman, which is much faster than by Ansible."""

from __future__ import annotations

from tests.lab.topology import RELEASES, container


def all_of(role: str) -> list[str]:
    """The hosts of a role, one for each release."""
    return [f"podman://{container(release.host(role))}" for release in RELEASES]


WRITERS = all_of("writer")

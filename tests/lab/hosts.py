"""The hosts, and the lab that they make: brought up, looked at, taken down."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.lab import configure, images, ssh_access
from tests.lab.credentials import credentials
from tests.lab.machine import LabError, podman, write_shim
from tests.lab.server import LabServer
from tests.lab.topology import NAME, NETWORK, RELEASES, ROLES, STATE, Release, container

OWNED = "multischema.lab"  # label of our containers: the lab's name
RECIPE = "multischema.host"  # label: what decides what a host becomes
BOOT_S = 300.0  # reached only when something is wrong


@dataclass(frozen=True)
class Host:
    """One host.

    :param release: the Debian that runs on it.
    :param role: one of `ROLES`.
    """

    release: Release
    role: str

    @property
    def name(self) -> str:
        """Its name, on the lab's network and in the inventory."""
        return self.release.host(self.role)

    @property
    def container(self) -> str:
        """Its name for podman."""
        return container(self.name)

    @cached_property
    def address(self) -> str:
        """Its address on the lab's network; kept also while it is cut off.

        :raises LabError: it is not running, or cut off since before somebody first asked.
        """
        found = self.current_address()
        if not found:
            raise LabError(f"{self.name} is not up, or cut off from the network: make lab")
        return found

    @property
    def postgres_unit(self) -> str:
        """The systemd unit of its PostgreSQL."""
        return f"postgresql@{self.release.postgres}-main.service"

    @cached_property
    def server(self) -> LabServer:
        """Its PostgreSQL, as superuser, over the network."""
        return LabServer(self)

    def sibling(self, role: str) -> Host:
        """The host of another role of the same release."""
        return Host(self.release, role)

    def exec(self, *command: str, user: str = "root", stdin: str | None = None, check: bool = True) -> str:
        """Run a command on it; return what it prints.

        :param check: whether a failure is an error.
        :raises LabError: it failed.
        """
        interactive = ["--interactive"] if stdin is not None else []
        return podman("exec", *interactive, "--user", user, "--workdir", "/", self.container, *command, stdin=stdin, check=check)

    def write(self, path: str, text: str, owner: str = "root", mode: str = "0644") -> None:
        """Write a file on it."""
        self.exec("sh", "-eu", "-c", f"umask 077; cat >{path}; chown {owner}: {path}; chmod {mode} {path}", stdin=text)

    def disconnect(self) -> None:
        """Pull the network cable: nothing arrives any more, and nobody is told."""
        _ = self.address  # to come back with
        podman("network", "disconnect", NETWORK, self.container)

    def connect(self) -> None:
        """Plug the network cable in again, with the address that it had."""
        podman("network", "connect", "--ip", self.address, "--alias", self.name, NETWORK, self.container)

    def current_address(self) -> str:
        """Its address at this moment; empty while it has none."""
        template = f'{{{{ with index .NetworkSettings.Networks "{NETWORK}" }}}}{{{{ .IPAddress }}}}{{{{ end }}}}'
        return podman("inspect", "--format", template, self.container, check=False).strip()


@dataclass(frozen=True)
class Found:
    """A container as podman has it.

    :param recipe: what its host was to become.
    :param address: on the lab's network; empty where it is not on it.
    """

    id: str
    state: str
    recipe: str
    address: str

    @property
    def stamp(self) -> Path:
        """The file that says that its host has become what it was to; it holds the recipe."""
        return STATE / "ready" / self.id

    def is_ready(self, recipe: str) -> bool:
        """Whether it runs, is on the network, and its host has become what this recipe says."""
        done = self.stamp.exists() and self.stamp.read_text() == recipe
        return done and self.state == "running" and self.recipe == recipe and bool(self.address)


class Lab:
    """All hosts of all releases."""

    def __init__(self) -> None:
        self.hosts = [Host(release, role) for release in RELEASES for role in ROLES]

    def host(self, name: str) -> Host:
        """The host of a name, such as ``debian12-writer``.

        :raises KeyError: there is none.
        """
        return {host.name: host for host in self.hosts}[name]

    @property
    def writers(self) -> list[Host]:
        """The hosts with a database to migrate, one for each release."""
        return [host for host in self.hosts if host.role == "writer"]

    def up(self, say: Callable[[str], None] = print) -> None:
        """Bring everything up; what is up stays as it is, and what a killed run has left half done is made anew.

        :raises LabError: an image could not be built, or a host did not become what it should.
        """
        with _alone():
            started = time.monotonic()
            write_shim()
            credentials()
            if any(not images.is_current(release) for release in RELEASES):
                say("building the images of the hosts from Debian's packages (once; some minutes)")
                built = images.build_missing()
                say(f"built {', '.join(release.image for release in built)} in {time.monotonic() - started:.0f} s")
            if NETWORK not in podman("network", "ls", "--format", "{{ .Name }}").split():
                podman("network", "create", NETWORK)
            with ThreadPoolExecutor(max_workers=len(RELEASES)) as pool:
                made = sum(pool.map(self._up_release, RELEASES))
            ssh_access.write(self.hosts)
            if made:
                say(f"{made} hosts came up in {time.monotonic() - started:.0f} s")

    def reset(self, database: str) -> None:
        """Give every writer a fresh database of this name, with the small sample in it."""
        with ThreadPoolExecutor(max_workers=len(RELEASES)) as pool:
            list(pool.map(lambda host: configure.fresh_database(host, database), self.writers))

    def drop(self, database: str) -> None:
        """Drop a database of this name from every writer."""
        for host in self.writers:
            host.server.drop_database(database)

    def down(self, images_too: bool = False) -> None:
        """Remove hosts and network; images too, if asked for."""
        with _alone():
            names = podman("ps", "--all", "--quiet", "--filter", f"label={OWNED}={NAME}").split()
            if names:
                podman("rm", "--force", "--time", "0", "--volumes", *names)
            podman("network", "rm", "--force", NETWORK, check=False)
            if images_too:
                images.remove_images()

    def found(self) -> dict[str, Found]:
        """The containers that are there, by the name of their host; one question for all of them."""
        ids = podman("ps", "--all", "--quiet", "--filter", f"label={OWNED}={NAME}").split()
        # One that is being replaced at this moment may be gone by now; the others are told all the same.
        listing = json.loads(podman("inspect", "--type", "container", *ids, check=False) or "[]") if ids else []
        return {
            str(entry["Name"]).removeprefix(f"{NAME}-"): Found(
                entry["Id"],
                entry["State"]["Status"],
                entry["Config"]["Labels"].get(RECIPE, ""),
                (entry["NetworkSettings"]["Networks"] or {}).get(NETWORK, {}).get("IPAddress", ""),
            )
            for entry in listing
        }

    def status(self) -> list[tuple[str, str, str]]:
        """Name, state and address of every host."""
        found = self.found()
        nothing = Found("", "not there", "", "")
        return [(host.name, found.get(host.name, nothing).state, found.get(host.name, nothing).address) for host in self.hosts]

    def _up_release(self, release: Release) -> int:
        """Bring the hosts of one release up; return how many had to be made."""
        hosts = [host for host in self.hosts if host.release == release]
        writer, recipe, found = hosts[0], _host_recipe(release), self.found()
        stale = [host for host in hosts if host.name not in found or not found[host.name].is_ready(recipe)]
        # The others know the writer's data and passwords: without it they are nothing.
        stale = hosts if writer in stale else stale
        if stale:
            podman("rm", "--force", "--ignore", "--time", "0", "--volumes", *(host.container for host in stale))
        for host in stale:
            _boot(host, recipe)
        found = self.found() if stale else {}
        for host in stale:
            configure.become(host, writer)
            stamp = found[host.name].stamp
            stamp.parent.mkdir(exist_ok=True)
            stamp.write_text(recipe)
        return len(stale)


def _boot(host: Host, recipe: str) -> None:
    """Start a container and wait until systemd has started what is to be started.

    :raises LabError: it has not within `BOOT_S`.
    """
    labels = [f"--label={OWNED}={NAME}", f"--label={RECIPE}={recipe}"]
    # Not "--network NAME:alias=…": podman 4.3 takes that only where there are several networks.
    network = [f"--network={NETWORK}", f"--network-alias={host.name}", f"--hostname={host.name}"]
    podman("run", "--detach", "--systemd=always", f"--name={host.container}", *network, *labels, host.release.image)
    until = time.monotonic() + BOOT_S
    while True:
        state = host.exec("systemctl", "is-system-running", check=False).strip()
        if state == "running":
            return
        if state == "degraded":
            raise LabError(f"{host.name}: units have failed:\n{host.exec('systemctl', '--failed', '--no-legend', '--plain')}")
        if time.monotonic() > until:
            raise LabError(f"{host.name} has not booted in {BOOT_S:g} s; systemd says {state!r}")
        time.sleep(0.1)


def _host_recipe(release: Release) -> str:
    """A checksum of what decides what the hosts of a release become."""
    sources = [Path(__file__), Path(configure.__file__), *configure.sources()]
    texts = [images.recipe(release), credentials().digest(), *(path.read_text() for path in sources)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time brings the lab up or takes it down, from whatever checkout; ends with the process, however that ends."""
    path = Path(tempfile.gettempdir()) / f"{NAME}-lab.lock"
    with path.open("a") as file:
        with contextlib.suppress(PermissionError):
            path.chmod(0o666)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

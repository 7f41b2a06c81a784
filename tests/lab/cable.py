"""The network cable of a host of the lab, as a fault that a migration can meet."""

from __future__ import annotations

from tests.integration.databases import Target
from tests.integration.faults_of_networks import NetworkCut
from tests.lab.hosts import Host


class Cable:
    """Pulled out and plugged in by podman, as often as one likes."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def cut(self) -> None:
        """Pull it out."""
        if self.host.current_address():
            self.host.disconnect()

    def heal(self) -> None:
        """Plug it in, with the address that the host had."""
        if not self.host.current_address():
            self.host.connect()


class CablePulled(NetworkCut):
    """A cut for which podman takes the host off the network.

    :param cable: of the host that the database is on.
    """

    network: Cable

    def __init__(self, cable: Cable) -> None:
        super().__init__()
        self.network = cable

    def judge(self) -> None:
        """As with any cut, once the database can be asked: the cable is the only way to it."""
        self.heal(self.fate.target)
        super().judge()

    def heal(self, target: Target) -> None:
        """Plug it in, and wait until the server answers through it."""
        self.network.heal()
        super().heal(target)

"""How long a connection is believed in while nothing is heard from its other end.

Where packets vanish (a cable, a firewall that forgets, a machine that is switched off) neither side is told. With the defaults of
Linux a client that waits for an answer waits for ever, a client whose question is not acknowledged about 15 minutes, and a
server keeps the locks of a client that has gone for more than two hours. So each side is told when to give up: the client by
parameters of libpq, the server by settings of the session. All of them follow from one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SILENCE_S = 20
LEAST_IDLE_S = 2.0  # a machine under load may take its time between two messages of a transaction
_PROBES = 3
CHECKS_CLIENT_SINCE = 140000


@dataclass(frozen=True)
class Silence:
    """After how long a silence the other end counts as gone.

    :param ms: in milliseconds.
    """

    ms: int = SILENCE_S * 1000

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Silence:
        """As the connection's parameters say: ``tcp_user_timeout`` counts for both sides; 0 and nothing mean the default."""
        try:
            given = int(parameters.get("tcp_user_timeout", ""))
        except ValueError:  # libpq says what is wrong with it
            given = 0
        return cls(given) if given > 0 else cls()

    @property
    def _pace_s(self) -> int:
        """When probes begin, and how far they are apart: the first and those after it fit into the silence."""
        return max(1, self.ms // 1000 // (_PROBES + 1))

    @property
    def client(self) -> dict[str, str]:
        """Parameters of libpq (manual, 34.1.2). They concern TCP only."""
        return {
            "keepalives": "1",
            "keepalives_idle": str(self._pace_s),
            "keepalives_interval": str(self._pace_s),
            "keepalives_count": str(_PROBES),
            "tcp_user_timeout": str(self.ms),
        }

    def server(self, version: int, *, on_linux: bool) -> str:
        """The same for the server's side of the session (manual, 20.3.2).

        While a statement runs, a server looks for its client only if it is told to, which version 14 has brought; it refuses
        to be told so by an operating system that cannot see a closed connection.

        :param version: as ``server_version_num`` has it.
        """
        settings = {
            "tcp_keepalives_idle": self._pace_s,
            "tcp_keepalives_interval": self._pace_s,
            "tcp_keepalives_count": _PROBES,
            "tcp_user_timeout": self.ms,
        }
        if version >= CHECKS_CLIENT_SINCE and on_linux:
            settings["client_connection_check_interval"] = self._pace_s * 1000
        return "; ".join(f"SET {name} = {value:d}" for name, value in settings.items())

    @property
    def idle_ms(self) -> int:
        """For how long a transaction that holds locks may wait for its next message, which usually follows within milliseconds.

        This also ends a transaction whose client is there, and does not move.
        """
        return int(max(LEAST_IDLE_S * 1000, self.ms / 4))

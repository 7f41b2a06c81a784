"""The network is cut: packets vanish, and nobody is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import silence
from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from tests.integration.databases import PATIENCE_S, Target
from tests.integration.evidence import journaled
from tests.integration.faults import ALONE, BEFORE_COMMIT, BEHIND_COMMIT, Fault
from tests.support.network import DistantServer, Network, why_not
from tests.support.servers import CONNECT_TIMEOUT_S, Server

IN_VAIN_S = 2  # whoever connects while nothing arrives has waited long enough then


class Cuttable(Protocol):
    """A network that can be cut and healed, as often as one likes."""

    def cut(self) -> None:
        """Nothing arrives any more, on neither side."""

    def heal(self) -> None:
        """Everything arrives again."""


@contextlib.contextmanager
def may_pause() -> Iterator[None]:
    """Let this process stand still in the middle of a transaction, as on a busy machine it may.

    With the short silence of `NetworkCut.url_options` the server would give it up after two seconds. A client that is cut off it
    notices by itself.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silence, "LEAST_IDLE_S", PATIENCE_S)
        yield


class NetworkCut(Fault):
    """Nothing arrives any more, in neither direction.

    Every fourth cut lasts until the run has ended; the others until it has noticed, so that it can ask what has become of
    its step.
    """

    name = "network"
    title = "network cut"
    how = "from then on all packets vanish in both directions; no reset, no ICMP message"
    answer = "notices within 20 s and fails; if it can connect again, it ends its lost session and says what the journal holds"
    way_on = "the same playbook, once the server can be reached"
    network: Cuttable

    def __init__(self) -> None:
        self.lasts = False
        self.cut = False

    @property
    def url_options(self) -> str:
        """Both sides give up after a second instead of twenty."""
        timeout = IN_VAIN_S if self.cut and self.lasts else CONNECT_TIMEOUT_S
        return f"?tcp_user_timeout=1000&connect_timeout={timeout}"

    @staticmethod
    def why_not() -> str | None:
        """What is missing on this machine."""
        return why_not()

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        """A server behind a network of its own."""
        with Network() as network, DistantServer(network, major=self.major(), fsync=False, settings=ALONE) as server, may_pause():
            self.network = network
            yield server

    def strike(self) -> None:
        """Cut."""
        self.lasts = self.fate.boundary % 4 == 3
        self.cut = True
        self._cut()

    def cut_for_good(self) -> None:
        """Cut, whoever connects, until it is healed."""
        self.lasts = self.cut = True
        self._cut()

    def _cut(self) -> None:
        self.network.cut()

    def connecting(self) -> None:
        """Someone connects anew: the run has noticed."""
        if self.cut and not self.lasts:
            self.network.heal()

    def heal(self, target: Target) -> None:
        """Everything arrives again."""
        self.cut = False
        self.network.heal()
        super().heal(target)

    def judge(self) -> None:
        """It says what has become of the step, and that is true."""
        if self.fate.error is None and self.fate.where == BEHIND_COMMIT:  # there was nothing left to be said or heard
            assert len(journaled(self.fate.target)) == (0 if self.fate.back else self.fate.steps)
            return
        super().judge()
        error, said = self.fate.error, str(self.fate.error)
        if not isinstance(error, StepFailed):
            return
        assert error.connection_lost, said
        if self.lasts:
            assert "Nobody answers there now" in said, said
            return
        in_effect = error.step_id in {step["id"] for step in journaled(self.fate.target)}
        verb = "undone" if self.fate.back else "done"
        claim = f"the step is {verb}." if in_effect != self.fate.back else f"the step is not {verb}."
        assert f"The journal was asked again: {claim}" in said, f"{self.fate.where}: {said}"


class AnswerLost(NetworkCut):
    """The commit that is carried out, and whose answer never comes."""

    name = "answer"
    title = "answer to COMMIT lost"
    how = "just before COMMIT is sent the way back is cut: the server hears it and commits, its answer vanishes"
    answer = "the same; the journal says that the step is done"
    way_on = "the same"
    places = (BEFORE_COMMIT,)
    network: Network

    def _cut(self) -> None:
        self.network.cut_answers()

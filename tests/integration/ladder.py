"""Two environments on one server: what the first has passed, the second demands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.databases import Target
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.playbooks import HOST, Playbooks
from tests.support.ssh_keys import allow, make_key


class Ladder:
    """Development and staging, with one key that signs for both and one directory for what they leave."""

    def __init__(self, directory: Path, development: Target, staging: Target) -> None:
        self.key = make_key(directory / "id_ed25519")
        self.signers = directory / "allowed_signers"
        allow(self.signers, self.key)
        self.artifacts = directory / "artifacts"
        self.shared: dict[str, Any] = {
            **{f"multischema_{name}": value for name, value in SHOP.items()},
            "multischema_accept": [],
            "multischema_application_roles": [],
            "multischema_artifacts_dir": str(self.artifacts),
            "multischema_allowed_signers": str(self.signers),
        }
        for target in (development, staging):
            target.execute(SHOP_SQL)
        first = self.shared | {"multischema_environment": "development", "multischema_signing_key": str(self.key)}
        self.second = self.shared | {"multischema_environment": "staging", "multischema_promotes_from": "development"}
        self.development = Playbooks(directory / "development", development, first)
        self.staging = Playbooks(directory / "staging", staging, self.second)

    def receipts(self, environment: str) -> list[dict[str, Any]]:
        """The receipts of an environment, the newest last."""
        return [json.loads(path.read_text()) for path in sorted(self.folder(environment).glob("*.json"))]

    def folder(self, environment: str) -> Path:
        """Where they are."""
        return self.artifacts / environment / HOST / "receipts"

"""Control-node side of promotion_receipt: what was run here, in figures, signed."""

from __future__ import annotations

import getpass
import secrets
import socket
from datetime import UTC, datetime
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.checks import wrap
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import observed_identity
from ansible_collections.dbops.multischema.plugins.module_utils.drift import pending
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils import ssh_signature, voucher
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import write_text
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import read_components, run_label
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import PROMOTION, DatabaseAction, Observation, shown
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.receipt import FOLDER, Receipt, file_name, signature_of


class ActionModule(DatabaseAction):
    """Writes a receipt and its signature on the control node."""

    OPTIONS: ClassVar[Spec] = {
        **ARTIFACTS,
        "signing_key": PROMOTION["signing_key"],
        "signing_principal": PROMOTION["signing_principal"],
        "checks": {"type": "list", "elements": "dict", "default": []},
    }

    def work(self) -> dict[str, Any]:
        """Make sure that there is something to vouch for; then write it down, sign it and keep both."""
        voucher.require_environment(self.environment)
        voucher.require_passed(self.options["checks"])
        signer = voucher.read_signer(self.options.get("signing_key"), self.options.get("signing_principal"))
        configuration = self.configuration()
        seen = self.observe(configuration, history=True)
        left = pending(plan_now(seen.catalog, seen.done, configuration), seen.done)
        voucher.require_complete(seen.journal["lease"], left, seen.done)
        voucher.require_same_code(seen.history["runs"], run_label(configuration))
        receipt = self._receipt(seen, signer)
        path = self.artifacts() / FOLDER / file_name(receipt.made_at, secrets.token_hex(2))
        result = {"changed": True, "digest": receipt.components.digests["overall"], "receipt": str(path)}
        if self._task.check_mode:
            line = f"Check mode: {shown(path)} would be written, and signed by {signer.principal} with {signer.key}."
            return {**result, "report": wrap(line)}
        data = receipt.to_bytes()
        signature = ssh_signature.sign(data, signer.key)
        # In this order a receipt never lies there without its signature.
        write_text(signature_of(path), signature)
        write_text(path, data.decode())
        return {**result, "report": voucher.report_lines(receipt, shown(path))}

    def _receipt(self, seen: Observation, signer: voucher.Signer) -> Receipt:
        server = seen.catalog.server
        return Receipt(
            environment=self.environment,
            host=self.host,
            made_at=datetime.now(UTC).replace(microsecond=0),
            made_by={"principal": signer.principal, "user": getpass.getuser(), "machine": socket.gethostname()},
            database=observed_identity(server),
            server=server.version,
            components=read_components(self.configuration(), server.version_num, seen.driver),
            results=voucher.results(seen.done, seen.history, self.options["checks"]),
            overrides=voucher.overrides(self.environment, seen.history),
        )

"""Control-node side of promotion_info: look for a receipt that lets this database go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from ansible.utils.vars import load_extra_vars

from ansible_collections.dbops.multischema.plugins.module_utils.checks import wrap_message
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import read_components
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import PROMOTION, DatabaseAction, shown
from ansible_collections.dbops.multischema.plugins.plugin_utils.promotion import (
    Demand,
    PromotionRefused,
    find_receipt,
    host_before,
    require_inventory,
    require_other_environment,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.promotion_override import override_reason
from ansible_collections.dbops.multischema.plugins.plugin_utils.receipt import FOLDER, Receipt


class ActionModule(DatabaseAction):
    """All of it happens on the control node; the database has been asked before."""

    OPTIONS: ClassVar[Spec] = {
        **ARTIFACTS,
        **{name: PROMOTION[name] for name in PROMOTION if not name.startswith("signing_")},
        "database": {"type": "dict", "required": True},
    }

    def work(self) -> dict[str, Any]:
        """Judge."""
        require_inventory(load_extra_vars(self._loader))
        result = {"changed": False, "demanded": bool(self.options["promotes_from"]), "text": "", "refusal": "", "override": "", "notes": []}
        if not result["demanded"]:
            return result
        demand = self._demand()
        reason = override_reason(self.options.get("promotion_override"))
        try:
            receipt = find_receipt(demand)
        except PromotionRefused as error:
            if reason is None:
                return {**result, "refusal": wrap_message(str(error)), "text": f"refused: {error.found.splitlines()[0]}"}
            first = error.found.splitlines()[0]
            return {**result, "override": reason, "text": f"WITHOUT A RECEIPT of {demand.environment}, by decision: {reason} ({first})"}
        return {**result, "text": _allowed(receipt, demand), "notes": _notes(receipt, reason)}

    def _demand(self) -> Demand:
        environment = self.options["promotes_from"]
        require_other_environment(self.environment, environment)
        host = self.options["promotes_from_host"] or host_before(self.host, self.environment, environment)
        server = self.options["database"]["server"]
        begun = int(self.options["database"]["journal"]["done"]) > 0
        return Demand(
            environment=environment,
            host=host,
            here=f"{self.environment}/{self.host}",
            directory=Path(shown(self.artifacts(environment, host) / FOLDER)),
            signers=Path(shown(self._signers())),
            components=read_components(self.configuration(), int(server["version_num"]), self.options["database"]["driver"]),
            database=DatabaseIdentity(str(server["system_identifier"]), int(server["database_oid"]), str(server["database"])),
            copied=self.options["promotes_from_copy"],
            runs=frozenset(self.options["database"]["journal"]["runs"]),
            max_age=None if begun else timedelta(hours=self.options["promotion_max_age_h"]),
            now=datetime.now(UTC).replace(microsecond=0),
        )

    def _signers(self) -> Path:
        """The allowed signers file: beside the inventory's hosts, unless said otherwise."""
        if self.options.get("allowed_signers"):
            return Path.cwd() / str(self.options["allowed_signers"])
        return Path(str(self._vars.get("inventory_dir") or Path.cwd())) / "allowed_signers.txt"


def _allowed(receipt: Receipt, demand: Demand) -> str:
    hours = (demand.now - receipt.made_at).total_seconds() / 3600
    age = f"{hours:.0f} h" if hours >= 1 else f"{max(hours, 0) * 60:.0f} min"
    return f"{demand.environment} has passed the same on {receipt.host}: receipt of {receipt.principal}, {age} old"


def _notes(receipt: Receipt, reason: str | None) -> list[str]:
    """What a person should know of a receipt that counts."""
    notes = [f"{receipt.environment} itself went on without a receipt: {item['reason']}" for item in receipt.overrides]
    if reason is not None:
        notes.append("multischema_promotion_override is not needed, and not used: there is a receipt. Remove it.")
    return notes

"""What the action plugins share: options from the inventory, calls of modules, errors, artifacts.

Planning happens on the control node, so a database host needs nothing but Python and psycopg2.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import wrap_message
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration, read_configuration
from ansible_collections.dbops.multischema.plugins.module_utils.errors import (
    ConfigurationError,
    JournalError,
    MultischemaError,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION, CONNECTION, unexpected
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plain import from_plain, unpack
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step, step_from_dict
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind

PREFIX = "multischema_"
COLLECTION = "dbops.multischema."
TRACEBACKS_AT = 3  # -vvv
# What promotion is about; each is taken from the inventory, too.
PROMOTION: Spec = {
    "promotes_from": {"type": "str", "default": ""},
    "promotes_from_host": {"type": "str", "default": ""},
    "promotes_from_copy": {"type": "bool", "default": False},
    "promotion_max_age_h": {"type": "float", "default": 168.0},
    "promotion_override": {"type": "dict", "options": {"reason": {"type": "str"}}},
    "allowed_signers": {"type": "path"},
    "signing_key": {"type": "path"},
    "signing_principal": {"type": "str"},
}

display = Display()


class ModuleFailed(Exception):
    """A module has failed; its result is the task's."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(str(result.get("msg", "")))
        self.result = result


class Observation:
    """The catalog as it is, the journal's entries in effect, and the catalog as it would be without them."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.catalog: Catalog = from_plain(Catalog, unpack(result["catalog"]))
        self.entries = [Entry(**{**entry, "step": step_from_dict(entry["step"])}) for entry in unpack(result["entries"])]
        self.journal: dict[str, Any] = result["journal"]
        self.connection: str = result["connection"]
        self.driver: str = result["driver"]
        self.history: dict[str, Any] = unpack(result["history"]) if "history" in result else {"runs": [], "accepted": []}
        self.before = rewind(self.catalog, self.done)

    @property
    def done(self) -> list[Step]:
        """The steps in effect."""
        return [entry.step for entry in self.entries]


class DatabaseAction(ActionBase):
    """Base of the action plugins: a subclass has ``work``, and ``OPTIONS`` for what is its own."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False
    _supports_diff = True

    OPTIONS: ClassVar[Spec] = {}
    CONFIGURED = True  # whether it takes the configuration, besides the connection

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ansible's entry."""
        self._vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, self._vars)
        try:
            self.options = self._read_options()
            result.update(self.work())
        except ModuleFailed as failure:
            if display.verbosity < TRACEBACKS_AT:
                failure.result.pop("exception", None)  # Ansible would show its message, which is the same and not folded, once more
            result.update(failure.result, failed=True, msg=wrap_message(str(failure)))
        except MultischemaError as error:
            result.update(error.result, failed=True, msg=wrap_message(str(error)))
        except AnsibleError:
            raise  # Ansible's own words are better: a template that cannot be rendered, a host that cannot be reached
        except Exception as error:  # an operator gets a sentence; the traceback is there for -vvv
            display.vvv(traceback.format_exc())
            result.update(failed=True, msg=wrap_message(unexpected(error)))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def work(self) -> dict[str, Any]:
        """The task itself; returns its result."""
        raise NotImplementedError

    # --- options ---

    def _read_options(self) -> dict[str, Any]:
        """The task's own arguments; for what it does not give, the host's ``multischema_`` variables; then defaults."""
        spec = {**CONNECTION, **(CONFIGURATION if self.CONFIGURED else {}), **self.OPTIONS}
        given = {name: value for name, value in self._task.args.items() if value is not None}
        for name in spec:
            if name not in given and any(name in shared for shared in (CONNECTION, CONFIGURATION, ARTIFACTS, PROMOTION)):
                value = self._templar.template(self._vars.get(PREFIX + name))
                if value is not None and value != "":
                    given[name] = value
        validated = ArgumentSpecValidator(spec).validate(given)
        if validated.error_messages:
            raise ConfigurationError(
                "The options cannot be used: " + "; ".join(validated.error_messages),
                "They come from the task, or from the variables of the same name with the prefix multischema_.",
                "Correct them in the inventory (ansible-doc dbops.multischema.relocation_plan shows their form).",
            )
        options: dict[str, Any] = validated.validated_parameters
        return options

    def configuration(self) -> Configuration:
        """What the user asked for, normalized."""
        return read_configuration(self.options)

    # --- modules ---

    def module(self, name: str, options: Mapping[str, Any], connection: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a module of this collection on the host.

        :param connection: where to connect; this task's connection by default.
        :raises ModuleFailed: with the module's result.
        """
        given = self.options if connection is None else connection
        arguments = {key: given[key] for key in CONNECTION if given.get(key) is not None}
        result: dict[str, Any] = self._execute_module(
            module_name=COLLECTION + name,
            module_args={**arguments, **options},
            task_vars=self._vars,
            wrap_async=False,
        )
        if result.get("failed"):
            result.pop("invocation", None)
            raise ModuleFailed(result)
        return result

    def configuration_options(self) -> dict[str, Any]:
        """The configuration as a module takes it."""
        return {key: self.options[key] for key in CONFIGURATION}

    def observe(
        self, configuration: Configuration | None = None, history: bool = False, connection: Mapping[str, Any] | None = None
    ) -> Observation:
        """Read catalog and journal.

        :param configuration: what is asked for; None where only the journal matters.
        :param history: whether the figures of all runs are wanted too.
        :param connection: where to connect; this task's connection by default.
        :raises JournalError: when a migration of another schema has begun in this database.
        """
        options: dict[str, Any] = {"source_schema": self.options["source_schema"], "gather_catalog": True, "gather_history": history}
        if configuration is not None:
            options.update(target_schemas=list(configuration.target_names), roles=list(configuration.named_roles))
        seen = Observation(self.module("catalog_info", options, connection))
        if configuration is not None and seen.catalog.source_schema != configuration.source_schema:
            raise JournalError(
                f"The journal in this database records a migration out of {seen.catalog.source_schema}, and "
                f"multischema_source_schema is {configuration.source_schema}.",
                "One migration at a time.",
                "Finish or roll back the first one, or correct multischema_source_schema.",
            )
        return seen

    # --- control node ---

    @property
    def host(self) -> str:
        """The inventory name of the host."""
        return str(self._vars.get("inventory_hostname", "localhost"))

    @property
    def environment(self) -> str:
        """The environment's name."""
        return str(self.options["environment"])

    def artifacts(self, environment: str | None = None, host: str | None = None) -> Path:
        """The directory for this environment and host, or for another one."""
        root = Path(os.path.expanduser(str(self.options["artifacts_dir"])))
        return (Path.cwd() / root / (environment or self.environment) / (host or self.host)).resolve()

    def say(self, text: str) -> None:
        """Tell the person who watches; on stderr, so that what reads stdout is not disturbed."""
        display.display(f"[{self.host}] {text}", stderr=True)


def shown(path: Path) -> str:
    """A path as short as it can be shown from where the user stands."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

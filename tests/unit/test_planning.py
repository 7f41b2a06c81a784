"""The one place where plans are made."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.plugin_utils import planning
from tests.unit import builders as b

READER = "ansible_collections.dbops.multischema.plugins.plugin_utils.source_reader"


def test_without_the_parser_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("pglast", READER))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, READER, None)
    with pytest.raises(ConfigurationError, match="pglast is missing") as refused:
        planning.plan_now(b.catalog(b.table("orders")), (), b.configuration({"tenant": ["orders"]}))
    assert "pip install" in refused.value.remedy

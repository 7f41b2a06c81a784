"""What is wrong with a set of variables, in one sentence each.

Ansible's own check of argument_specs prints the whole specification with every mistake, stops at the first kind of
mistake, lets unknown variables pass, and may print the value of a secret. A person who has written ``shema`` for
``schema`` needs one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_dict,
    check_type_float,
    check_type_int,
    check_type_list,
)

DOCUMENTATION = r"""
name: variable_problems
short_description: Compare variables with an argument specification
version_added: 0.1.0
description:
  - Says for each variable that is unknown or has a value of the wrong type what is wrong and what to write instead.
  - Values of options with C(no_log) are never shown.
  - A value that holds V(REPLACE_ME), as the secrets of the example inventories do, is a problem too.
positional: _input, specification
options:
  _input:
    description: Names and values.
    type: dict
    required: true
  specification:
    description: The C(options) of one entry point of C(meta/argument_specs.yml).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse variables that cannot be used
  ansible.builtin.fail:
    msg: "{{ problems | join('\n') }}"
  when: problems | length > 0
  vars:
    problems: "{{ {'multischema_workers': 'many'} | dbops.multischema.variable_problems(specification) }}"
    # ["multischema_workers is 'many': write a whole number, for example 1."]
"""

RETURN = r"""
_value:
  description: One sentence for each problem; empty where all is well.
  type: list
  elements: str
"""

# What to write, for each type of an argument specification.
WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "dict": "a mapping",
    "list": "a list",
    "str": "text",
    "path": "a path",
}
CHECKS = {
    "bool": check_type_bool,
    "int": check_type_int,
    "float": check_type_float,
    "dict": check_type_dict,
    "list": check_type_list,
}
PLACEHOLDER = "REPLACE_ME"  # what the example inventories have in the place of a secret
LONGEST_VALUE = 60  # characters of a wrong value that are shown


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _fits(value: Any, kind: str) -> bool:
    """Whether Ansible would take the value for that type."""
    if kind in ("str", "path"):
        return not isinstance(value, (Mapping, list, tuple))
    if kind == "bool" and isinstance(value, (int, float)) and value not in (0, 1):
        return False
    if kind in ("int", "float") and isinstance(value, bool):
        return False
    if kind not in CHECKS:
        return True
    try:
        CHECKS[kind](value)
    except (TypeError, ValueError):
        return False
    return True


def _shown(value: Any, option: Mapping[str, Any]) -> str:
    if option.get("no_log"):
        return "something else (not shown)"
    text = repr(value) if not isinstance(value, str) else repr(str(value))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _wanted(option: Mapping[str, Any]) -> str:
    if option.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in option["choices"])
    kind = option.get("type", "str")
    text = WORDS.get(kind, kind)
    inner = option.get("options")
    if kind == "list" and inner:
        text = f"a list of mappings with {', '.join(inner)}"
    elif inner:
        text = f"a mapping with {', '.join(inner)}"
    default = option.get("default")
    return text if default in (None, "", [], {}) else f"{text}, for example {default}"


def _nested(where: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a mapping, and the entries of a list."""
    inner = option.get("options")
    if option.get("type") == "list" and isinstance(value, (list, tuple)):
        entry = {key: option[key] for key in ("options", "no_log", "required_one_of") if key in option}
        entry["type"] = option.get("elements", "raw")
        for i, item in enumerate(value):
            yield from _value(f"{where}[{i}]", item, entry)
    elif inner and isinstance(value, Mapping):
        for key in value:
            if key not in inner:
                yield f"{where}.{key} is unknown: write one of {', '.join(inner)}.{_suggestion(str(key), inner)}"
        for key, part in inner.items():
            if value.get(key) is not None:
                yield from _value(f"{where}.{key}", value[key], part)
        yield from _missing(where, value, option)


def _missing(where: str, value: Mapping[str, Any], option: Mapping[str, Any]) -> Iterator[str]:
    needed = [name for name, part in option["options"].items() if part.get("required")]
    for key in needed:
        if value.get(key) is None:
            yield f"{where} has no {key}: every entry needs {', '.join(needed)}."
    for keys in option.get("required_one_of", ()):
        if all(value.get(key) is None for key in keys):
            yield f"{where} has no {keys[0]}: every entry needs one of {', '.join(keys)}."


def _value(where: str, value: Any, option: Mapping[str, Any]) -> Iterator[str]:
    kind = option.get("type", "str")
    fits = _fits(value, kind)
    if kind == "list" and isinstance(value, str) and option.get("options"):
        fits = False  # Ansible would split it at the commas
    wrong = f"{where} is {_shown(value, option)}: write {_wanted(option)}."
    if isinstance(value, str) and PLACEHOLDER in value:
        yield f"{where} is still {PLACEHOLDER}: write your own (docs/environments.md)."
    elif not fits:
        yield wrong
    elif option.get("choices") and value not in option["choices"]:
        yield wrong + _suggestion(str(value), option["choices"])
    else:
        yield from _nested(where, value, option)


def variable_problems(variables: Mapping[str, Any], specification: Mapping[str, Any]) -> list[str]:
    """See DOCUMENTATION."""
    problems: list[str] = []
    for name in sorted(variables):
        if name not in specification:
            problems.append(f"{name} is unknown: nothing reads it.{_suggestion(name, specification)}")
        elif variables[name] is not None:
            problems.extend(_value(name, variables[name], specification[name]))
    return problems


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"variable_problems": variable_problems}

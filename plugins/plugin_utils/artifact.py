"""Files that are kept on the control node: written whole or not at all, readable by their owner only."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError


def write_text(path: Path, text: str) -> bool:
    """Write beside the final name, then rename.

    :returns: whether the content is another than before.
    :raises ConfigurationError: when the place cannot be written to.
    """
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.",
            "Plans and journals are kept there.",
            "Set multischema_artifacts_dir to a directory that you may write to.",
        ) from error
    return True


def write_json(path: Path, data: Any) -> bool:
    """Write JSON that a person can read too. :returns: whether the content is another than before."""
    return write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path, what: str, remedy: str) -> Any:
    """Read JSON.

    :param what: what the file is, for messages.
    :raises ConfigurationError: when it is not there or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no {what} at {path}.", "", remedy) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a {what}: {error}.", "It was cut or edited.", remedy) from error

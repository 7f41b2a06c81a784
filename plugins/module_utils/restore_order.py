"""What pg_restore may do with several connections, and what it must do with one (pure).

It keeps connections apart by the tables that it knows an entry to lock. Of partitioned tables an entry locks more than that: a foreign
key locks the partitions too, and attaching an index locks two indexes. Seen with 15.18 and 18.4: two connections wait for each other,
the restore of a backup that is whole fails, and once more it may succeed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Lines of a table of contents: number; OID of the catalog (1259 is pg_class, and so on; 0 for what has no row of its own), OID, kind, and
# names, in which a line break is written as a space.
#
# What comes behind all else (pg_backup_archiver.c, _getTocEntryPass): a role that hands a privilege on needs its own on the schema by
# then, and what is computed or fired needs privileges.
_LAST = re.compile(
    rb"\d+; (?:0 0 ACL|826 \d+ DEFAULT ACL|3466 \d+ EVENT TRIGGER|0 0 (?:COMMENT|SECURITY LABEL) - EVENT TRIGGER"
    rb"|0 \d+ MATERIALIZED VIEW DATA) "
)
_OF_PARTITIONS = re.compile(rb"\d+; 0 0 (?:TABLE|INDEX) ATTACH ")
_INDEX = re.compile(rb"\d+; (?:1259 \d+ INDEX|2606 \d+ CONSTRAINT) ")
# What is usually there before any row, and has been put behind a primary key that it needs; an index may need it in turn.
_POSTPONED = re.compile(rb"\d+; (?:1259 \d+ (?:MATERIALIZED )?VIEW|1255 \d+ (?:FUNCTION|PROCEDURE|AGGREGATE)) ")


def restore_order(first: Sequence[bytes], then: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Divide what is left once all rows are loaded.

    :param first: lines of the table of contents, as ``pg_restore --list`` writes it, of what comes before the rows, and of the rows.
    :param then: of what comes behind them.
    :returns: what several connections may do side by side; what one does after that, privileges included.
    """
    last = [line for line in [*first, *then] if _LAST.match(line)]
    rest = [line for line in then if not _LAST.match(line)]
    if not any(_OF_PARTITIONS.match(line) for line in [*first, *then]):
        return rest, last
    if any(_POSTPONED.match(line) for line in rest):
        return [], [*rest, *last]
    return [line for line in rest if _INDEX.match(line)], [*(line for line in rest if not _INDEX.match(line)), *last]

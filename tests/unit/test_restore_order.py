"""What of a dump several connections restore side by side, and what one does after them."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.restore_order import restore_order

TABLE, DATA = b"221; 1259 16390 TABLE public orders shop\n", b"3418; 0 16390 TABLE DATA public orders shop\n"
ATTACH = b"3252; 0 0 TABLE ATTACH public orders_2026 shop\n"
ACL = b"3425; 0 0 ACL public TABLE orders shop\n"
INDEX, KEY = b"3262; 1259 16395 INDEX public ACL  shop\n", b"3260; 2606 16397 CONSTRAINT public orders orders_pkey shop\n"
FOREIGN, INDEX_ATTACH = b"3264; 2606 16399 FK CONSTRAINT public orders orders_fkey shop\n", b"3263; 0 0 INDEX ATTACH public x shop\n"
DEFAULT_ACL, REFRESH = (
    b"2070; 826 16401 DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES shop\n",
    b"3419; 0 1 MATERIALIZED VIEW DATA public m shop\n",
)
EVENT, COMMENT = b"3258; 3466 16402 EVENT TRIGGER - watch postgres\n", b"3426; 0 0 COMMENT - EVENT TRIGGER watch postgres\n"
POSTPONED = b"225; 1259 16403 MATERIALIZED VIEW public totals shop\n"
HEAD = [b";\n", b"; Archive created at 2026-01-01 00:00:00 UTC\n"]


def test_without_partitions_only_privileges_and_what_needs_them_wait() -> None:
    assert restore_order([*HEAD, TABLE, ACL, DATA], [KEY, INDEX, FOREIGN, DEFAULT_ACL, EVENT, COMMENT, REFRESH]) == (
        [KEY, INDEX, FOREIGN],
        [ACL, DEFAULT_ACL, EVENT, COMMENT, REFRESH],
    )


def test_with_partitions_one_connection_makes_what_locks_more_than_one_table() -> None:
    assert restore_order([TABLE, ATTACH, ACL, DATA], [KEY, INDEX, INDEX_ATTACH, FOREIGN]) == ([KEY, INDEX], [INDEX_ATTACH, FOREIGN, ACL])


def test_with_partitions_no_index_is_made_before_a_view_that_it_may_be_on() -> None:
    assert restore_order([TABLE, ATTACH, DATA], [KEY, POSTPONED, INDEX]) == ([], [KEY, POSTPONED, INDEX])

"""What a test with real transactions left behind is deleted row by row. TRUNCATE of every table takes 0.2 s, however empty
they are, and what it took with it (content types, permissions) has to be made again."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission"}  # made by the migrations, changed by no test
MANY = 300  # rows of one table; from here on TRUNCATE is quicker

_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
_tables: list[str] = []


def filled() -> dict[str, int]:
    """Tables with rows, and how many: MANY for more."""
    if not _tables:
        names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        _tables.extend(sorted(set(names) - KEPT))
    counts = (
        f"SELECT '{name}', count(*) FROM (SELECT FROM {connection.ops.quote_name(name)} LIMIT {MANY}) found"
        for name in _tables
    )
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts))
        return {name: number for name, number in cursor.fetchall() if number}


def tidy_up(case: Any) -> None:
    if set(case._databases_names(include_mirrors=False)) != {DEFAULT_DB_ALIAS} or case.available_apps:
        return _flush(case)
    rows = filled()
    if MANY in rows.values():
        return _flush(case)
    with transaction.atomic(), connection.cursor() as cursor:  # foreign keys are checked at its end
        for name in rows:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(name)}")


def install() -> None:
    TransactionTestCase._fixture_teardown = tidy_up  # type: ignore[attr-defined]

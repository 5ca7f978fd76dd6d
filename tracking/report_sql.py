"""The statements of reports are sums over all hits of a mailing: with PostgreSQL's usual 4 MB they would go over the disk."""

from typing import Any

from django.db import connection, transaction

MEMORY = "64MB"  # for one sort or hash; 200,000 hits need 20


def all_rows(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", [MEMORY])
        cursor.execute(statement, values)
        return list(cursor.fetchall())

"""Progress and heartbeat of a long import over a second connection, visible while the step's own transaction is open.
For every import that has `state`, `progress`, `rows` and `heartbeat_at`: leads here, readers in mail/magazines/imports/."""

from collections.abc import Iterable
from typing import Any

from django.db import connection
from django.db.models import Model
from django.utils import timezone


class CancelledError(Exception):
    """Somebody cancelled the import while it was worked at."""


class Pulse:
    """Of one import in one state. `rows` is the number of rows expected, once it is known."""

    def __init__(self, model: type[Model], import_id: int, state: str) -> None:
        self.table = model._meta.db_table
        self.import_id = import_id
        self.state = state
        self.rows = 0
        self._connection = connection.copy()

    def __enter__(self) -> "Pulse":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()

    def start(self, before: Iterable[str]) -> bool:
        """Shows the state to everybody. False if somebody changed it meanwhile."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.table} SET state = %s, progress = 0, heartbeat_at = %s WHERE id = %s AND state = ANY(%s)",
                [self.state, timezone.now(), self.import_id, list(before)],
            )
            return bool(cursor.rowcount) or not self._exists(cursor)

    def beat(self, progress: int) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.table} SET progress = %s, rows = GREATEST(rows, %s), heartbeat_at = %s "
                "WHERE id = %s AND state = %s",
                [progress, self.rows, timezone.now(), self.import_id, self.state],
            )
            if not cursor.rowcount and self._exists(cursor):
                raise CancelledError

    def _exists(self, cursor: Any) -> bool:
        """An import made in a transaction that is still open (a command's, a test's) is not seen from here."""
        cursor.execute(f"SELECT 1 FROM {self.table} WHERE id = %s", [self.import_id])
        return cursor.fetchone() is not None

"""Django's PostgreSQL backend, with one kind of error put right.

When the server crashes in the middle of a statement ("server closed the connection unexpectedly"), psycopg2 raises a
plain DatabaseError without a code. Everywhere else in the world, and in ours, a lost connection is an OperationalError:
what can be repeated is repeated only then.
"""

from types import TracebackType

from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper, OperationalError
from django.utils.functional import cached_property
from psycopg2 import DatabaseError


class _Errors(DatabaseErrorWrapper):
    wrapper: base.DatabaseWrapper

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is DatabaseError and getattr(exc_value, "pgcode", None) is None:
            assert exc_value is not None
            self.wrapper.errors_occurred = True
            raise OperationalError(*exc_value.args).with_traceback(traceback) from exc_value
        super().__exit__(exc_type, exc_value, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return _Errors(self)

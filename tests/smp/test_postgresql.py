"""smp/lib/postgresql: a lost connection has one name."""

import psycopg2
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, connections


def test_a_server_that_crashed_in_a_statement_is_an_operational_error():
    """As psycopg2 says it: a plain DatabaseError without a code."""
    with (
        pytest.raises(OperationalError, match="server closed the connection"),
        connection.wrap_database_errors,
    ):
        raise psycopg2.DatabaseError("server closed the connection unexpectedly")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(psycopg2.IntegrityError, IntegrityError), (psycopg2.errors.UniqueViolation, IntegrityError)],
)
def test_every_other_error_keeps_its_name(raised, expected):
    with pytest.raises(DatabaseError) as error, connection.wrap_database_errors:
        raise raised("no")
    assert type(error.value) is expected


@pytest.mark.django_db
def test_it_is_the_backend_in_use():
    assert connections["default"].wrap_database_errors.__class__.__module__ == "smp.lib.postgresql.base"
    with pytest.raises(DatabaseError) as error, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM no_such_table")
    assert type(error.value).__name__ == "ProgrammingError"

"""How many processes deliver one job at the same time: advisory locks of PostgreSQL, gone with their connection.

They only spread the work; correctness never depends on them (claims do that), nor on Redis.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

PER_JOB = 2
_SPACE = 0x534D50  # "SMP", in the upper bits: other advisory locks of this database stay out of the way
_NO_JOB = 0


def _key(job_id: int | None, slot: int) -> int:
    return (_SPACE << 40) + ((job_id or _NO_JOB) << 4) + slot


@contextmanager
def slot(job_id: int | None) -> Iterator[bool]:
    """Holds one of the job's slots; yields False when all are taken."""
    taken = next(
        (number for number in range(PER_JOB) if _ask("pg_try_advisory_lock", _key(job_id, number))), None
    )
    try:
        yield taken is not None
    finally:
        if taken is not None:
            _ask("pg_advisory_unlock", _key(job_id, taken))


def free_slots(job_id: int | None) -> int:
    """How many more processes could work on the job at the moment."""
    keys = [_key(job_id, number) for number in range(PER_JOB)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND (classid::bigint << 32) + objid::bigint = ANY(%s)",
            [keys],
        )
        return PER_JOB - int(cursor.fetchone()[0])


def _ask(function: str, key: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key])
        return bool(cursor.fetchone()[0])

"""From the stream to the tables: whole batches, oldest first, each hit once (its `uid` is unique in its table).

One flusher works at a time. One that is killed leaves the stream as it was; hits it had stored already are read again
and change nothing. That is why there is no consumer group: what is in the stream is what is open.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from tracking import stream
from tracking.hits import CLICK, IDENTIFY, OPEN, VIEW, Hit, from_bytes
from tracking.identify import store_identifications
from tracking.lead_merge import while_storing
from tracking.mail_hits import store_mail_hits
from tracking.models import RefusedHit
from tracking.page_views import store_views

logger = logging.getLogger(__name__)

BATCH = 2000
RUN_FOR = timedelta(seconds=8)
_LOCK = 0x534D5048  # "SMPH", this task's key among PostgreSQL's advisory locks

Store = Callable[[Sequence[Hit], datetime], None]
# Who stores which kinds, in this order: a view is there before somebody says whose browser it was. Each runs in a
# transaction of its own and may be given a hit twice (it looks at the uid).
STORES: list[tuple[frozenset[str], Store]] = [
    (frozenset({OPEN, CLICK}), store_mail_hits),
    (frozenset({VIEW}), store_views),
    (frozenset({IDENTIFY}), store_identifications),
]


def flush(now: datetime, *, limit: int = 1_000_000) -> int:
    """Stores what waits, at most `limit` hits and for some seconds. Returns how many were dealt with; 0 also when another
    flusher is at work. Raises stream.AWAY_ERRORS and database errors of a database that is away: nothing is lost by it."""
    done, position, until = 0, "0-0", now + RUN_FOR
    with _alone() as alone:
        while alone and done < limit:
            entries = stream.after(position, count=min(BATCH, limit - done))
            if not entries:
                break
            store(data for _entry, data in entries)
            stream.stored([entry for entry, _data in entries])
            done += len(entries)
            position = entries[-1][0]
            if timezone.now() > until:
                break
    return done


def store(lines: Iterable[bytes]) -> None:
    """Commits these hits, or keeps them as RefusedHit with the reason."""
    hits: dict[object, tuple[Hit, bytes]] = {}
    refused: list[tuple[bytes, str]] = []
    for data in lines:
        try:
            hit = from_bytes(data)
            hits.setdefault(hit.uid, (hit, data))
        except ValueError as error:
            refused.append((data, str(error)))
    for kinds, function in STORES:
        refused += _store_or_halve(function, [pair for pair in hits.values() if pair[0].kind in kinds])
    known = frozenset[str]().union(*(kinds for kinds, _function in STORES))
    refused += [(data, f"no such kind: {hit.kind}") for hit, data in hits.values() if hit.kind not in known]
    _refuse(refused)


def try_refused_again() -> tuple[int, int]:
    """All RefusedHit rows once more. Returns how many were stored now, and how many are refused still."""
    before = list(RefusedHit.objects.order_by("pk").values_list("pk", "data"))
    for start in range(0, len(before), BATCH):
        some = before[start : start + BATCH]
        with transaction.atomic():
            RefusedHit.objects.filter(pk__in=[pk for pk, _data in some]).delete()
            store(bytes(data) for _pk, data in some)
    left = RefusedHit.objects.count()
    return len(before) - left, left


def _store_or_halve(function: Store, pairs: Sequence[tuple[Hit, bytes]]) -> list[tuple[bytes, str]]:
    """All but those that cannot be stored, which are returned with the reason: a batch that fails is halved until they
    stand alone. A database that is away is no reason."""
    if not pairs:
        return []
    try:
        with transaction.atomic():
            while_storing()
            function([hit for hit, _data in pairs], timezone.now())
        return []
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(pairs) == 1:
            logger.exception("a hit cannot be stored, it is kept as a refused one: %s", pairs[0][0])
            return [(pairs[0][1], f"{type(error).__name__}: {error}")]
    middle = len(pairs) // 2
    return _store_or_halve(function, pairs[:middle]) + _store_or_halve(function, pairs[middle:])


def _refuse(refused: Sequence[tuple[bytes, str]]) -> None:
    if refused:
        now = timezone.now()
        rows = [
            RefusedHit(
                digest=hashlib.sha256(data).hexdigest(), data=data, reason=clean_reason(reason), at=now
            )
            for data, reason in refused
        ]
        RefusedHit.objects.bulk_create(rows, ignore_conflicts=True)


def clean_reason(reason: str) -> str:
    return reason.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]


@contextmanager
def _alone() -> Iterator[bool]:
    """False when another one holds PostgreSQL's advisory lock. It only keeps two from doing the same work twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        taken = bool(cursor.fetchone()[0])
    try:
        yield taken
    finally:
        if taken and connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

"""From the stream to the tables: each hit once, and one that cannot be stored holds up nobody else."""

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from tests.connections import Other
from tests.tracking.test_spool import hit
from tracking import flush, stream
from tracking.hits import to_bytes
from tracking.models import RefusedHit

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept(monkeypatch):
    """A table of its own, by uid; hits of agent "bad" are refused by it."""
    table = {}

    def store(hits, now):
        if any(one.agent == "bad" for one in hits):
            raise ValueError("bad\x00hit")
        for one in hits:
            table.setdefault(one.uid, one)

    monkeypatch.setattr(flush, "STORES", [(frozenset({"click"}), store)])
    return table


def send(*hits):
    stream.add_many([to_bytes(one) for one in hits])


def test_what_waits_is_stored_and_leaves_the_stream(kept):
    hits = [hit() for _number in range(5)]
    send(*hits, hits[0])
    assert flush.flush(timezone.now()) == 6
    assert list(kept.values()) == hits
    assert stream.look().length == 0
    assert flush.flush(timezone.now()) == 0


def test_batches_and_a_limit(kept, monkeypatch):
    monkeypatch.setattr(flush, "BATCH", 2)
    send(*(hit() for _number in range(5)))
    assert flush.flush(timezone.now(), limit=3) == 3
    assert flush.flush(timezone.now()) == 2
    assert len(kept) == 5


def test_a_flusher_killed_before_it_deleted_does_it_again_without_effect(kept, monkeypatch):
    send(hit())
    monkeypatch.setattr(stream, "stored", lambda ids: None)
    flush.flush(timezone.now())
    monkeypatch.undo()
    monkeypatch.setattr(flush, "STORES", [(frozenset({"click"}), lambda hits, now: None)])
    assert flush.flush(timezone.now()) == 1
    assert (len(kept), stream.look().length) == (1, 0)


def test_bad_hits_hold_up_nobody(kept):
    good = [hit() for _number in range(7)]
    send(*good[:3], hit(agent="bad"), *good[3:], hit(kind="unheard of"))
    stream.add_many([b"\xff not a hit"])
    assert flush.flush(timezone.now()) == 10
    assert list(kept.values()) == good
    assert stream.look().length == 0
    reasons = list(RefusedHit.objects.values_list("reason", flat=True))
    assert len(reasons) == 3
    assert reasons[0].startswith("not a hit") and reasons[1:] == [
        "ValueError: badhit",
        "no such kind: unheard of",
    ]


def test_refused_hits_are_kept_once_and_can_be_tried_again(kept, monkeypatch):
    bad = [hit(agent="bad"), hit(agent="bad")]
    for _time in range(2):
        send(*bad)
        flush.flush(timezone.now())
    assert RefusedHit.objects.count() == 2
    assert flush.try_refused_again() == (0, 2)
    monkeypatch.setattr(flush, "STORES", [(frozenset({"click"}), lambda hits, now: None)])
    assert flush.try_refused_again() == (2, 0)
    assert not RefusedHit.objects.exists()


def test_a_database_that_is_away_refuses_nothing(kept, monkeypatch):
    send(hit())

    def away(hits, now):
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(flush, "STORES", [(frozenset({"click"}), away)])
    with pytest.raises(OperationalError):
        flush.flush(timezone.now())
    assert (stream.look().length, RefusedHit.objects.count()) == (1, 0)


def ask_lock(function):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [flush._LOCK])


def test_two_flushers_do_not_do_the_same_work(kept):
    send(hit())
    with Other() as other:
        other.run(ask_lock, "pg_advisory_lock")
        assert flush.flush(timezone.now()) == 0
        other.run(ask_lock, "pg_advisory_unlock")
    assert flush.flush(timezone.now()) == 1


def test_an_emptied_redis_breaks_nothing(kept):
    send(hit())
    stream.client().delete(stream.KEY, stream.LIFE_KEY)
    assert flush.flush(timezone.now()) == 0
    send(hit())
    assert flush.flush(timezone.now()) == 1

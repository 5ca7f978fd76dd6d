"""`keep(hit)`: after it a hit is safe, whatever is killed. It is written to a file of this host and to the Redis stream, and
either one alone is enough; `settle` compares the two until everything is stored.

Web processes run `settle` in a thread (smp/wsgi.py), so a host without a worker needs nothing else.
"""

import logging
import os
import time
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic

from django.conf import settings

from tracking import journal, stream
from tracking.hits import Hit, to_bytes
from tracking.journal import NONE, OPEN, Journal

logger = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two looks of the keeper
LOST_KEY = "smp:hits:lost"  # how many were answered and kept nowhere; `manage.py doctor` says it

_lock = Lock()
_journal: Journal | None = None
_life = NONE  # of the Redis that was seen last
_lost = 0
_sent: dict[
    str, str
] = {}  # files that are in Redis although the disk refused to note it → life of that Redis
_keeper: tuple[int, Thread] | None = None
_stop = Event()


class NotKept(Exception):
    """Neither the disk nor Redis takes it."""


def folder() -> Path:
    return Path(settings.SPOOL_FOLDER)


def keep(hit: Hit) -> None:
    """Returns when the hit is safe. NotKept: the person is answered all the same, and it is counted."""
    line = to_bytes(hit)
    own = _own_journal()
    segment = own.append(line, life=_life)
    sent = stream.add(line)
    in_file = segment is not None and own.done(segment, sent=sent)
    if not sent and not in_file:
        _count_lost()
        raise NotKept("neither Redis nor the spool takes hits")


def settle() -> int:
    """One round over the closed files of this host: sends to Redis what it does not have, removes what is stored. Returns how
    many files there are still. Raises stream.AWAY_ERRORS. Any number of processes may do it at the same time."""
    global _life
    if _journal is not None and _journal.place[0] == os.getpid():
        _journal.retire(older_than=monotonic())
    left = 0
    try:
        for path in journal.files(folder()):
            with journal.closed(path) as file:
                if file is not None:
                    _settle_file(file)
        left = len(journal.files(folder()))
        _life = stream.look().life
    except stream.AWAY_ERRORS:
        _life = NONE
        raise
    return left


def _settle_file(file: journal.Closed) -> None:
    """A file goes when Redis still is the one that got all its lines, and the stream has moved on behind them."""
    seen = stream.look()
    name = file.path.name
    if file.life != seen.life:
        if _sent.get(name) == seen.life:
            return  # a disk that only reads must not fill Redis with the same hits every second
        stream.add_many(file.lines())
        after = stream.look()
        if after.life == seen.life:  # otherwise again in the next round: twice does no harm
            _sent[name] = after.life
            file.now(life=after.life, mark=after.newest or "0-0")
            del _sent[name]
    elif file.mark == OPEN:
        file.now(life=seen.life, mark=seen.newest or "0-0")
    elif seen.oldest is None or stream.id_key(seen.oldest) > stream.id_key(file.mark):
        file.remove()


def start_keeper() -> None:
    """In a process that answers hits: a thread that settles this host's files. Once a process, also after a fork."""
    global _keeper
    with _lock:
        if _keeper is None or _keeper[0] != os.getpid():
            thread = Thread(target=_keep_settling, name="spool", daemon=True)
            _keeper = (os.getpid(), thread)
            _stop.clear()
            thread.start()


def _keep_settling() -> None:
    away = False
    while not _stop.wait(EVERY):
        try:
            settle()
            tell_lost()
            away = False
        except stream.AWAY_ERRORS as error:
            if not away:
                logger.warning("hits stay in the spool: %s", error)
            away = True
        except Exception:  # the thread must not die: it is tried again in a second
            logger.exception("the spool could not be settled")
            time.sleep(10 * EVERY)


def close_file() -> None:
    """Nothing more is written to the file this process has open; `settle` may take it."""
    if _journal is not None:
        _journal.retire()


def forget_process_state() -> None:
    """For tests: as in a process that has just started."""
    global _journal, _life, _lost
    close_file()
    _journal, _life, _lost = None, NONE, 0
    _sent.clear()
    stream.forget_failure()


def _own_journal() -> Journal:
    global _journal, _life
    own, place = _journal, (os.getpid(), settings.SPOOL_FOLDER)
    if own is None or own.place != place:
        with _lock:
            own = _journal
            if own is None or own.place != place:
                _life = _life_now()
                own = _journal = Journal(settings.SPOOL_FOLDER)
    return own


def _life_now() -> str:
    try:
        return stream.look().life
    except stream.AWAY_ERRORS:
        return NONE


def _count_lost() -> None:
    global _lost
    with _lock:
        _lost += 1
    logger.error("a hit was answered and could not be kept: neither Redis nor the spool takes it")


def tell_lost() -> None:
    global _lost
    if _lost:
        with _lock:
            lost, _lost = _lost, 0
        try:
            stream.client().incrby(LOST_KEY, lost)
        except stream.AWAY_ERRORS:
            with _lock:
                _lost += lost
            raise

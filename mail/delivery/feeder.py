"""Claims what is due, makes the mails and signs them: two threads, so that OpenSSL and Python work at the same time.

feeder: claim → compose  →  signer: DKIM  →  the engine's loop
"""

import logging
import threading
import time
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError, connection, connections

from mail.delivery import verdicts
from mail.delivery.batch_threads import BatchThread
from mail.delivery.claim import Claimed, claim
from mail.delivery.compose import Composer, Made
from mail.delivery.outgoing import OutgoingMail
from mail.delivery.queue import jobs_with_due_mail, mark_progress
from mail.smtp.replies import clean_text

if TYPE_CHECKING:
    from mail.delivery.engine import Engine
    from mail.delivery.runs import Run

logger = logging.getLogger(__name__)

BATCH = 100
HELD = 600  # mails in this process's hands at most …
HELD_MOST = 1500  # … with those that wait for servers which do not answer: a few of each must not keep out all others …
HELD_BYTES = 48 * 1024 * 1024  # … and their size
JOB_SHARE = 20  # of a batch, at least: many jobs take turns
JOBS_KNOWN_FOR = 2.0  # seconds
LOOK_AGAIN = 0.25  # seconds, while mails are still on their way
MARK_EVERY = 15.0


class Feeder:
    """One thread; works while the engine has a run."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.composer = Composer()
        self.signer: BatchThread[OutgoingMail] = BatchThread("signer", self._sign, most=25)
        self._jobs: deque[int | None] = deque()
        self._jobs_until = 0.0
        self._average = 4096.0
        self._marked: dict[int, float] = {}
        self._wake = threading.Condition()
        self._ending = False
        self.busy = False
        self._thread = threading.Thread(target=self._run, name="smp-feeder", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        with self._wake:
            self._wake.notify()

    def close(self) -> None:
        self._ending = True
        self.wake()
        self._thread.join()
        self.signer.close()

    def _sleep(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait(seconds)

    def _run(self) -> None:
        while not self._ending:
            run = self.engine.run
            if run is None or not run.claiming:
                self.busy = False
                self._sleep(1.0)
                continue
            self.busy = True
            try:
                self._feed(run)
            except (OperationalError, InterfaceError) as error:
                logger.warning("the database went away, trying again: %s", error)
                connection.close()
                self._sleep(0.5)
            except Exception as error:
                logger.exception("claiming or making mails failed")
                connection.close()
                run.failed(error)
        connections.close_all()

    def _feed(self, run: "Run") -> None:
        room = self._room()
        if room < BATCH // 4 and room < len(self.engine.held):
            self._sleep(0.02)
            return
        self.engine.routing.refresh()
        before = self.engine.settled_count
        rows, since = self._claim(run, min(room, BATCH))
        if not rows:
            if not self.engine.held and self.engine.settled_count == before:
                run.nothing_due()
            else:
                self._sleep(LOOK_AGAIN if len(self.engine.held) > 5 else 0.02)
            return
        self._mark(rows)
        run.outcome.jobs.update(row.job_id for row in rows if row.job_id is not None)
        mails = [OutgoingMail(row, since) for row in rows]
        self.engine.hold(mails)
        try:
            self._make(self.engine.passed(mails))
        except BaseException:
            self.engine.give_back(mails)
            raise

    def _room(self) -> int:
        by_bytes = (HELD_BYTES - self.engine.held_bytes) / self._average
        held, stalled = len(self.engine.held), self.engine.dispatcher.stalled
        by_number = min(HELD - held + stalled, HELD_MOST - held)
        return int(min(by_number, max(by_bytes, 1 if not held else 0)))

    def _claim(self, run: "Run", count: int) -> tuple[list[Claimed], float]:
        """Fair turns: mails without a job first, then every job in its turn, a share of the batch each."""
        since = monotonic()
        if not run.all_jobs:
            return claim(run.job_id, count), since
        if monotonic() > self._jobs_until or not self._jobs:
            known = jobs_with_due_mail()
            # Those that had their turn longest ago come first again; None is in front.
            self._jobs = deque(sorted(known, key=lambda job: (job is not None, self._turn_of(job))))
            self._jobs_until = monotonic() + JOBS_KNOWN_FOR
        rows: list[Claimed] = []
        share = max(JOB_SHARE, count // max(len(self._jobs), 1))
        for _job in range(len(self._jobs)):
            if len(rows) >= count:
                break
            job = self._jobs.popleft()
            asked = min(share, count - len(rows))
            taken = claim(job, asked)
            rows += taken
            if len(taken) == asked:
                self._jobs.append(job)
        return rows, since

    def _turn_of(self, job: int | None) -> int:
        return list(self._jobs).index(job) if job in self._jobs else -1

    def _make(self, mails: list[OutgoingMail]) -> None:
        if not mails:
            return
        by_pk = {outgoing.pk: outgoing for outgoing in mails}
        size = 0
        for one in self.composer.make([outgoing.row for outgoing in mails]):
            outgoing = by_pk[one.row.pk]
            if not isinstance(one, Made):
                self.engine.settle(outgoing, verdicts.unmade(one), None)
                continue
            mail = one.mail
            outgoing.made(
                data=mail.data, sender=mail.sender, from_address=mail.from_header, own=one.own,
                recipients=one.recipients, values=one.values, subject=mail.subject, snapshot_id=one.snapshot_id,
                sent_at=one.sent_at, purpose=one.purpose,
            )  # fmt: skip
            if not one.recipients:
                self.engine.settle(outgoing, verdicts.nothing_left(outgoing), None)
                continue
            size += outgoing.size
            self.engine.held_bytes += outgoing.size
            self.signer.post(outgoing)
        self._average += 0.2 * (max(size / len(mails), 1024) - self._average)

    def _sign(self, mails: list[OutgoingMail]) -> None:
        for outgoing in mails:
            try:
                signature = self.engine.routing.sign(outgoing)
            except (OperationalError, InterfaceError):
                # The database went away, which is no mail's fault.
                logger.warning("mail %s waits: its key could not be read", outgoing.pk, exc_info=True)
                connection.close()
                self.engine.give_back([outgoing])
                continue
            except Exception as error:
                logger.exception("mail %s could not be signed", outgoing.pk)
                self.engine.settle(outgoing, verdicts.not_signed(outgoing, clean_text(str(error))), None)
                continue
            outgoing.data = signature + outgoing.data
            outgoing.ready = True
        self.engine.arrive([outgoing for outgoing in mails if outgoing.ready])

    def _mark(self, rows: list[Claimed]) -> None:
        """The watchdog's sign of life, a few times a minute."""
        now = time.monotonic()
        due = {
            row.job_id
            for row in rows
            if row.job_id is not None and now - self._marked.get(row.job_id, -MARK_EVERY) >= MARK_EVERY
        }
        if due:
            mark_progress(due)
            self._marked = {job: at for job, at in self._marked.items() if now - at < 600} | dict.fromkeys(
                due, now
            )

"""Handing mail over: one engine per process, over all jobs.

    feeder (thread)   claim → compose → sign                             feeder.py
    loop (thread)     sites, agents, SMTP                                 dispatcher.py, site_queues.py, agents.py
    intents (thread)  claimed → handing_over, one commit for all agents   intent.py
    records (thread)  answers → sent, deferred, error, unknown           record.py
    chores (thread)   rows given back, leases made longer                claim.py

The promise (docs/architecture.md) holds for a process that is killed anywhere in here. What is written where:

    killed before the intent's commit    the row is claimed, its lease ends, the sweeper queues it again
    killed between it and the record     the row is handing_over, its lease ends: 結果不明, never sent again by itself
    the answer is in hand                recorded at once, waiting for the database if need be
"""

import asyncio
import atexit
import logging
import os
import sys
import threading
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from mail.delivery import verdicts
from mail.delivery.batch_threads import BatchThread
from mail.delivery.brake import HOLD
from mail.delivery.claim import LEASE_MARGIN, claim_lease, handing_over_lease, release_each, renew
from mail.delivery.compose import Unmade
from mail.delivery.dispatcher import Dispatcher
from mail.delivery.feeder import Feeder
from mail.delivery.intent import Intent, intend, settle_refused
from mail.delivery.outgoing import OutgoingMail
from mail.delivery.record import Result, record, take_back
from mail.delivery.routing import Routing, Site
from mail.delivery.runs import ALL, Outcome, Run, Scope, Signals
from mail.delivery.site_queues import SiteQueue
from mail.models.send_job import JobState, SendJob

__all__ = ["ALL", "Engine", "Outcome", "deliver", "shut_down"]

logger = logging.getLogger(__name__)

DRAIN = 3.0  # seconds after `until` in which what waits for an agent may still go out
GRACE = 2.0  # seconds a caller waits for answers beyond that; slower ones are recorded in the background
LOOK = 0.5
# Seconds a thread may keep the others from running. The loop lets go of the interpreter at every send and must have it
# back soon: with Python's 5 ms every mail waits for the one that is being made.
SWITCH = 0.0005
LINGER = 0.02  # seconds a result waits for others to be written with it
INTENT_LINGER = 0.002  # the same for intents, which agents wait for


def deliver(job_id: Scope, *, until: datetime) -> Outcome:
    """Hands over what is due of one job in state sending, of the mails without a job (None), or of all (ALL). Returns
    when nothing is due any more and nothing in the air, at `until`, or when the relay cannot be used.

    At `until` nothing more is claimed and what is in the air finishes; answers that take minutes are recorded when
    they come, by this process, which must live on. SIGTERM and SIGINT give back what was not begun, wait for all that
    is in the air, and then take their usual effect. Any number of processes may do this at once, for the same job too.
    Call it outside of any transaction.
    """
    with Signals() as signals:
        outcome = Engine.here().work(Run(job_id), until, signals)
        if signals.came:
            shut_down()
    return outcome


def shut_down(patience: float | None = None) -> None:
    """Ends this process's engine: nothing more is claimed, what is in the air finishes (for `patience` seconds at
    most), the other claims are given back at once."""
    engine = Engine.existing()
    if engine is not None:
        engine.close(patience)


class Engine:
    _one: "Engine | None" = None
    _making = threading.Lock()

    @classmethod
    def here(cls) -> "Engine":
        """This process's engine; after a fork a new one."""
        with cls._making:
            if cls._one is None or cls._one.pid != os.getpid() or cls._one.closed:
                cls._one = Engine()
            return cls._one

    @classmethod
    def existing(cls) -> "Engine | None":
        one = cls._one
        return one if one is not None and one.pid == os.getpid() and not one.closed else None

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.closing = False
        self.closed = False
        self.run: Run | None = None
        self.held: dict[int, OutgoingMail] = {}  # claimed here and not settled yet
        self.held_bytes = 0
        self.settled_count = 0
        self.changed = threading.Condition()
        self._one_run = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._relay_ok: set[int] = set()
        self.loop = asyncio.new_event_loop()
        self.routing = Routing()
        self.dispatcher = Dispatcher(self)
        self.intents: BatchThread[OutgoingMail] = BatchThread(
            "intents", self._commit_intents, most=200, linger=INTENT_LINGER
        )
        self.records: BatchThread[tuple[OutgoingMail, Result, Site | None]] = BatchThread(
            "records", self._write_results, linger=LINGER
        )
        self.chores: BatchThread[tuple[str, Any]] = BatchThread("chores", self._do_chores)
        self.feeder = Feeder(self)
        sys.setswitchinterval(SWITCH)
        self._loop_thread = threading.Thread(target=self._loop_runs, name="smp-loop", daemon=True)
        self._loop_thread.start()
        atexit.register(self.close)

    # ---- the run of a caller

    def work(self, run: Run, until: datetime, signals: Signals) -> Outcome:
        deadline = monotonic() + (until - timezone.now()).total_seconds()
        with self._one_run:
            self.run = run
            self._relay_ok.clear()
            try:
                self.feeder.wake()
                while not (run.over or signals.stop or monotonic() >= deadline):
                    self._wait(min(0.2, max(deadline - monotonic(), 0)))
                run.claiming = False
                if not (signals.stop or run.over):
                    run.outcome.more = True
                    self._wait_until(lambda: signals.stop or self._unbegun == 0, DRAIN)
                elif signals.stop:
                    run.outcome.more = True
                run.open = False
                self._stop_what_waits()
                self._wait_until(lambda: not self.held, handing_over_lease() if signals.came else GRACE)
            finally:
                run.claiming = run.open = False
                self.run = None
                self.chores.post(("count", None))
        if run.error is not None:
            raise run.error
        return run.outcome

    @property
    def _unbegun(self) -> int:
        return self.dispatcher.queued + len(self.feeder.signer) + int(self.feeder.busy)

    def _stop_what_waits(self) -> None:
        """What no agent has begun goes back to the queue, also what is just being made."""
        self._wait_until(lambda: not self.feeder.busy, 30.0)
        self._call(lambda: self.give_back(self.dispatcher.empty()))

    def _wait(self, seconds: float) -> None:
        with self.changed:
            self.changed.wait(seconds)

    def _wait_until(self, condition: Any, seconds: float | None) -> bool:
        until = None if seconds is None else monotonic() + seconds
        while not condition():
            if until is not None and monotonic() >= until:
                return False
            self._wait(0.05)
        return True

    def notify(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def close(self, patience: float | None = None) -> None:
        """`patience`: seconds for what is in the air; by itself as long as a hand-over can take at all."""
        if self.closed or self.pid != os.getpid():
            return
        patience = handing_over_lease() if patience is None else patience
        self.closing = True
        if self.run is not None:
            self.run.claiming = self.run.open = False
        self.feeder.close()
        self._call(lambda: self.give_back(self.dispatcher.empty()))
        self._wait_until(lambda: not self.held, patience)
        self.closed = True
        self._finish_tasks()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._loop_thread.join()
        self.intents.close()
        self.records.close()
        self.chores.post(("count", None))
        self.chores.close()
        atexit.unregister(self.close)

    # ---- the loop

    def _loop_runs(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._look)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _call(self, function: Any) -> None:
        """Runs a function on the loop and waits for it."""
        done = threading.Event()

        def act() -> None:
            try:
                function()
            finally:
                done.set()

        self.loop.call_soon_threadsafe(act)
        done.wait()

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task on the loop; one that fails is logged, and what it held is settled by its own `finally` or the lease."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of the engine failed", exc_info=error)

    def _finish_tasks(self) -> None:
        """Agents without mail say goodbye, leases go back to Redis."""

        async def finish() -> None:
            others = self._tasks - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self.routing.close()

        asyncio.run_coroutine_threadsafe(finish(), self.loop).result(10)

    def _look(self) -> None:
        """Twice a second: agents, slow sites, leases."""
        if self.closed:
            return
        try:
            self.dispatcher.look()
            self._renew_leases()
        except Exception:
            logger.exception("housekeeping failed")
        self.loop.call_later(LOOK, self._look)

    def _renew_leases(self) -> None:
        """A claim must outlast everything up to the intent."""
        old = monotonic() - claim_lease() + settings.SMTP_TIMEOUT + LEASE_MARGIN / 2
        due = [one for one in list(self.held.values()) if one.allowed is None and one.held_since < old]
        if due:
            now = monotonic()
            for outgoing in due:
                outgoing.held_since = now
            self.chores.post(("renew", due))

    def others_wait(self, site_queue: SiteQueue) -> bool:
        """Whether a site queue that is too full keeps others' mail out of the buffer."""
        return self.run is not None and self.run.all_jobs and not site_queue.site.everybodys

    # ---- mails

    def hold(self, mails: Iterable[OutgoingMail]) -> None:
        for outgoing in mails:
            self.held[outgoing.pk] = outgoing

    def passed(self, mails: list[OutgoingMail]) -> list[OutgoingMail]:
        """Those that are worth making: the others go back at once, before anything is spent on them. From the feeder."""
        back = [(outgoing, HOLD) for outgoing in self.routing.braked(mails)]
        back += self.dispatcher.too_many(mails)
        self.give_back_each(back)
        gone = {outgoing.pk for outgoing, _wait in back}
        return [outgoing for outgoing in mails if outgoing.pk not in gone] if gone else mails

    def arrive(self, mails: Sequence[OutgoingMail]) -> None:
        """From the signer's thread."""
        self.loop.call_soon_threadsafe(self.arrived, mails)

    def arrived(self, mails: Sequence[OutgoingMail]) -> None:
        run = self.run
        if self.closing or run is None or not run.open:
            self.give_back(mails)
        else:
            self.dispatcher.receive(mails)

    def settle(self, outgoing: OutgoingMail, result: Result, site: Site | None) -> None:
        """The result of a mail: written by the records' batch thread as soon as it is free."""
        self.records.post((outgoing, result, site))

    def give_back(self, mails: Iterable[OutgoingMail]) -> None:
        self.give_back_each([(outgoing, 0.0) for outgoing in mails])

    def give_back_each(self, waits: Sequence[tuple[OutgoingMail, float]]) -> None:
        """Rows that are not handed over now, each due again after its wait in seconds."""
        if waits:
            self.chores.post(("back", list(waits)))

    def abandon(self, mails: Sequence[OutgoingMail]) -> None:
        """Something unexpected happened to them: their leases decide, queued again or 結果不明."""
        if mails:
            logger.error("mails %s are left to the sweeper", [outgoing.pk for outgoing in mails])
            self._gone(mails)

    def relay_is_away(self, mails: Sequence[OutgoingMail], text: str, wait: float) -> None:
        """No lead's fault and no attempt: everything waits, however long it takes, and the job shows why (ERR-3)."""
        jobs = {outgoing.row.job_id for outgoing in mails if outgoing.row.job_id is not None}
        self.chores.post(("trouble", (jobs, text)))
        self.give_back_each([(outgoing, wait) for outgoing in mails])
        run = self.run
        if run is not None:
            run.outcome.trouble = text
            if not any(
                site_queue.in_use
                for site_queue in self.dispatcher.site_queues.values()
                if not site_queue.dead
            ):
                run.nothing_due()  # there is no other way: claiming more would only move rows about
            self.notify()

    def is_last_attempt(self, outgoing: OutgoingMail, site: Site | None) -> bool:
        """Its retry period is over, so this attempt decides (ERR-3)."""
        minutes = outgoing.row.tried_minutes
        return minutes is not None and minutes >= self.routing.retry_plan(site).period_minutes

    def _gone(self, mails: Iterable[OutgoingMail]) -> None:
        for outgoing in mails:
            if self.held.get(outgoing.pk) is outgoing:
                del self.held[outgoing.pk]
                self.held_bytes -= outgoing.size if outgoing.intent is not None else 0
                self.settled_count += 1
        self.notify()
        self.feeder.wake()

    # ---- batch thread: intents

    def ask_intent(self, outgoing: OutgoingMail) -> None:
        """On the loop. `mail.allowed` becomes True when its intent is on disk; False: it must not be sent, and is
        settled or given back already. Asked again while the dot is not written, it looks anew (OPT-6)."""
        outgoing.allowed = self.loop.create_future()
        outgoing.asked_at = monotonic()
        self.intents.post(outgoing)

    def _commit_intents(self, mails: list[OutgoingMail]) -> None:
        intents = [outgoing.intent for outgoing in mails if outgoing.intent is not None]
        try:
            allowed = intend(intents)
        except (OperationalError, InterfaceError):
            # Whether the intents are on disk is unknown, but no dot was sent: the holder may say so.
            logger.warning("the database went away at %s intents", len(mails), exc_info=True)
            connection.close()
            self._answer(mails, set())
            self.chores.post(("take back", mails))
            return
        except Exception as error:  # a value that cannot be stored (psycopg2 calls some a ValueError)
            if len(mails) > 1:
                for outgoing in mails:
                    self._commit_intents([outgoing])
                return
            logger.exception("the intent of mail %s was refused", mails[0].pk)
            self._answer(mails, set())
            unmade = Unmade(mails[0].row, str(error), merged=False)
            self.settle(mails[0], verdicts.unmade(unmade), None)
            return
        self._answer(mails, allowed)
        if len(allowed) < len(mails):
            self._settle_refused([outgoing for outgoing in mails if outgoing.pk not in allowed])

    def _answer(self, mails: list[OutgoingMail], allowed: set[int]) -> None:
        def tell() -> None:
            for outgoing in mails:
                if outgoing.allowed is not None and not outgoing.allowed.done():
                    outgoing.allowed.set_result(outgoing.pk in allowed)

        self.loop.call_soon_threadsafe(tell)

    def _settle_refused(self, mails: list[OutgoingMail]) -> None:
        intents: list[Intent] = [outgoing.intent for outgoing in mails if outgoing.intent is not None]
        try:
            reasons = settle_refused(intents)
        except (OperationalError, InterfaceError):
            logger.warning("refused intents could not be settled, the sweeper will", exc_info=True)
            connection.close()
            reasons = {}
        if self.run is not None:
            self.run.outcome.excluded += sum(reason is not None for reason in reasons.values())
        self._gone(mails)

    # ---- batch thread: results

    def _write_results(self, batch: list[tuple[OutgoingMail, Result, Site | None]]) -> None:
        self.routing.refresh()
        results = [self.routing.with_retries(result, site) for _mail, result, site in batch]
        written: set[int] = set()
        try:
            written = self._record(results)
        finally:
            run = self.run
            for result in results:
                if result.pk not in written:
                    logger.warning("the result %s of mail %s came too late", result.state, result.pk)
                elif run is not None:
                    run.tally(result)
            self._gone([outgoing for outgoing, _result, _site in batch])
        done = [(outgoing, result) for outgoing, result, _site in batch if result.pk in written]
        self._relay_is_back(done)
        self.routing.recorded(done)

    def _record(self, results: list[Result]) -> set[int]:
        """One that cannot be stored does not take the others with it: it alone ends as 結果不明."""
        try:
            return record(results)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            if len(results) == 1:
                logger.exception("the result of mail %s cannot be stored", results[0].pk)
                return set()
            return set().union(*(self._record([one]) for one in results))

    def _relay_is_back(self, batch: list[tuple[OutgoingMail, Result]]) -> None:
        jobs = {
            outgoing.row.job_id
            for outgoing, result in batch
            if result.remote_host and outgoing.row.job_id is not None
        }
        if new := jobs - self._relay_ok:
            self._relay_ok |= new
            SendJob.objects.filter(pk__in=new, state=JobState.SENDING).exclude(halt_reason="").update(
                halt_reason=""
            )

    # ---- batch thread: chores

    def _do_chores(self, chores: list[tuple[str, Any]]) -> None:
        for what, about in chores:
            try:
                self._do(what, about)
            except (OperationalError, InterfaceError):
                logger.warning("%s did not work, the sweeper will see to it", what, exc_info=True)
                connection.close()
                self._leave(what, about)
            except Exception:
                logger.exception("%s failed, the sweeper will see to it", what)
                self._leave(what, about)

    def _leave(self, what: str, about: Any) -> None:
        if what == "back":
            self._gone([outgoing for outgoing, _wait in about])
        elif what == "take back":
            self._gone(about)

    def _do(self, what: str, about: Any) -> None:
        match what:
            case "renew":
                renew(about)
            case "back":
                take_back([outgoing for outgoing, _wait in about if outgoing.intended])
                release_each([(outgoing, wait) for outgoing, wait in about if not outgoing.intended])
                self._gone([outgoing for outgoing, _wait in about])
            case "take back":
                take_back(about)
                self._gone(about)
            case "count":
                self.routing.count()
            case "trouble":
                jobs, text = about
                logger.warning("the relay cannot be used: %s", text)
                SendJob.objects.filter(pk__in=jobs, state=JobState.SENDING).update(halt_reason=text)

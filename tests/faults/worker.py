"""A worker for tests that dies by SIGKILL at a given step: `python -m tests.faults.worker JOB STEP NUMBER`.

STEP none: works until nothing is due. STEP crowd: `NUMBER` workers side by side, one of which is killed and replaced
every now and then, for CROWD_SECONDS. Short timeouts and leases come from the environment.

`python -m tests.faults.worker` without arguments makes one for each line on its standard input, JSON with `job`, `step`,
`number` and `settings`, waits for its end and prints its exit code. Forking costs milliseconds, starting seconds.
"""
# ruff: noqa: E402 (Django first)

import json
import os
import random
import signal
import sys
import time
from datetime import timedelta

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smp.settings")

import django

django.setup()

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mail.delivery import claim, engine, feeder, record, source_queues, sweep
from mail.smtp import client
from mail.smtp.stuffing import stuff

CROWD_SECONDS = 4.0

claim.LEASE_MARGIN = engine.LEASE_MARGIN = 0.2


def die(*_ignored):
    os.kill(os.getpid(), signal.SIGKILL)


class Count:
    """True at the n-th call."""

    def __init__(self, number):
        self.left = number

    def __call__(self):
        self.left -= 1
        return self.left == 0


def arm(step, number):
    here = Count(number)

    def after(function):
        def wrapped(*args, **kwargs):
            result = function(*args, **kwargs)
            if here():
                die()
            return result

        return wrapped

    def awaited(method):
        async def wrapped(*args, **kwargs):
            result = await method(*args, **kwargs)
            if here():
                die()
            return result

        return wrapped

    def half_a_body(self, flight, data):
        if here():
            self.wire.write(stuff(data)[: len(data) // 2])
            leave_and_die(self, 0.05)
        body(self, flight, data)

    def dot_without_waiting(self, flight, data):
        body(self, flight, data)
        if here():
            leave_and_die(self, 0.3)  # the sink has written the mail down by now

    def envelope_without_waiting(self, envelope):
        flight = begin(self, envelope)
        if len(self._flights) == 2 and here():  # body, dot and the next envelope are one write
            leave_and_die(self, 0.3)
        return flight

    def leave_and_die(session, seconds):
        session.wire._flush()
        time.sleep(seconds)
        die()

    begin = client.Session.begin
    body = client.Session.body
    match step:
        case "after_claim":
            feeder.claim = after(feeder.claim)
        case "after_354":
            client.Flight.ready = awaited(client.Flight.ready)
        case "before_intent_commit":
            engine.intend = uncommitted(engine.intend, here)
        case "after_intent":
            engine.intend = after(engine.intend)
        case "mid_body":
            client.Session.body = half_a_body
        case "after_dot":
            client.Session.body = dot_without_waiting
        case "envelope_behind":
            client.Session.begin = envelope_without_waiting
        case "after_reply":
            client.Flight.verdict = awaited(client.Flight.verdict)
        case "before_record_commit":
            record._count_failures = after(record._count_failures)
        case "after_record":
            engine.record = after(engine.record)
        case "during_sweep":
            with transaction.atomic():
                sweep.sweep()
                die()


def uncommitted(intend, here):
    """Killed inside the intent's transaction: durable ones cannot be nested, so its connection is cut instead."""
    from mail.delivery import intent

    class Cut:
        def __init__(self, **_options):
            self.block = transaction_atomic()

        def __enter__(self):
            return self.block.__enter__()

        def __exit__(self, *error):
            if here():
                die()
            return self.block.__exit__(*error)

    transaction_atomic = transaction.atomic
    intent.transaction = type("transaction", (), {"atomic": Cut})
    return intend


def work(job_id):
    while True:
        outcome = engine.deliver(job_id, until=timezone.now() + timedelta(seconds=20))
        if not outcome.handled and not outcome.more:
            return


def work_and_sweep_for_ever(job_id):
    while True:
        engine.deliver(job_id, until=timezone.now() + timedelta(seconds=2))
        sweep.sweep()
        time.sleep(0.02)


def crowd(job_id, number):
    """Forks before any connection is opened. Returns the number of kills on stdout."""
    until = time.monotonic() + CROWD_SECONDS
    dice = random.Random(20261121)
    kills, workers = 0, []
    while time.monotonic() < until:
        while len(workers) < number:
            pid = os.fork()
            if pid == 0:
                try:
                    work_and_sweep_for_ever(job_id)
                finally:
                    os._exit(1)
            workers.append(pid)
        time.sleep(dice.uniform(0.1, 0.35))
        victim = workers.pop(dice.randrange(len(workers)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        kills += 1
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(kills, flush=True)


def live(job, step, number):
    if step == "crowd":
        crowd(job, number)
    else:
        source_queues.WORTH_AN_AGENT = 1000  # one connection: its steps come one after the other
        engine.LINGER = 0.0
        arm(step, number)
        work(job)


def bring_up():
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:  # ends as any process does
            for name, value in wanted["settings"].items():
                setattr(settings, name, value)
            return live(wanted["job"], wanted["step"], wanted["number"])
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        live(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    else:
        bring_up()

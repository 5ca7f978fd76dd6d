"""The long run of the sending promise: `make soak MAILS=100000 KILLS=300`, or with few mails as a part of `make test`.

A mailing goes out through several workers to a sink that writes each mail to disk before it answers, while workers are
killed at random and at every step of the protocol, PostgreSQL crashes, Redis is flushed, stopped and frozen, and the
sink refuses, hangs up, stays silent, talks nonsense and fails TLS. At the end the ledger is held against the sink's
file, and the summary says whether the promise was kept; exit code 1 if it was not.

It starts servers of its own in a temporary folder, and talks to loopback only.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.servers import OwnServers

STEPS = [
    "after_claim", "after_354", "before_intent_commit", "after_intent", "mid_body", "after_dot", "envelope_behind", "after_reply",
    "before_record_commit", "after_record",
]  # fmt: skip

# What the sink does, as shares of the mails it is offered: 30 % 4xx, 5 % 5xx, and the rest of the list.
ODDS = {
    "rcpt451": 0.15, "dot451": 0.15, "rcpt550": 0.025, "dot554": 0.025, "drop": 0.004, "lose": 0.004, "garbage": 0.002,
    "multi": 0.02, "dot421": 0.004,
}  # fmt: skip


def arguments():
    parser = argparse.ArgumentParser(description="The sending promise under faults.")
    parser.add_argument("--mails", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--crashes", type=int, default=10, help="immediate restarts of PostgreSQL")
    parser.add_argument("--flushes", type=int, default=15, help="of Redis")
    parser.add_argument("--stops", type=int, default=4, help="of Redis, and as many freezes")
    parser.add_argument("--late", type=float, default=90.0, help="seconds that a late verdict takes")
    parser.add_argument(
        "--slow", type=int, default=20, help="mails whose verdict is late, silent or dripping, of each"
    )
    parser.add_argument("--timeout", type=int, default=10, help="SMP_SMTP_TIMEOUT")
    parser.add_argument("--every", type=float, default=1.2, help="mean seconds between two faults")
    parser.add_argument("--limit", type=float, default=3600, help="seconds until it is given up")
    parser.add_argument("--seed", type=int, default=20261121)
    return parser.parse_args()


class Soak:
    def __init__(self, options, folder):
        self.options = options
        self.folder = Path(folder)
        self.dice = random.Random(options.seed)
        self.accepted_path = self.folder / "accepted.jsonl"
        self.servers = OwnServers(folder)
        self.sink = self.nursery = None
        self.workers = []
        self.kills = Counter()
        self.in_air = set()  # mails between intent and result at the moment of a kill
        self.told = self.began = time.monotonic()

    # ---- the stage

    def start(self):
        self.servers.start()
        options = self.options
        slow = options.slow / options.mails
        odds = ODDS | {"late": slow, "silent": slow, "drip": slow}
        behaviour = {
            "odds": odds, "seed": options.seed, "lateness": options.late, "silence": 1.7 * options.late,
            "drip": options.late / 90, "tls": "sometimes", "keep_data": False,
        }  # fmt: skip
        self.sink = subprocess.Popen(
            [sys.executable, "-m", "tests.sink", str(self.accepted_path), json.dumps(behaviour)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "smp.settings",
            "SMP_RELAY": f"127.0.0.1:{self.sink.stdout.readline().strip()}",
            "SMP_SMTP_TIMEOUT": str(options.timeout),
            "SMP_SMTP_DOT_TIMEOUT": str(int(1.4 * options.late) + 1),
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        self.job = prepare(options.mails)
        self.log = (self.folder / "workers.log").open("w")
        self.nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True, bufsize=1,
        )  # fmt: skip
        for _worker in range(options.workers):
            self.bear()

    def bear(self):
        """Every second worker dies by itself, at some step of the protocol."""
        step, number = "none", 1
        if self.dice.random() < 0.5 and sum(self.kills.values()) < self.options.kills:
            step, number = self.dice.choice(STEPS), self.dice.randrange(1, 40)
        self.nursery.stdin.write(f"{step} {number}\n")
        self.workers.append((int(self.nursery.stdout.readline()), step))

    def end(self):
        """Whatever was started; nothing is left behind."""
        for pid, _step in self.workers:
            kill(pid)
        if self.nursery is not None:
            self.nursery.stdin.close()
            self.nursery.wait(30)
        if self.sink is not None:
            self.sink.send_signal(signal.SIGTERM)
            self.sink_says = json.loads(self.sink.stdout.readline() or "{}")
            self.sink.kill()
            self.sink.wait()

    # ---- the storm

    def storm(self):
        options = self.options
        faults = ["crash"] * options.crashes + ["flush"] * options.flushes
        faults += ["stop", "freeze"] * options.stops
        faults += ["kill"] * max(options.kills - len(faults), 0)
        self.dice.shuffle(faults)
        faults.append("sweeper")
        while sum(self.kills.values()) < options.kills or faults:
            self.dead()
            fault = faults.pop() if faults else "kill"
            match fault:
                case "kill":
                    self.kill_one()
                case "crash":
                    self.servers.crash_postgresql()
                case "flush":
                    self.servers.flush_redis()
                case "stop":
                    self.servers.stop_redis(self.dice.uniform(0.5, 2))
                case "freeze":
                    self.servers.freeze_redis(self.dice.uniform(0.5, 2))
                case "sweeper":
                    self.kill_a_sweeper()
            self.dead()
            if self.nudge() == 0 or self.over_time():
                return
            time.sleep(self.dice.expovariate(1 / options.every))

    def kill_one(self):
        pid, _step = self.workers.pop(self.dice.randrange(len(self.workers)))
        if kill(pid):
            self.kills["at random"] += 1
            self.note_in_air()
        self.bear()

    def dead(self):
        """Those that died at their step are counted and followed by another."""
        for pid, step in list(self.workers):
            if not alive(pid):
                self.workers.remove((pid, step))
                self.kills[step] += 1
                self.note_in_air()
                self.bear()

    def kill_a_sweeper(self):
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.worker", str(self.job.pk), "during_sweep", "1"],
            capture_output=True, timeout=60,
        )  # fmt: skip
        self.kills["during_sweep"] += done.returncode == -signal.SIGKILL

    def settle(self):
        """Nobody is killed any more; leases run out, retries come, the last answers too."""
        while not self.over_time():
            self.dead()
            if self.nudge() == 0:
                return
            time.sleep(0.5)

    def nudge(self):
        """Retries are due at once. Returns how many mails are open."""
        left = patiently(lambda: nudge(self.job.pk))
        if time.monotonic() - self.told > 30:
            self.told = time.monotonic()
            print(
                f"{self.told - self.began:.0f} s: {left:,} open, {sum(self.kills.values())} kills",
                file=sys.stderr,
            )
        return left

    def note_in_air(self):
        """Of all workers: whose they are nobody can tell. Dead ones keep theirs until the lease is over."""
        from mail.models import Delivery

        ids = Delivery.objects.filter(state="handing_over").values_list("id", flat=True)
        self.in_air.update(patiently(lambda: list(ids.all())))

    def over_time(self):
        return time.monotonic() - self.began > self.options.limit

    # ---- the reckoning

    def report(self):
        from mail import send_jobs
        from mail.links import read_envelope_sender
        from mail.models import Delivery

        job = self.job
        job.refresh_from_db()
        states = dict(job.deliveries.values_list("id", "state"))
        by_state = Counter(states.values())
        again = set(job.deliveries.filter(again__gt=0).values_list("id", flat=True))
        mails = list(read_accepted(self.accepted_path))
        taken = Counter(read_envelope_sender(sender) for sender, _kind in mails)
        unanswered = {read_envelope_sender(s) for s, kind in mails if kind in {"drop", "garbage", "silent"}}
        # A mail is small enough to be in the kernel's hands, dot and all, when the server hangs up in its middle.
        unanswered |= {read_envelope_sender(sender) for sender in self.sink_says["lost"]}
        unanswered |= set(job.deliveries.filter(code=40001).values_list("id", flat=True))
        unknown = {pk for pk, state in states.items() if state == "unknown"}
        sent = {pk for pk, state in states.items() if state == "sent"}
        counts = send_jobs.counts_now(job)
        send_jobs.finish_if_empty(job.pk, now=django_now())
        job.refresh_from_db()
        leads = job.deliveries.values("lead_id").distinct().count()
        by_kills = unknown - unanswered
        codes = Counter(job.deliveries.filter(state="error").values_list("code", flat=True))
        ours = Counter(job.deliveries.filter(state="error", code=None).values_list("reply", flat=True))
        checks = {
            "every lead in scope has exactly one row": leads == len(states) == self.options.mails + EXCLUDED,
            "every row is in a final state": set(by_state) <= {"sent", "error", "unknown", "excluded"},
            "accepted ⊆ 正常 ∪ 結果不明": set(taken) <= sent | unknown,
            "正常 ⊆ accepted: nothing lost": sent <= set(taken),
            "nothing accepted twice unless sent again by a person": not {
                pk for pk, times in taken.items() if times > 1 and pk not in again
            },
            "結果不明 ⊆ mails in the air when a worker was killed, or never answered": by_kills
            <= self.in_air,
            "every エラー is a receiver's 5xx: no fault of ours ends a mail": set(codes) <= {42550, 42554},
            "the counts add up": counts.in_scope == sum(counts.by_state.values()) == len(states)
            and job.state == "done"
            and job.counts["state"] == counts.by_state
            and counts.by_state.get("excluded", 0) == sum(counts.by_reason.values()) == EXCLUDED,
        }
        attempts = sum(Delivery.objects.filter(job=job).values_list("attempts", flat=True))
        did = self.sink_says["did"]
        print(f"""
mails           {self.options.mails:,} to send, {EXCLUDED} excluded by their opt-out; {attempts:,} attempts recorded
time            {time.monotonic() - self.began:.0f} s, {self.options.workers} workers, {self.sink_says["sessions"]:,} sessions
kills           {sum(self.kills.values())}: {show(self.kills)}
other faults    PostgreSQL immediate restarts {self.options.crashes}; Redis flushed {self.options.flushes}, stopped and frozen {self.options.stops} times each
the sink        {show({kind or "took": number for kind, number in did.items()})}
the ledger      {show(by_state)}; errors by code: {show(codes)}
accepted        {len(mails):,} mails of {len(taken):,} deliveries
結果不明        {len(unknown)}: {len(unknown & unanswered)} where the server gave no answer; {len(by_kills)} by kills, of which {len(by_kills & set(taken))} were accepted ({len(self.in_air)} were in the air at kills)
""")
        for text, number in ours.items():
            print(f"{number} times: {text[:200]}")
        for row in Delivery.objects.filter(pk__in=by_kills - self.in_air)[:20]:
            story = [f"{event.at:%H:%M:%S.%f} {event.what}" for event in row.events.all()]
            print(
                f"mail {row.pk}: intent {row.sent_at:%H:%M:%S.%f}; {'; '.join(story)}; {row.code} {row.reply}"
            )
        for check, holds in checks.items():
            print(f"{'ok     ' if holds else 'BROKEN '} {check}")
        return all(checks.values())


# ---- parts

EXCLUDED = 50


def prepare(mails):
    """A started mailing to that many leads, and some who opted out."""
    from django.utils import timezone

    from leads.models import DmPermission, Lead
    from mail import job_start
    from tests.factories import make_job

    now = timezone.now()
    leads = (
        Lead(
            last_name="髙橋", first_name=f"{number}", email=f"r{number}@d{number % 300}.example.jp",
            email_norm=f"r{number}@d{number % 300}.example.jp", created_at=now,
            unsubscribed_at=None if number < mails else now,
            dm_permission=DmPermission.WANTED if number < mails else DmPermission.UNWANTED,
        )
        for number in range(mails + EXCLUDED)
    )  # fmt: skip
    Lead.objects.bulk_create(leads, batch_size=5000)
    job = make_job(state="reserved")
    if not job_start.run(job.pk, now=now):
        job.refresh_from_db()
        sys.exit(f"the mailing did not start: {job.state} {job.halt_reason}")
    return job


def nudge(job_id):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE mail_delivery SET next_at = now() WHERE job_id = %s AND state IN ('deferred', 'queued') "
            "AND next_at > now() + interval '1 second'",
            [job_id],
        )
        cursor.execute(
            "SELECT count(*) FROM mail_delivery WHERE job_id = %s "
            "AND state IN ('queued', 'deferred', 'claimed', 'handing_over')",
            [job_id],
        )
        return cursor.fetchone()[0]


def patiently(function):
    """The harness has no faults of its own: it waits until the database is back."""
    from django.db import DatabaseError, InterfaceError, connection

    deadline = time.monotonic() + 60
    while True:
        try:
            return function()
        except (DatabaseError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def kill(pid):
    """False: it was dead already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    return True


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def read_accepted(path):
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            mail = json.loads(line)
            yield mail["sender"], mail["kind"]


def show(numbers):
    return ", ".join(f"{name} {number:,}" for name, number in sorted(numbers.items(), key=str))


def django_now():
    from django.utils import timezone

    return timezone.now()


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="smp-soak-", ignore_cleanup_errors=True) as folder:
        soak = Soak(options, folder)
        try:
            try:
                soak.start()
                soak.storm()
                soak.settle()
            finally:
                soak.end()
            kept = soak.report()
            if not kept:
                print((soak.folder / "workers.log").read_text()[-20000:], file=sys.stderr)
        finally:
            soak.servers.stop()
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()

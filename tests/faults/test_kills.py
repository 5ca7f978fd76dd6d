"""The sending promise: a mail is never lost and never silently sent twice, whatever is killed and whenever.

The sink runs in a process of its own and writes each mail to disk before it answers: its file is the truth.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils import timezone

from mail.delivery.sweep import sweep_all
from mail.links import read_envelope_sender
from mail.models import Delivery
from tests.factories import make_sending_job
from tests.sink import accepted

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]


SECONDS = 50  # a worker that needs more hangs


@pytest.fixture(scope="module")
def environment(django_db_setup):
    """That of the children: their database is the test's."""
    values = connection.settings_dict
    who = f"{quote(values['USER'])}:{quote(values['PASSWORD'])}"
    url = f"postgresql://{who}@/{values['NAME']}?host={quote(values['HOST'])}"
    return os.environ | {"DATABASE_URL": url + (f"&port={values['PORT']}" if values["PORT"] else "")}


@pytest.fixture(scope="module")
def workers(environment):
    """Brings up one worker after the other, forked from a process that has Django loaded and no connection open."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.worker"], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        yield process
        process.stdin.close()


@dataclass
class Truth:
    """The sink's file, its address, and what brings up workers."""

    path: Path
    relay: str
    workers: subprocess.Popen


@pytest.fixture
def truth(tmp_path, workers):
    path = tmp_path / "accepted.jsonl"
    path.touch()
    sink = subprocess.Popen(
        [sys.executable, "-m", "tests.sink", str(path)], stdout=subprocess.PIPE, text=True
    )
    yield Truth(path, f"127.0.0.1:{sink.stdout.readline().strip()}", workers)
    sink.kill()
    sink.wait()


def run(job, truth, step, number=1, **settings):
    """The exit code of a worker, and what it printed before."""
    settings = {"RELAY": truth.relay, "SMTP_TIMEOUT": 10, "SMTP_DOT_TIMEOUT": 10} | settings
    wanted = {"job": job.pk, "step": step, "number": number, "settings": settings}
    hangs = threading.Timer(SECONDS, os.killpg, (truth.workers.pid, signal.SIGKILL))
    hangs.start()
    try:
        truth.workers.stdin.write(json.dumps(wanted) + "\n")
        truth.workers.stdin.flush()
        said = [truth.workers.stdout.readline().strip() for _line in range(2 if step == "crowd" else 1)]
    finally:
        hangs.cancel()
    return int(said[-1]), said[0]


def die_at(job, truth, step, number):
    assert run(job, truth, step, number)[0] == -signal.SIGKILL


def recover(job, truth):
    """All workers are dead: their leases run out, the sweeper comes, a healthy worker does the rest."""
    Delivery.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))
    sweep_all()
    Delivery.objects.filter(state="deferred").update(next_at=timezone.now())
    assert run(job, truth, "none")[0] == 0


def assert_promise_kept(job, truth):
    """accepted ⊆ sent ∪ unknown, nothing twice, nothing lost, every row in one final state. Returns the states."""
    taken = Counter(read_envelope_sender(mail["sender"]) for mail in accepted(truth.path))
    states = dict(job.deliveries.values_list("id", "state"))
    assert [number for number, times in taken.items() if times > 1] == []
    assert set(states.values()) <= {"sent", "unknown"}
    assert {pk for pk, state in states.items() if state == "sent"} - set(taken) == set()  # sent is true
    assert set(taken) - set(states) == set()
    lost = {pk for pk, state in states.items() if state != "unknown"} - set(taken)
    assert lost == set()
    return Counter(states.values())


# The step, and how many mails may be between their intent's commit and their record when a process dies there once.
# A connection has two mails under way, one whose verdict is due and the next one's envelope; results are written in
# batches.
STEPS = [
    ("after_claim", 0), ("after_354", 2), ("before_intent_commit", 2), ("after_intent", 2), ("mid_body", 2),
    ("after_dot", 2), ("envelope_behind", 2), ("after_reply", 2), ("before_record_commit", 12), ("after_record", 12),
]  # fmt: skip


@pytest.mark.parametrize(("step", "unknown"), STEPS)
def test_killed_at_each_step_twice_over(truth, step, unknown):
    """ERR-4: two workers die at the same step, one after the other; the third one finishes."""
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(40)])
    for _time in range(2):
        die_at(job, truth, step, 1)
        Delivery.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))
        sweep_all()
    recover(job, truth)
    states = assert_promise_kept(job, truth)
    assert states["unknown"] <= 2 * unknown
    assert states.total() == 40
    if step in {"after_intent", "mid_body", "after_dot", "envelope_behind", "after_reply"}:
        assert states["unknown"] >= 2  # nobody can know, and it is said


def test_killed_during_the_sweep(truth):
    """The sweeper's own death changes nothing; the next one does its work."""
    job = make_sending_job("a@x.example.jp", "b@x.example.jp", "c@x.example.jp")
    die_at(job, truth, "after_intent", 1)
    Delivery.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))
    before = Counter(job.deliveries.values_list("state", flat=True))
    for _time in range(2):
        die_at(job, truth, "during_sweep", 1)
        assert Counter(job.deliveries.values_list("state", flat=True)) == before
    recover(job, truth)
    states = assert_promise_kept(job, truth)
    assert 1 <= states["unknown"] <= 2
    assert states.total() == 3


def test_random_kills_of_two_workers_twice_over(truth):
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(400)])
    kills = 0
    for _time in range(2):
        code, killed = run(job, truth, "crowd", 2, SMTP_TIMEOUT=1, SMTP_DOT_TIMEOUT=3)
        assert code == 0
        kills += int(killed)
    recover(job, truth)
    counts = assert_promise_kept(job, truth)
    assert kills > 10
    assert counts["unknown"] <= (kills + 4) * 2 * 10  # two mails in the air per connection
    assert counts["sent"] + counts["unknown"] == 400


def test_unknown_is_never_sent_again(truth):
    """ERR-4: not by the sweeper, not by workers, however often they come."""
    job = make_sending_job("a@x.example.jp")
    die_at(job, truth, "after_intent", 1)
    for _time in range(3):
        recover(job, truth)
    assert accepted(truth.path) == []
    assert [row.state for row in job.deliveries.all()] == ["unknown"]


def test_sigterm_finishes_the_mail_in_the_air_and_gives_the_rest_back(truth, environment):
    job = make_sending_job(*[f"r{number}@x.example.jp" for number in range(300)])
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.worker", str(job.pk), "none", "1"],
        env=environment | {"SMP_RELAY": truth.relay, "SMP_SMTP_TIMEOUT": "10", "SMP_SMTP_DOT_TIMEOUT": "10"},
    )
    deadline = timezone.now() + timedelta(seconds=20)
    while not job.deliveries.filter(state="sent").exists() and timezone.now() < deadline:
        pass
    worker.terminate()
    assert worker.wait(20) == -signal.SIGTERM
    states = Counter(job.deliveries.values_list("state", flat=True))
    assert set(states) == {"sent", "queued"}
    assert states["sent"] == len(accepted(truth.path))

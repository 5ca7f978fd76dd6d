"""A magazine's way from the file of readers to their mailboxes, killed with -9 in each of its long transactions and twice during the
delivery: nobody is lost, mailed twice, decided twice or counted twice (SYS-3, ERR-4, MAG-3, MAG-8, TGT-12)."""

import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
from django.db.models import Count
from django.utils import timezone

from mail import job_start
from mail.delivery.sweep import sweep_all
from mail.magazines.failures import count_missed
from mail.magazines.imports import steps
from mail.models import Delivery, Reader, ReaderChange, ReaderFailure, SendJob, StoryTurn
from mail.stories import starts
from tests.faults.test_kills import (  # noqa: F401 (fixtures)
    die_at,
    environment,
    recover,
    truth,
    workers,
)
from tests.mail.magazine_scene import make_magazine, make_story
from tests.mail.reader_importing import check
from tests.sink import accepted

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

GOOD, BAD = 30, 10
FILE = "姓,E-mailアドレス\n" + "".join(
    [f"髙﨑,r{n}@x.example.jp\n" for n in range(GOOD)]
    + [f"佐藤,rcpt550{n}@x.example.jp\n" for n in range(BAD)]
)

# Everything of the step is written and nothing committed when it dies.
CHILD = """
import os, signal, sys
import django
django.setup()
from django.utils import timezone
from mail import job_start
from mail.magazines.imports import steps
def die(*_arguments, **_options):
    os.kill(os.getpid(), signal.SIGKILL)
match sys.argv[1]:
    case "import":
        steps.audit.record = die
        steps.run(int(sys.argv[2]))
    case "start":
        decided = job_start.turns_decided
        job_start.turns_decided = lambda *a, **k: (decided(*a, **k), die())
        job_start.run(int(sys.argv[2]), now=timezone.now())
"""


def dies(step, number, environment):  # noqa: F811
    child = subprocess.run(
        [sys.executable, "-c", CHILD, step, str(number)],
        env=environment | {"DJANGO_SETTINGS_MODULE": "smp.settings"},
        timeout=60, check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL


def again_until(act, done):
    """The server notices a dead process, and lets go of its locks, a moment later."""
    until = timezone.now() + timedelta(seconds=20)
    while not done() and timezone.now() < until:
        act()
    assert done()


def test_killed_on_the_way_of_a_magazine(truth, environment, monkeypatch):  # noqa: F811
    for module in ("mail.job_start", "mail.stories.starts", "mail.send_jobs", "mail.magazines.imports.steps"):
        monkeypatch.setattr(f"{module}.hint", lambda *_arguments, **_options: None)
    magazine = make_magazine(stop_no_mailbox=1)
    story = make_story(magazine, "step", wait_days=0)
    following = make_story(magazine, "step", wait_days=1)

    # ---- the import's commit
    checked = check(magazine, FILE)
    assert steps.request_commit(checked, skip_malformed=False, turn=False, user=None, now=timezone.now())
    dies("import", checked.pk, environment)
    assert (Reader.objects.count(), StoryTurn.objects.count(), ReaderChange.objects.count()) == (0, 0, 0)
    again_until(lambda: steps.run(checked.pk), lambda: steps.current_state(checked.pk).state == "done")
    assert (
        Reader.objects.count() == StoryTurn.objects.filter(state="waiting", story=story).count() == GOOD + BAD
    )

    # ---- the start's decision
    assert starts.start_due(timezone.now() + timedelta(seconds=1)) == 1
    job = SendJob.objects.get(story=story)
    dies("start", job.pk, environment)
    job.refresh_from_db()
    assert (job.state, job.decided_at, Delivery.objects.count()) == ("resolving", None, 0)
    assert not StoryTurn.objects.exclude(state="waiting").exists()
    again_until(
        lambda: job_start.run(job.pk, now=timezone.now()),
        lambda: SendJob.objects.filter(pk=job.pk, state="sending").exists(),
    )
    assert not job_start.run(job.pk, now=timezone.now())
    turns = Counter(StoryTurn.objects.values_list("story_id", "state"))
    assert turns == {(story.pk, "decided"): GOOD + BAD, (following.pk, "waiting"): GOOD + BAD}
    twice = job.deliveries.values("lead").annotate(n=Count("id")).exclude(n=1)
    assert (job.deliveries.count(), list(twice)) == (GOOD + BAD, [])

    # ---- the delivery: once on the wire, once when results are stored and nobody was told of the failures yet
    for step, number in (("after_reply", 3), ("after_record", 1)):
        die_at(job, truth, step, number)
        Delivery.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))
        sweep_all()
    recover(job, truth)
    states = Counter(job.deliveries.values_list("state", flat=True))
    assert set(states) <= {"sent", "error", "unknown"} and states.total() == GOOD + BAD
    taken = Counter(mail["recipients"][0] for mail in accepted(truth.path))
    assert set(taken.values()) == {1}  # nobody twice
    assert set(job.deliveries.filter(state="sent").values_list("address", flat=True)) <= set(taken)
    lost = job.deliveries.exclude(address__in=taken).exclude(state__in=["error", "unknown"])
    assert not lost.exists()

    # ---- what failed is counted once, and whoever failed is stopped
    count_missed(timezone.now())
    count_missed(timezone.now())
    errors = set(job.deliveries.filter(state="error").values_list("id", flat=True))
    assert errors and errors == set(ReaderFailure.objects.values_list("delivery_id", flat=True))
    failed = job.deliveries.filter(pk__in=errors).values("lead")
    stopped = Reader.objects.filter(state="error_stopped", failures_no_mailbox=1)
    assert set(stopped.values_list("lead", flat=True)) == {row["lead"] for row in failed}
    assert ReaderChange.objects.filter(what="state", after="error_stopped").count() == len(errors)
    assert Reader.objects.filter(state="deliverable", failures_no_mailbox=0).count() == GOOD + BAD - len(
        errors
    )

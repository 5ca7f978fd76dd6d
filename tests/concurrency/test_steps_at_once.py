"""STEP-6 with several processes: a wait is decided once, a template reaches a person once, nothing waits for a deleted step mail."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from campaigns.events import Event, Happening
from leads.models import Lead
from mail import step_due
from mail.job_start import run
from mail.models import Delivery, StepWait
from mail.step_due import decide_due
from mail.step_mail import delete, stop
from mail.step_waits import applied
from tests.concurrency.test_resolve_race import in_threads
from tests.factories import make_application, make_job, make_lead
from tests.mail.step_scene import PAGE, active_step, application_step, look_at

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(step, number=300):
    """People whose mail is due now."""
    leads = Lead.objects.bulk_create(
        Lead(email=f"p{place}@example.jp", email_norm=f"p{place}@example.jp") for place in range(number)
    )
    now = timezone.now()
    StepWait.objects.bulk_create(
        StepWait(step_mail=step, lead=lead, origin_key=str(lead.pk), origin_at=now, due_at=now)
        for lead in leads
    )


def test_two_ticks_at_once(monkeypatch):
    """Every wait gets one delivery, whoever decides it."""
    monkeypatch.setattr(step_due, "BATCH", 50)
    step = active_step(wait_minutes=0)
    waiting(step)
    now = timezone.now()
    assert sum(in_threads(*[lambda: decide_due(now)] * 3)) + decide_due(now) == 300
    mails = Delivery.objects.filter(kind="step", state="queued")
    assert mails.count() == mails.values("lead").distinct().count() == 300
    assert StepWait.objects.filter(state="decided").values("delivery_id").distinct().count() == 300


def test_cut_off_anywhere(monkeypatch):
    """A process that dies before its commit leaves the waits as they were: nothing lost, nothing twice."""
    monkeypatch.setattr(step_due, "BATCH", 50)
    step = active_step(wait_minutes=0)
    waiting(step, 100)
    now = timezone.now()
    real, calls = step_due.resolve_waits, []

    def dies(*args, **values):
        queued = real(*args, **values)
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit  # its transaction is cut with it
        return queued

    monkeypatch.setattr(step_due, "resolve_waits", dies)
    with pytest.raises(SystemExit):
        decide_due(now)
    assert (
        Delivery.objects.filter(kind="step").count() == StepWait.objects.filter(state="decided").count() == 50
    )
    monkeypatch.setattr(step_due, "resolve_waits", real)
    assert decide_due(now) == 50
    assert Delivery.objects.filter(kind="step", state="queued").values("lead").distinct().count() == 100


def test_the_wizard_at_the_same_time():
    """EXC-2: one template, a mailing and a step mail at once: each person gets it once."""
    step = active_step(wait_minutes=0)
    waiting(step, 100)
    job = make_job(step.template, state="preparing")
    now = timezone.now()
    in_threads(lambda: run(job.pk, now=now), lambda: decide_due(now))
    mails = Delivery.objects.filter(state="queued", template=step.template)
    assert mails.count() == mails.values("lead").distinct().count() == 100
    assert Delivery.objects.filter(reason="already_sent").count() == 100


def test_two_step_mails_with_one_template():
    """EXC-2 between two step mails that are due at once."""
    first = active_step(wait_minutes=0)
    second = active_step(wait_minutes=0, template=first.template)
    lead = make_lead()
    look_at(lead, PAGE)
    now = timezone.now()
    in_threads(
        lambda: step_due.decide_some(first.pk, now, limit=9),
        lambda: step_due.decide_some(second.pk, now, limit=9),
    )
    assert sorted(Delivery.objects.filter(lead=lead).values_list("state", "reason")) == [
        ("excluded", "already_sent"), ("queued", ""),
    ]  # fmt: skip


def test_deleted_while_it_decides():
    """Nothing of a deleted step mail waits or goes out, whoever was first."""
    step = active_step(wait_minutes=0)
    waiting(step)
    now = timezone.now()
    in_threads(lambda: decide_due(now), lambda: delete(step, user=None, now=now))
    assert not StepWait.objects.filter(state="waiting").exists()
    assert not Delivery.objects.filter(state="queued").exists()


def test_applying_while_it_is_deleted():
    """The application comes first and its wait ends with the step mail, or it comes second and starts none; nobody waits for
    something that is gone, and deleting waits for the application that is under way."""
    step = application_step()
    application = make_application(step.campaign)
    started, deleted = threading.Event(), threading.Event()

    def apply():
        now = timezone.now()
        with transaction.atomic():
            applied(
                [
                    Happening(
                        Event.RECEIVED, application.lead, now, campaign=step.campaign, application=application
                    )
                ]
            )
            started.set()
            assert not deleted.wait(0.3)  # it has to wait for us

    def end():
        started.wait(30)
        delete(step, user=None, now=timezone.now())
        deleted.set()

    in_threads(apply, end)
    assert list(StepWait.objects.values_list("state", "reason")) == [("stopped", "step_deleted")]


def test_stopped_while_it_decides():
    """What was decided goes out, the rest waits: every wait is one of the two."""
    step = active_step(wait_minutes=0)
    waiting(step)
    now = timezone.now() + timedelta(seconds=1)
    in_threads(lambda: decide_due(now), lambda: stop(step, user=None, now=now))
    decided = StepWait.objects.filter(state="decided").count()
    assert Delivery.objects.filter(kind="step").count() == decided
    assert StepWait.objects.filter(state="waiting").count() == 300 - decided
    assert connection.in_atomic_block is False

"""APP-5: leads are merged at the very moment something of theirs is being decided or stored: it goes along."""

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from leads.merge import merge
from mail import step_due
from mail.models import Delivery, StepWait
from mail.step_due import decide_due
from tests.concurrency.test_resolve_race import in_threads
from tests.factories import make_delivery, make_job, make_lead
from tests.mail.step_scene import PAGE, active_step, look_at
from tests.tracking.views_support import AGENT, SITE, make_site, new_visitor
from tracking import flush
from tracking.hits import CLICK, IDENTIFY, VIEW, Hit, new_uid, to_bytes
from tracking.identify import store_identifications
from tracking.mail_hits import store_mail_hits
from tracking.models import Identification, MailHit, PageView, Visitor
from tracking.page_views import store_views

pytestmark = pytest.mark.django_db(transaction=True)


class Meeting:
    """Somebody's transaction is open when the merge begins; the merge has to wait for it."""

    def __init__(self):
        self.begun, self.merged = threading.Event(), threading.Event()

    def stay(self):
        self.begun.set()
        assert not self.merged.wait(0.3)

    def merges(self, survivor, other):
        assert self.begun.wait(30)
        merge(survivor.pk, [survivor.pk, other.pk], chosen={}, user=None, now=timezone.now())
        self.merged.set()


def test_while_its_step_mail_is_decided(monkeypatch):
    """EXC-2: the survivor has had the mail."""
    active_step(wait_minutes=0)
    meeting = Meeting()
    survivor, other = make_lead(), make_lead()
    look_at(other, PAGE)
    real = step_due.resolve_waits

    def slow(*args, **values):
        queued = real(*args, **values)
        meeting.stay()
        return queued

    monkeypatch.setattr(step_due, "resolve_waits", slow)
    now = timezone.now() + timedelta(seconds=1)
    in_threads(lambda: decide_due(now), lambda: meeting.merges(survivor, other))
    assert list(Delivery.objects.values_list("lead_id", "state")) == [(survivor.pk, "queued")]
    assert list(StepWait.objects.values_list("lead_id", "state")) == [(survivor.pk, "decided")]


def test_while_its_hits_are_stored(monkeypatch):
    """WEB-1: a view, a click and what was told of a browser never stay with a lead that is gone."""
    meeting, site, visitor, now = Meeting(), make_site(), new_visitor(), timezone.now()
    survivor, other = make_lead(), make_lead()
    mail = make_delivery(other, job=make_job(), state="sent", sent_at=now - timedelta(hours=1))

    def hit(kind, **ids):
        return Hit(new_uid(now), kind, now, "192.0.2.1", AGENT, {}, ids)

    page = {"site": site.key, "url": f"{SITE}/a", "title": "", "referrer": ""}
    hits = [
        hit(CLICK, delivery_id=mail.pk, url_id=1),
        hit(VIEW, visitor=visitor, **page),
        hit(IDENTIFY, visitor=visitor, how="application", lead=other.pk),
    ]

    def everything(hits, at):
        for kind, store in ((CLICK, store_mail_hits), (VIEW, store_views), (IDENTIFY, store_identifications)):
            store([one for one in hits if one.kind == kind], at)
        meeting.stay()

    monkeypatch.setattr(flush, "STORES", [(frozenset({CLICK, VIEW, IDENTIFY}), everything)])
    in_threads(lambda: flush.store([to_bytes(one) for one in hits]), lambda: meeting.merges(survivor, other))
    for model in (MailHit, PageView, Visitor, Identification):
        assert list(model.objects.values_list("lead_id", flat=True)) == [survivor.pk], model

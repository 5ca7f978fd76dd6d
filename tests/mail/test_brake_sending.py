"""RATE-2 with the real engine: braked mails stay, others go, the administrators' mail is delivered, and going on sends the rest."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mail.delivery.brake import GRACE, Tally, count_results, go_on
from mail.delivery.engine import deliver
from mail.models import Delivery
from tests.factories import make_sending_job, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def hand_over(job_id):
    deliver(job_id, until=timezone.now() + timedelta(seconds=10))


def test_braked_mails_wait_and_the_others_go(sink):
    make_user()
    job = make_sending_job("a@docomo.ne.jp", "b@yamate.example.jp")
    count_results(job.pk, {"docomo.ne.jp": Tally(0, 100)}, now=timezone.now())
    hand_over(job.pk)
    assert dict(job.deliveries.values_list("address", "state")) == {
        "a@docomo.ne.jp": "queued",
        "b@yamate.example.jp": "sent",
    }
    hand_over(None)
    assert Delivery.objects.get(kind="alert").state == "sent"
    # Said a moment ago, so that nobody has to wait for the workers' memory here.
    assert go_on(job, "docomo.ne.jp", user=None, now=timezone.now() - GRACE - timedelta(seconds=1))
    deadline = timezone.now() + timedelta(seconds=60)
    while timezone.now() < deadline and job.deliveries.filter(state="queued").exists():
        job.deliveries.filter(state="queued").update(next_at=timezone.now())
        hand_over(job.pk)
    assert set(job.deliveries.values_list("state", flat=True)) == {"sent"}

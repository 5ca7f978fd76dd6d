"""OPT-9 for magazines: a complaint about a magazine's mail is the reader's leave-taking too."""

import pytest
from django.utils import timezone

from mail.bounces.record import record_complaint
from mail.models import ReaderChange
from tests.factories import make_delivery, make_job
from tests.mail.magazine_scene import make_magazine, make_reader

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("kind", "state"), [("magazine", "stopped"), ("wizard", "deliverable")])
def test_a_complaint(kind, state):
    """OPT-9: beside the lead's 配信停止; other magazines are asked by MAG-12."""
    magazine = make_magazine()
    reader, other = make_reader(magazine), make_reader(make_magazine("別"))
    job = make_job(magazine=magazine if kind == "magazine" else None)
    mail = make_delivery(reader.lead, job=job, kind=kind, state="sent")
    now = timezone.now()
    assert record_complaint(mail, reader.lead, reporter="fbl@example.jp", now=now)
    assert not record_complaint(mail, reader.lead, reporter="fbl@example.jp", now=now)
    for one in (reader, other):
        one.refresh_from_db()
    assert (reader.state, other.state) == (state, "deliverable")
    reader.lead.refresh_from_db()
    assert reader.lead.unsubscribed_at == now
    changes = list(ReaderChange.objects.values_list("way", "evidence", "delivery_id"))
    assert changes == ([("complaint", "complaint", mail.pk)] if kind == "magazine" else [])

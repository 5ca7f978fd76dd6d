"""Opens and clicks in the table: facts of the mail beside them, judged, and proof that the mail arrived."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leads.merge import merge, undo
from mail.models import Delivery
from tests.factories import make_campaign, make_delivery, make_job, make_lead, make_user
from tracking import flush, stream
from tracking.hits import Hit, new_uid, to_bytes
from tracking.mail_hits import prove_late, store_mail_hits
from tracking.models import MailHit, RefusedHit

pytestmark = pytest.mark.django_db

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def mail(now):
    return sent_mail(now)


def sent_mail(now, email="yoshio@yamate.example.jp", job=None, **values):
    values = {"state": "sent", "sent_at": now - timedelta(minutes=10, seconds=0.5)} | values
    return make_delivery(make_lead(email), job=job or make_job(), **values)


def make_hit(mail, kind, at, *, url_id=7, **values):
    ids = {"delivery_id": mail.pk} | ({"url_id": url_id} if kind == "click" else {})
    return Hit(
        uid=new_uid(at), kind=kind, at=at, ip="192.0.2.7", agent=PHONE, ids=values.pop("ids", ids), **values
    )


def test_trk_4_the_facts_are_kept_with_those_of_the_mail(mail, now):
    """TRK-4: agent, network, hints and the time since the sending; lead, job and campaign for reports and searches."""
    campaign = make_campaign()
    Delivery.objects.update(campaign_id=campaign.pk, step_mail_id=4)
    store_mail_hits([make_hit(mail, "click", now, hints={"dest": "document"})], now)
    row = MailHit.objects.get()
    assert (row.kind, row.url_id, row.at, row.ip, row.agent, row.hints) == (
        "click", 7, now, "192.0.2.7", PHONE, {"dest": "document"},
    )  # fmt: skip
    assert (row.lead_id, row.job_id, row.step_mail_id, row.campaign_id) == (
        mail.lead_id,
        mail.job_id,
        4,
        campaign.pk,
    )
    assert (row.seconds, row.verdict, row.evidence) == (600, "person", [])


def test_machines_are_told_apart_with_their_evidence(mail, now):
    store_mail_hits([make_hit(mail, "click", now, hints={"method": "HEAD"})], now)
    assert MailHit.objects.values_list("verdict", "evidence").get() == ("machine", ["head"])


def test_a_burst_is_seen_within_and_across_batches(mail, now):
    clicks = [make_hit(mail, "click", now, url_id=number) for number in range(1, 4)]
    store_mail_hits(clicks[:2], now)
    assert set(MailHit.objects.values_list("verdict", flat=True)) == {"person"}
    store_mail_hits(clicks[2:], now)
    assert list(MailHit.objects.values_list("verdict", "evidence")) == [("machine", ["burst"])] * 3
    other = sent_mail(now, "b@yamate.example.jp")
    store_mail_hits([make_hit(other, "click", now, url_id=number) for number in range(1, 4)], now)
    assert set(MailHit.objects.filter(delivery_id=other.pk).values_list("verdict", flat=True)) == {"machine"}


def test_twice_is_once(mail, now):
    one = make_hit(mail, "open", now)
    store_mail_hits([one, one], now)
    store_mail_hits([one], now)
    assert MailHit.objects.count() == 1


def test_err_4_an_open_or_a_click_proves_that_the_mail_arrived(now):
    """ERR-4: 結果不明 becomes 正常 by the first sign of life, and the mail's story says by which."""
    opened, clicked, silent = (sent_mail(now, f"{n}@x.example.jp", state="unknown") for n in range(3))
    store_mail_hits([make_hit(opened, "open", now), make_hit(clicked, "click", now)], now)
    states = dict(Delivery.objects.values_list("pk", "state"))
    assert states == {opened.pk: "sent", clicked.pk: "sent", silent.pk: "unknown"}
    assert opened.events.get().text == "open" and clicked.events.get().text == "click"


def test_err_4_a_hit_from_before_the_outcome_became_unknown_proves_it_too(now):
    mail = sent_mail(now, state="handing_over")
    store_mail_hits([make_hit(mail, "open", now)], now)
    assert prove_late(now) == set()
    Delivery.objects.update(state="unknown")
    assert prove_late(now) == {mail.pk}
    assert Delivery.objects.get().state == "sent"


def test_a_mail_that_is_not_there_leaves_the_fact(mail, now):
    gone = make_hit(mail, "open", now, ids={"delivery_id": 999999})
    store_mail_hits([gone], now)
    row = MailHit.objects.get()
    assert (row.delivery_id, row.lead_id, row.job_id, row.seconds) == (999999, None, None, None)


@pytest.mark.parametrize(
    "ids", [{}, {"delivery_id": "5"}, {"delivery_id": -1}, {"delivery_id": 2**63}, {"delivery_id": True}]
)
def test_hits_without_a_mail_are_refused_and_hold_up_nobody(mail, now, ids):
    stream.add_many([to_bytes(make_hit(mail, "open", now, ids=ids)), to_bytes(make_hit(mail, "open", now))])
    flush.flush(now)
    assert (MailHit.objects.count(), RefusedHit.objects.count(), stream.look().length) == (1, 1, 0)


def test_the_same_number_of_queries_for_one_and_many(now, django_assert_num_queries):
    mails = [sent_mail(now, f"{n}@x.example.jp") for n in range(6)]
    with django_assert_num_queries(3):
        store_mail_hits([make_hit(mails[0], "click", now)], now)
    with django_assert_num_queries(3):
        store_mail_hits([make_hit(one, "click", now) for one in mails[1:]], now)


def test_app_5_hits_go_along_when_leads_are_merged_and_come_back(now):
    """APP-5: also hits that came after the merge, by the mail they belong to."""
    first, second = sent_mail(now, "a@x.example.jp"), sent_mail(now, "b@x.example.jp")
    store_mail_hits([make_hit(first, "open", now), make_hit(second, "open", now)], now)
    user = make_user()
    done = merge(first.lead_id, [second.lead_id], chosen={}, user=user, now=now)
    later = make_hit(second, "click", now)
    store_mail_hits([later], now)
    assert set(MailHit.objects.values_list("lead_id", flat=True)) == {first.lead_id}
    undo(done, user=user, now=now)
    assert sorted(MailHit.objects.values_list("delivery_id", "lead_id")) == sorted(
        [(first.pk, first.lead_id), (second.pk, second.lead_id), (second.pk, second.lead_id)]
    )


def test_app_5_a_mail_that_stayed_with_a_merged_lead_counts_for_the_survivor(now):
    job = make_job()
    first, second = (sent_mail(now, f"{n}@x.example.jp", job=job) for n in range(2))
    merge(first.lead_id, [second.lead_id], chosen={}, user=make_user(), now=now)
    third = make_lead("c@x.example.jp")
    merge(third.pk, [first.lead_id], chosen={}, user=None, now=now)
    store_mail_hits([make_hit(second, "open", now)], now)
    assert MailHit.objects.get().lead_id == third.pk

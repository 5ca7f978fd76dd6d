"""TEST-1..4, TEST-6: test mails."""

from datetime import timedelta
from email import message_from_string, policy

import pytest
from django.urls import reverse
from django.utils import timezone

from leads.models import Lead
from mail.delivery.engine import deliver
from mail.links import NOBODY, opt_out_url
from mail.message import Skeleton
from mail.models import Delivery, MailTemplate, SendJobLead
from mail.test_send import TestRefused, fitting_leads, send_test, split_test_addresses, test_lead
from settings.models import AuditEntry
from tests.factories import make_application, make_campaign, make_job, make_lead, make_template, make_user


@pytest.fixture
def misaki(client, db):
    user = make_user("misaki")
    client.force_login(user)
    return user


def fit(days_ago, **values):
    email = values.pop("email", f"d{days_ago}@b.example.jp")
    return make_lead(email, created_at=timezone.now() - timedelta(days=days_ago), **values)


def test_the_lead_that_registered_last_of_those_who_fit(db):
    """TEST-2: valid address, 希望する, visitor, full registration, not deleted; newest 登録日, not newest id."""
    chosen = fit(2)
    fit(3)
    fit(1, email_valid=False)
    fit(1, email="", email_norm="")
    fit(1, email_malformed=True)
    fit(1, dm_permission="unwanted")
    fit(1, kind="staff")
    fit(1, registration="provisional")
    fit(1, deleted_at=timezone.now())
    assert test_lead()[0] == chosen


def test_who_cancelled_last_is_not_used_among_all_campaigns(db):
    """TEST-2 「申込をキャンセルしていない」 (R053), blue: the newest application is what counts."""
    first, second = make_campaign(), make_campaign("別のセミナー")
    cancelled, again, elsewhere, merged, never = (fit(days) for days in (1, 2, 3, 4, 5))
    make_application(first, cancelled)
    make_application(second, cancelled, state="cancelled", cancelled_by="lead")
    make_application(first, again, state="cancelled", cancelled_by="lead")
    make_application(first, again)
    make_application(first, elsewhere, state="cancelled", cancelled_by="lead")
    make_application(second, elsewhere)
    make_application(first, merged)
    make_application(second, merged, state="cancelled", cancelled_by="merged")  # nobody's cancelling
    fitting = [lead.pk for lead in fitting_leads()]
    assert fitting == [again.pk, elsewhere.pk, merged.pk, never.pk]
    assert test_lead()[0] == again


def test_of_a_campaign_an_applicant_who_has_not_cancelled(db):
    """TEST-2 inside a campaign (orange): only the application for this campaign counts."""
    campaign, other = make_campaign(), make_campaign("別のセミナー")
    cancelled, stranger, elsewhere, again = (fit(days) for days in (1, 2, 3, 4))
    make_application(campaign, cancelled, state="cancelled", cancelled_by="lead")
    make_application(other, stranger)
    make_application(campaign, elsewhere)
    make_application(other, elsewhere, state="cancelled", cancelled_by="lead")
    make_application(campaign, again, state="cancelled", cancelled_by="lead")
    make_application(campaign, again, state="waiting")
    assert [lead.pk for lead in fitting_leads(campaign.pk)] == [elsewhere.pk, again.pk]
    lead, why = test_lead(campaign_id=campaign.pk)
    assert lead == elsewhere and "キャンセルしていない申込者" in why
    assert test_lead([stranger.pk], campaign_id=campaign.pk)[0] == elsewhere  # TEST-3, but never another's
    assert test_lead([cancelled.pk], campaign_id=campaign.pk)[0] == cancelled  # ticked: whatever their state
    nobody, why = test_lead(campaign_id=make_campaign("空").pk)
    assert nobody is None and "申込者がいないため" in why


def test_ticked_leads_are_used_instead(db):
    """TEST-3: whatever their flags; of several, the one that registered last; deleted ones don't count."""
    newest = fit(1)
    ticked = fit(9, dm_permission="unwanted")
    older = fit(10)
    gone = fit(0, deleted_at=timezone.now())
    assert test_lead([older.pk, ticked.pk, gone.pk])[0] == ticked
    assert test_lead([gone.pk])[0] == newest


def test_nobody_fits(db, client, misaki):
    """TEST-4: blanks, and the screen says why."""
    fit(1, dm_permission="unwanted")
    lead, why = test_lead()
    assert lead is None and "差込み項目は空白になります" in why
    template = make_template()
    page = client.get(reverse("template_test_send", args=[template.pk])).content.decode()
    assert why in page
    (delivery,) = send_test(template, addresses=["me@b.example.jp"], user=misaki, now=timezone.now())
    assert delivery.merge_values == {}
    mail = Skeleton(delivery.snapshot.content).build(
        delivery.merge_values,
        delivery_id=delivery.pk,
        lead_id=None,
        sent_at=timezone.now(),
        address=delivery.address,
    )
    assert mail.subject == "【テスト】様へ 製造業DXセミナーのご案内"


def test_a_test_mail_is_queued_like_any_other(client, misaki):
    """TEST-1, TEST-6: from the list; one delivery an address, without job and lead, with snapshot and values."""
    lead = fit(1, last_name="佐々木")
    template = make_template(cc="boss@b.example.jp")
    assert (
        reverse("template_test_send", args=[template.pk]) in client.get(reverse("templates")).content.decode()
    )
    form = client.get(reverse("template_test_send", args=[template.pk])).context["form"]
    assert form["addresses"].value() == "misaki@example.jp"
    response = client.post(
        reverse("template_test_send", args=[template.pk]),
        {"addresses": "misaki@example.jp, Kenta@example.jp misaki@example.jp"},
    )
    assert response.headers["Location"] == reverse("template", args=[template.pk])
    deliveries = list(Delivery.objects.order_by("pk"))
    assert [(d.kind, d.state, d.job_id, d.lead_id, d.related_id, d.address) for d in deliveries] == [
        ("test", "queued", None, None, lead.pk, "misaki@example.jp"),
        ("test", "queued", None, None, lead.pk, "Kenta@example.jp"),
    ]
    first = deliveries[0]
    mail = Skeleton(first.snapshot.content).build(
        first.merge_values, delivery_id=first.pk, lead_id=None, sent_at=timezone.now(), address=first.address
    )
    assert mail.recipients == [("to", "misaki@example.jp")]
    assert mail.subject == "【テスト】佐々木様へ 製造業DXセミナーのご案内"
    assert AuditEntry.objects.get().action == "template.test_send"
    # It is found in 個別メール送信履歴.
    history = client.get(reverse("deliveries"), {"kind": "test"}).content.decode()
    assert "Kenta@example.jp" in history
    assert client.get(reverse("delivery", args=[first.pk])).status_code == 200


def test_a_test_mail_never_counts_as_sent(db, misaki):
    """TEST-6: its row names no lead, so 「送信済」 (EXC-2) and the valid flag cannot meet it."""
    lead = fit(1)
    template = make_template()
    send_test(template, addresses=[lead.email], user=misaki, now=timezone.now())
    Delivery.objects.update(state="sent", sent_at=timezone.now())
    assert not Delivery.objects.filter(lead=lead).exists()
    assert Lead.objects.get(pk=lead.pk).email_failures == 0


def test_from_the_wizard_with_its_ticks(client, misaki):
    """TEST-1, TEST-3: the run's ticked leads are used, and the way leads back to it."""
    fit(1)
    ticked = fit(5, last_name="小林")
    template = make_template()
    job = make_job(template, rule="by_user", created_by=misaki, condition=None)
    SendJobLead.objects.create(job=job, lead=ticked)
    url = reverse("template_test_send", args=[template.pk])
    assert client.get(url, {"job": job.pk}).context["lead"] == ticked
    assert client.get(url, {"lead": ticked.pk}).context["lead"] == ticked
    response = client.post(url, {"addresses": "me@b.example.jp", "job": job.pk})
    assert response.headers["Location"] == reverse("wizard_confirm", args=[job.pk])
    assert Delivery.objects.get().related_id == ticked.pk
    for odd in ({"job": "x"}, {"job": "9" * 40}, {"lead": "\0"}, {"lead": ["x", "9" * 40]}):
        assert client.get(url, odd).status_code == 200
    job.created_by = make_user("hiro")
    job.save()
    client.force_login(make_user("kenta", role="campaign"))
    assert client.get(url, {"job": job.pk}).status_code == 403  # not in one of his campaigns (SYS-1)


@pytest.mark.parametrize(
    "text", ["", " , ", "no address", "a@b", ",".join(f"n{n}@b.example.jp" for n in range(11))]
)
def test_wrong_addresses_are_named(client, misaki, text):
    template = make_template()
    response = client.post(reverse("template_test_send", args=[template.pk]), {"addresses": text})
    assert response.context["form"].errors["addresses"]
    assert Delivery.objects.count() == 0


def test_addresses_are_split_kindly():
    assert split_test_addresses("a@b.example.jp、c@d.example.jp;\nA@B.example.jp") == [
        "a@b.example.jp",
        "c@d.example.jp",
    ]
    with pytest.raises(TestRefused, match="x@y"):
        split_test_addresses("a@b.example.jp x@y")


def test_a_template_that_cannot_be_merged_is_refused_on_the_screen(client, misaki):
    """TEST-1: the mistake is said now, not in the history."""
    template = make_template()
    MailTemplate.objects.filter(pk=template.pk).update(text_body="一\n{{ 姓")
    response = client.post(
        reverse("template_test_send", args=[template.pk]), {"addresses": "me@b.example.jp"}
    )
    assert "2行目" in response.context["form"].non_field_errors()[0]
    assert Delivery.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_test_mail_arrives(client, misaki, sink):
    """TEST-1, TEST-6: through the same engine as every other mail, to the address typed and to nobody else."""
    fit(1, last_name="佐々木")
    template = make_template(cc="boss@b.example.jp", text_body="{{ 姓 }}様 {{ 配信停止URL }}")
    client.post(reverse("template_test_send", args=[template.pk]), {"addresses": "misaki@example.jp"})
    deliver(None, until=timezone.now() + timedelta(seconds=30))
    (mail,) = sink.mails
    assert mail["recipients"] == ["misaki@example.jp"]
    message = message_from_string(mail["data"], policy=policy.default)
    assert message["subject"] == "【テスト】佐々木様へ 製造業DXセミナーのご案内"
    assert opt_out_url(NOBODY) in message.get_content()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.code, delivery.subject) == ("sent", 40000, message["subject"])
    assert "佐々木様" in client.get(reverse("delivery", args=[delivery.pk])).content.decode()

"""「不達・返信の受信履歴」, and what came back on the pages of mails, jobs and leads."""

import csv
import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads.models import Lead
from leads.search import leads_matching
from mail.bounces.receive import receive
from mail.links import envelope_sender
from mail.management.commands import receive_mail
from mail.models import ReturnedMail
from settings.models import AuditEntry, Role
from tests.factories import make_campaign, make_delivery, make_job, make_lead, make_user
from tests.mail.returned import bounce, complaint


@pytest.fixture
def client(client, db):
    client.force_login(make_user(role=Role.VIEWER))
    return client


@pytest.fixture
def now():
    return timezone.now()


def sent_mail(now, n=0, *, job=None, **values):
    values.setdefault("sent_at", now - timedelta(hours=1))
    return make_delivery(
        make_lead(f"p{n}@x.example.jp"),
        job=job,
        state="sent",
        code=40000,
        result_at=now,
        subject=f"件名{n}",
        **values,
    )


def bounced(mail, now, **rest):
    return receive(bounce(mail.address, **rest), recipient=envelope_sender(mail.pk), now=now)


def test_the_list(client, now):
    job = make_job(state="done")
    mail, other = sent_mail(now, 1, job=job), sent_mail(now, 2, job=job)
    bounced(mail, now, said="550 5.1.1 <script>alert(1)</script> unknown user")
    receive(complaint(other), now=now)
    page = client.get(reverse("returned_mails"))
    text = page.content.decode()
    assert page.status_code == 200
    assert "不達通知" in text
    assert "苦情" in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    for url in (
        reverse("delivery", args=[mail.pk]),
        reverse("lead", args=[other.lead_id]),
        reverse("job", args=[job.pk]),
    ):
        assert url in text
    assert "ハード" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=failure", {"failure"}),
        ("kind=complaint", {"complaint"}),
        ("cause=no_mailbox", {"failure"}),
        ("changed=yes", {"failure", "complaint"}),
        ("changed=no", {"delayed"}),
        ("job={job}&kind=complaint", {"complaint"}),
        ("lead={lead}", {"failure"}),
        ("delivery={delivery}", {"failure"}),
        ("first_day=2000-01-01&last_day=2000-01-02", set()),
        ("first_day=9999-12-31&last_day=9999-12-31", set()),
    ],
)
def test_filters(client, now, query, found):
    job = make_job(state="done")
    mails = [sent_mail(now, n, job=job) for n in range(3)]
    bounced(mails[0], now)
    receive(complaint(mails[1]), now=now)
    bounced(mails[2], now, action="delayed", said="451 wait")
    url = (
        reverse("returned_mails")
        + "?"
        + query.format(job=job.pk, lead=mails[0].lead_id, delivery=mails[0].pk)
    )
    assert {row.mail.kind for row in client.get(url).context["page"].rows} == found
    exported = list(
        csv.reader(
            b"".join(client.get(url.replace("returned/", "returned/export/")).streaming_content)
            .decode("utf-8-sig")
            .splitlines()
        )
    )
    assert len(exported) == 1 + len(found)


def test_the_export_carries_no_formula_and_is_audited(client, now):
    bounced(sent_mail(now), now, said="=HYPERLINK(1)")
    body = b"".join(client.get(reverse("returned_export")).streaming_content).decode("utf-8-sig")
    assert "'=HYPERLINK(1)" in body
    assert AuditEntry.objects.filter(action="returned.export").count() == 1


@pytest.mark.parametrize(
    "query", ["kind=evil", "before=x", "job=0", "lead=99999999999999999999", "first_day=no"]
)
def test_wrong_filters_are_told(client, query):
    assert client.get(reverse("returned_mails") + "?" + query).status_code == 422
    assert client.get(reverse("returned_export") + "?" + query).status_code == 422


def test_the_empty_list_says_how_to_set_it_up(client, settings):
    text = client.get(reverse("returned_mails")).content.decode()
    assert settings.BOUNCE_DOMAIN in text
    assert "manage.py intake" in text


def test_pages_are_cut(client, now, monkeypatch):
    monkeypatch.setattr("mail.returned_list.rows_per_page", lambda: 2)
    mail = sent_mail(now)
    for number in range(5):
        bounced(mail, now, action="delayed", said=f"451 {number}")
    seen, url = [], reverse("returned_mails")
    query = ""
    while True:
        page = client.get(url + query).context["page"]
        seen += [row.mail.pk for row in page.rows]
        assert page.count == 5
        if page.older is None:
            break
        query = f"?before={page.older}"
    assert seen == sorted(ReturnedMail.objects.values_list("pk", flat=True), reverse=True)


def test_as_many_queries_for_three_as_for_one(client, now, django_assert_num_queries):
    bounced(sent_mail(now, 0), now)
    client.get(reverse("returned_mails"))
    with CaptureQueriesContext(connection) as one:
        client.get(reverse("returned_mails"))
    for number in (1, 2):
        bounced(sent_mail(now, number), now)
    with django_assert_num_queries(len(one)):
        client.get(reverse("returned_mails"))


def test_err_1_what_a_mails_page_says(client, now):
    """ERR-1: within a week of the hand-over, after it, and when a report came."""
    fresh = sent_mail(now, 1)
    old = sent_mail(now, 2, sent_at=now - timedelta(days=8))
    url = reverse("delivery", args=[fresh.pk])
    assert "1週間届かなければ、配信できたものとみなします" in client.get(url).content.decode()
    assert "配信できたものとみなしています" in client.get(reverse("delivery", args=[old.pk])).content.decode()
    bounced(fresh, now)
    text = client.get(url).content.decode()
    assert "ハード: このアドレスには届きません" in text
    assert "550 5.1.1 User unknown" in text
    assert f"?delivery={fresh.pk}" in text


def test_a_jobs_page_shows_failures_by_cause_as_links(client, now):
    job = make_job(state="done", decided_at=now)
    mails = [sent_mail(now, n, job=job) for n in range(4)]
    bounced(mails[0], now)
    bounced(mails[1], now)
    bounced(mails[2], now, said="552 5.2.2 mailbox full", status="5.2.2")
    receive(complaint(mails[3]), now=now)
    text = client.get(reverse("job", args=[job.pk])).content.decode()
    assert f"?job={job.pk}&amp;state=error&amp;cause=no_mailbox" in text
    assert f"?job={job.pk}&amp;state=error&amp;cause=full" in text
    assert "苦情1件" in text
    found = client.get(reverse("deliveries") + f"?job={job.pk}&state=error&cause=no_mailbox").context["page"]
    assert {row.pk for row in found.rows} == {mails[0].pk, mails[1].pk}


def test_opt_9_the_leads_page_shows_the_complaint(client, now):
    mail = sent_mail(now)
    receive(complaint(mail), now=now)
    text = client.get(reverse("lead", args=[mail.lead_id])).content.decode()
    assert "迷惑メール報告" in text
    assert "ISP-Feedback/1.0" in text


def test_leads_are_found_by_the_cause_of_a_failure(db, now):
    mail = sent_mail(now, 1)
    sent_mail(now, 2)
    bounced(mail, now)

    def found(cause):
        block = {"item": "mail.result", "operator": "is", "values": [{"cause": [cause]}]}
        condition = {"match": "all", "blocks": [block]}
        return set(leads_matching(condition, now=now).values_list("pk", flat=True))

    assert found("no_mailbox") == {mail.lead_id}
    assert found("full") == set()
    assert Lead.objects.count() == 2


def test_the_template_form_says_what_the_address_does(client, settings):
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign = make_campaign(members=[kenta])
    client.force_login(kenta)
    text = client.get(f"/c/{campaign.pk}" + reverse("template_new")).content.decode()
    assert f"failure@{settings.MAIL_DOMAIN}" in text
    assert "転送もします" in text


def test_receive_mail_tells_the_mail_server_to_keep_what_it_cannot_handle(db, monkeypatch):
    """EX_TEMPFAIL: with any other exit code the mail server would throw the report away."""

    def away(*_args, **_rest):
        raise RuntimeError("the database is away")

    monkeypatch.setattr(receive_mail, "receive", away)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"x")))
    with pytest.raises(CommandError) as told:
        call_command("receive_mail")
    assert told.value.returncode == 75

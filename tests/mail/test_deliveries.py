"""「個別メール送信履歴」: the list, one mail, what was really sent, and the lead's panel."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail import delivery_list
from mail.lead_panel import why_panel
from mail.message import take_snapshot
from mail.models import Delivery, DeliveryEvent, TemplateAttachment
from settings.system_settings import set_setting
from tests.factories import make_job, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def yui(client):
    """A viewer: the history changes nothing, so everyone who is logged in may read it."""
    user = make_user("yui", role="viewer")
    client.force_login(user)
    return user


def make_delivery(lead=None, **values):
    values.setdefault("state", "sent")
    if values["state"] == "excluded":
        values.setdefault("reason", "dm_permission")
    values.setdefault("decided_at", timezone.now())
    values.setdefault("address", lead.email if lead else "")
    return Delivery.objects.create(lead=lead, **values)


def sent(lead, **template_values):
    template = make_template(**template_values)
    values = {
        "氏名": "髙橋 𠮷男",
        "姓": "髙橋",
        "メールアドレス": lead.email,
        "配信停止URL": "https://smp.example/u/x",
    }
    return make_delivery(
        lead, template=template, snapshot=take_snapshot(template), merge_values=values, subject="髙橋様へ", sent_at=timezone.now(), code=40000
    )  # fmt: skip


def listed(client, **query):
    response = client.get(reverse("deliveries"), query)
    assert response.status_code == 200, response.context["form"].errors
    return [row.pk for row in response.context["page"].rows]


def test_res_4_address_and_title_ignore_case(client, yui):
    """RES-4."""
    first = make_delivery(make_lead("Yoshio@Yamate.example.jp"), subject="DX Seminar のご案内")
    second = make_delivery(make_lead("b@other.example.jp"), subject="工場見学会")
    assert listed(client) == [second.pk, first.pk]
    assert listed(client, address="yoshio@YAMATE") == [first.pk]
    assert listed(client, title="dx seminar") == [first.pk]
    assert listed(client, title="%") == []


def test_filters(client, yui):
    lead, template = make_lead(), make_template()
    job = make_job(template)
    waiting = make_delivery(lead, state="reserved", decided_at=timezone.now() - timedelta(days=3))
    error = make_delivery(lead, state="error", code=42550, template=template)
    excluded = make_delivery(lead, state="excluded", reason="duplicate", job=job)
    unknown = make_delivery(None, state="unknown", kind="single")
    assert listed(client, state="waiting") == [waiting.pk]
    assert listed(client, state="error", code="42550", template=template.pk) == [error.pk]
    assert listed(client, job=job.pk, state="excluded", reason="duplicate") == [excluded.pk]
    assert listed(client, lead=lead.pk) == [excluded.pk, error.pk, waiting.pk]
    assert listed(client, kind="single", state="unknown") == [unknown.pk]
    assert listed(client, last_day=timezone.localdate() - timedelta(days=1)) == [waiting.pk]
    assert listed(client, first_day=timezone.localdate()) == [unknown.pk, excluded.pk, error.pk]


@pytest.mark.parametrize(
    "query",
    [
        {"job": "9" * 30}, {"job": "x"}, {"state": "' OR 1=1"}, {"template": "٣"}, {"address": "\0"}, {"first_day": "2026-02-30"},
        {"before": "-1"}, {"code": "1e5"}, {"lead": "𠮷"}, {"address": "a" * 321},
    ],
)  # fmt: skip
def test_hostile_filters_are_answered_beside_the_field(client, yui, query):
    response = client.get(reverse("deliveries"), query)
    assert (response.status_code, set(response.context["form"].errors)) == (422, set(query))


def test_pages_are_cut_by_id_and_counts_are_bounded(client, yui, monkeypatch):
    monkeypatch.setattr(delivery_list, "rows_per_page", lambda: 2)
    monkeypatch.setattr(delivery_list, "COUNT_LIMIT", 4)
    ids = [make_delivery().pk for _ in range(5)][::-1]
    page = client.get(reverse("deliveries")).context["page"]
    assert ([row.pk for row in page.rows], page.count, page.more_than_count, page.older) == (
        ids[:2],
        4,
        True,
        ids[1],
    )
    assert listed(client, before=ids[1]) == ids[2:4]
    assert listed(client, before=ids[3]) == ids[4:]


def test_a_jobs_pages_are_cut_by_lead(client, yui, monkeypatch):
    """In the order of the index that keeps a lead's mail of a job single; whatever the order of writing."""
    monkeypatch.setattr(delivery_list, "rows_per_page", lambda: 2)
    job = make_job()
    leads = [make_lead(f"{number}@a.jp") for number in range(3)]
    written = [make_delivery(lead, job=job).pk for lead in reversed(leads)]
    make_delivery()
    page = client.get(reverse("deliveries"), {"job": job.pk}).context["page"]
    assert ([row.pk for row in page.rows], page.count, page.older) == (written[:2], 3, leads[1].pk)
    rest = client.get(reverse("deliveries"), {"job": job.pk, "before": page.older}).context["page"]
    assert ([row.pk for row in rest.rows], rest.count, rest.older) == (written[2:], 3, None)


def test_a_search_that_takes_too_long_says_what_to_do(client, yui, monkeypatch):
    make_delivery()

    def slow(wanted, *, campaign_id):
        return Delivery.objects.extra(where=["pg_sleep(2) IS NOT NULL"])

    monkeypatch.setattr(delivery_list, "deliveries_matching", slow)
    monkeypatch.setattr(delivery_list, "TIME_LIMIT", timedelta(milliseconds=50))
    response = client.get(reverse("deliveries"))
    assert (response.status_code, response.context["page"], "too_much" in response.context) == (
        200,
        None,
        True,
    )
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_as_many_queries_for_one_as_for_three(client, yui):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            listed(client)
        return len(captured)

    def one_more(number):
        template = make_template()
        make_delivery(
            make_lead(f"{number}@example.jp"),
            template=template,
            job=make_job(template),
            code=42550,
            state="error",
        )

    one_more(0)
    queries()
    one = queries()
    one_more(1), one_more(2)
    assert queries() == one


def test_rsv_4_what_was_really_sent(client, yui):
    """RSV-4: from the snapshot, whatever the template says today."""
    delivery = sent(
        make_lead(),
        form="multipart",
        html_body="<p>{{ 氏名 }} 様</p>",
        cc="boss@yamate.example.jp",
        reply_to="r@seminar.example.jp",
    )
    delivery.template.html_body = delivery.template.text_body = "あとで変えた本文"
    delivery.template.save()
    DeliveryEvent.objects.create(delivery=delivery, what="sent", code=40000, text="250 2.0.0 Ok")
    response = client.get(reverse("delivery", args=[delivery.pk]))
    mail = response.context["sent"]
    assert "髙橋 𠮷男 様" in mail.mail.text and "あとで変えた本文" not in response.content.decode()
    assert (mail.addresses["cc"], mail.reply_to, mail.mail.from_header) == (
        ["boss@yamate.example.jp"],
        "r@seminar.example.jp",
        "info@seminar.example.jp",
    )
    assert mail.from_name == "SMPセミナー事務局"
    assert "250 2.0.0 Ok" in response.content.decode()


def test_html_is_shown_without_any_power(client, yui):
    """Hostile HTML: an empty sandbox, no scripts, nothing loaded, its own address."""
    delivery = sent(
        make_lead(),
        form="html",
        html_body="<p>{{ 氏名 }}</p><img src='https://spy.example/x.gif'><a href='{{ 配信停止URL }}'>停止</a>",
    )
    page = client.get(reverse("delivery", args=[delivery.pk])).content.decode()
    assert 'sandbox=""' in page and "spy.example" not in page
    part = client.get(reverse("delivery_html", args=[delivery.pk]))
    policy = part["Content-Security-Policy"]
    assert (
        policy.startswith("sandbox; default-src 'none'")
        and "script-src" not in policy
        and "https:" not in policy
    )


def test_source_is_the_bytes_as_a_download(client, yui):
    delivery = sent(make_lead())
    response = client.get(reverse("delivery_source", args=[delivery.pk]))
    assert response["Content-Disposition"].startswith("attachment")
    assert b"Message-ID:" in response.content and b"\r\n\r\n" in response.content


def test_mails_that_were_never_handed_over(client, yui):
    delivery = make_delivery(make_lead(), state="excluded")
    assert client.get(reverse("delivery", args=[delivery.pk])).context["sent"] is None
    for name in ("delivery_html", "delivery_source"):
        assert client.get(reverse(name, args=[delivery.pk])).status_code == 404


def test_detail_shows_code_words_and_the_failed_address(client, yui):
    """ERR-2, ADDR-4: the code with its meaning, the server's own words (as text), which address failed."""
    delivery = make_delivery(
        make_lead(), state="error", code=42550, reply="550 5.1.1 <script>alert(1)</script> User unknown",
        enhanced_status="5.1.1", failed_address="boss@yamate.example.jp",
    )  # fmt: skip
    page = client.get(reverse("delivery", args=[delivery.pk])).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; User unknown" in page and "<script>alert" not in page
    for shown in ("42550", "5.1.1", "boss@yamate.example.jp"):
        assert shown in page


def test_unknown_deliveries_are_not_found(client, yui):
    for wrong in (0, 99, 2**70):
        assert client.get(f"/mail/deliveries/{wrong}/").status_code == 404


def test_everything_needs_a_login(client):
    """SYS-1."""
    delivery = make_delivery(make_lead())
    assert client.get(reverse("deliveries")).status_code == 302
    for name in ("delivery", "delivery_html", "delivery_source"):
        assert client.get(reverse(name, args=[delivery.pk])).status_code == 302


class TestLeadPanel:
    """EXC-6: why it arrived, or not: one sentence each, in one query."""

    def test_newest_first_reservations_on_top(self):
        lead, other = make_lead(), make_lead("b@example.jp")
        job = make_job(rule="by_user", state="reserved", scheduled_at=timezone.now() + timedelta(days=1))
        reserved = make_delivery(lead, state="reserved", job=job)
        older = make_delivery(lead, state="sent", remote_host="mx1.example.co.jp")
        newer = make_delivery(lead, state="excluded", reason="duplicate", related_id=other.pk)
        make_delivery(other)
        with CaptureQueriesContext(connection) as captured:
            context = why_panel(RequestFactory().get("/"), lead)
        assert len(captured) == 2  # the mails, and the step mails that wait
        assert [mail["delivery"].pk for mail in context["mails"]] == [reserved.pk, newer.pk, older.pk]
        assert context["mails"][0]["at"] == job.scheduled_at
        assert str(other.pk) in context["mails"][1]["explanation"].sentence
        assert "mx1.example.co.jp" in context["mails"][2]["explanation"].sentence

    def test_long_histories_link_to_the_list(self):
        lead = make_lead()
        for _ in range(21):
            make_delivery(lead)
        context = why_panel(RequestFactory().get("/"), lead)
        assert (len(context["mails"]), context["more"]) == (20, True)

    def test_on_the_lead_page(self, client):
        """EXC-6: sentence, evidence and links stand on the page; as many queries for one mail as for three."""
        client.force_login(make_user("misaki"))
        lead = make_lead()

        def page():
            with CaptureQueriesContext(connection) as captured:
                text = client.get(reverse("lead", args=[lead.pk])).content.decode()
            return text, len(captured)

        first = make_delivery(
            lead,
            job=make_job(),
            template=make_template("第1報"),
            reply="250 2.0.0 Ok",
            remote_host="mx1.example.co.jp",
        )
        page()
        text, one = page()
        for shown in (
            "第1報",
            "mx1.example.co.jp",
            "250 2.0.0 Ok",
            reverse("delivery", args=[first.pk]),
            reverse("job", args=[first.job_id]),
        ):
            assert shown in text
        for number in (2, 3):
            make_delivery(lead, state="excluded", job=make_job(), template=make_template(f"第{number}報"))
        text, three = page()
        assert "第3報" in text
        assert three == one


@pytest.mark.parametrize(
    ("name", "make"),
    [("leads", make_lead), ("deliveries", make_delivery), ("templates", make_template), ("jobs", None)],
)
def test_rows_on_a_page_are_a_system_setting(client, yui, name, make):
    """「一覧の1ページの行数」 holds for every list."""
    set_setting("page_size", 10, user=None)
    for n in range(11):
        if name == "leads":
            make_lead(f"{n}@example.jp")
        else:
            (make or (lambda: make_job(state="done")))()
    shown = client.get(reverse(name)).context
    page = shown["page"] if name in {"deliveries", "jobs"} else shown["page_obj"]
    assert len(page.rows if name == "deliveries" else page.object_list) == 10


def test_the_mail_names_its_attachments_and_its_opt_out(client, yui):
    """RSV-4, OPT-5: the files that went along, and that the recipient left through this mail."""
    template = make_template()
    TemplateAttachment.objects.create(
        template=template, file_name="ご案内.pdf", content_type="application/pdf", size=3, content=b"PDF"
    )
    delivery = make_delivery(make_lead(), template=template, snapshot=take_snapshot(template))
    DeliveryEvent.objects.create(delivery=delivery, what="unsubscribed")
    page = client.get(reverse("delivery", args=[delivery.pk])).content.decode()
    assert "ご案内.pdf" in page
    assert "受信者がこのメールから配信停止" in page

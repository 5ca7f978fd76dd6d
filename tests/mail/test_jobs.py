"""「ウィザード利用履歴」 and the page of one job."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads.models import DmPermission, Lead, SavedSearch
from leads.search import EVERYONE
from mail import job_start, send_jobs
from mail.models import Delivery, SendJob
from settings.models import AuditEntry, Role
from tests.factories import make_job, make_lead, make_template, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def reserved(*leads, minutes=120, user=None, template=None, **values) -> SendJob:
    """A confirmed job: by user with these leads, else by search over everybody."""
    at = timezone.now() + timedelta(minutes=minutes) if minutes else None
    job = send_jobs.create_draft(
        user=user, rule="by_user" if leads else "by_search", template=template or make_template(),
        condition=None if leads else EVERYONE, lead_ids=[lead.pk for lead in leads], scheduled_at=at, **values,
    )  # fmt: skip
    assert send_jobs.confirm(job, user=user, now=timezone.now())
    job.refresh_from_db()
    return job


def running(**values) -> SendJob:
    job = reserved(minutes=None, **values)
    job_start.run(job.pk, now=timezone.now())
    job.refresh_from_db()
    return job


def deliver(job, state="sent", number=None, **values):
    ids = (
        Delivery.objects.filter(job=job, state="queued").order_by("pk").values_list("pk", flat=True)[:number]
    )
    Delivery.objects.filter(pk__in=list(ids)).update(state=state, **values)


def act(client, name, job):
    response = client.post(reverse(name, args=[job.pk]))
    job.refresh_from_db()
    return response


# ---- the history


def test_history_shows_what_was_chosen(client, misaki):
    """TGT-8: a by-search job shows its condition, a by-user job its list. TGT-9: the number really sent."""
    leads = [make_lead(f"{n}@example.jp") for n in range(3)]
    search = SavedSearch.objects.create(name="関東の製造業", condition=EVERYONE, owner=misaki)
    by_search = send_jobs.create_draft(user=misaki, rule="by_search", template=make_template(), search=search)
    send_jobs.confirm(by_search, user=misaki, now=timezone.now())
    by_user = reserved(*leads[:2], user=misaki, template=make_template("別"))
    job_start.run(by_search.pk, now=timezone.now())
    deliver(by_search, number=2)
    search.delete()
    html = client.get(reverse("jobs")).content.decode()
    assert "関東の製造業" in html
    assert "送信ユーザ指定(2人)" in html and reverse("job_leads", args=[by_user.pk]) in html
    assert "2件送信" in html
    assert "送信中" in html and "送信予約" in html


def test_sent_number_is_the_real_one(client, misaki):
    """TGT-9: while it runs from the rows, afterwards as counted at the end."""
    for n in range(3):
        make_lead(f"{n}@example.jp")
    job = running()
    deliver(job, number=2)
    assert client.get(reverse("jobs")).context["rows"][0]["sent"] == 2
    deliver(job, state="error", code=42550)
    send_jobs.finish_if_empty(job.pk, now=timezone.now())
    row = client.get(reverse("jobs")).context["rows"][0]
    assert (row["sent"], row["state"]) == (2, "done")


def test_drafts_are_no_history(client, misaki):
    make_job()
    assert client.get(reverse("jobs")).context["rows"] == []


def test_history_filters(client, misaki):
    kenta = make_user("kenta")
    one = reserved(make_lead(), user=misaki, template=make_template("秋のご案内"))
    two = reserved(user=kenta, template=make_template("冬のご案内"), minutes=20)
    SendJob.objects.filter(pk=one.pk).update(created_at=timezone.now() - timedelta(days=10))

    def found(**query):
        return [row["job"].pk for row in client.get(reverse("jobs"), query).context["rows"]]

    assert found() == [two.pk, one.pk]
    assert found(q="冬") == [two.pk]
    assert found(q=str(one.pk)) == [one.pk]
    assert found(rule="by_user") == [one.pk]
    assert found(template=two.template_id) == [two.pk]
    assert found(created_by=misaki.pk) == [one.pk]
    assert found(state="reserved") == [one.pk]
    assert found(state="preparing") == [two.pk]  # RSV-2: as displayed
    assert found(until=f"{timezone.localdate() - timedelta(days=5)}") == [one.pk]
    assert found(since=f"{timezone.localdate() - timedelta(days=5)}") == [two.pk]
    assert found(sort="id") == [one.pk, two.pk]
    assert found(q="髙﨑😀") == []


@pytest.mark.parametrize(
    "name", ["q", "state", "rule", "template", "created_by", "since", "until", "sort", "page"]
)
@pytest.mark.parametrize("value", ["\0", "9" * 40, "' OR 1=1 --", "髙﨑𠮷①㈱😀", "-1", "9999-99-99"])
def test_hostile_filters(client, misaki, name, value):
    reserved(make_lead())
    assert client.get(reverse("jobs"), {name: value}).status_code == 200


def test_history_export(client, misaki):
    """CSV-3: what a spreadsheet would compute is written as text; the filter counts."""
    reserved(make_lead(), template=make_template("=HYPERLINK(1)"))
    reserved(template=make_template("残る"))
    content = b"".join(client.get(reverse("jobs_export"), {"rule": "by_user"}).streaming_content).decode(
        "utf-8-sig"
    )
    rows = list(csv.reader(io.StringIO(content)))
    assert rows[0][:4] == ["ID", "登録日時", "テンプレート", "送信者指定方法"]
    assert [row[2] for row in rows[1:]] == ["'=HYPERLINK(1)"]
    assert rows[1][4] == "送信ユーザ指定(1人)"
    assert AuditEntry.objects.get(action="job.export").user == misaki


@pytest.mark.parametrize("state", ["done", "sending", "reserved"])
def test_history_needs_the_same_queries_for_one_and_three(client, misaki, state):
    numbers = []
    for more in (1, 2):
        for _n in range(more):
            job = make_job(created_by=misaki)
            SendJob.objects.filter(pk=job.pk).update(state=state, counts={"state": {"sent": 1}})
        with CaptureQueriesContext(connection) as queries:
            assert len(client.get(reverse("jobs")).context["rows"]) in {1, 3}
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]


# ---- one job


def test_job_page_counts_come_from_the_rows(client, misaki):
    """EXC-6, TGT-12: numbers per state and reason, each a link to its leads."""
    for n in range(4):
        make_lead(f"{n}@example.jp")
    make_lead("no@example.jp", dm_permission=DmPermission.UNWANTED)
    make_lead("")
    job = running()
    deliver(job, number=2)
    deliver(job, state="error", code=42550, number=1)
    page = client.get(reverse("job", args=[job.pk]))
    assert [number["count"] for number in page.context["numbers"]] == [6, 4, 2, 1, 0, 1]
    assert {row["reason"]: row["count"] for row in page.context["reasons"]} == {
        "no_address": 1,
        "dm_permission": 1,
    }
    html = page.content.decode()
    deliveries = reverse("deliveries")
    for link in (
        f"{deliveries}?job={job.pk}&amp;state=sent",
        f"{deliveries}?job={job.pk}&amp;reason=dm_permission",
    ):
        assert link in html
    assert "style=" not in html
    for number in page.context["numbers"]:
        listed = client.get(number["url"])
        assert listed.context["page"].count == number["count"], number["label"]


def test_start_time_is_shown(client, misaki):
    """TGT-10, TGT-11: the stored start is the real one."""
    make_lead()
    job = reserved(minutes=1)
    late = job.scheduled_at + timedelta(seconds=7)
    job_start.run(job.pk, now=late)
    day, clock = timezone.localtime(late).strftime("%Y-%m-%d %H:%M:%S").split()
    assert f"配信開始 {day} {clock}" in client.get(reverse("job", args=[job.pk])).content.decode()
    assert f"{day}<small>{clock}</small>" in client.get(reverse("jobs")).content.decode()


def test_condition_stays_as_it_was(client, misaki):
    """TGT-8: even if the saved search was changed or deleted since; 「いま検索する」 runs it on today's data."""
    make_lead()
    search = SavedSearch.objects.create(name="全員の条件", condition=EVERYONE, owner=misaki)
    job = send_jobs.create_draft(user=misaki, rule="by_search", template=make_template(), search=search)
    send_jobs.confirm(job, user=misaki, now=timezone.now())
    before = client.get(reverse("job", args=[job.pk])).context["condition"]
    search.name, search.condition = "別の名前", {"match": "all", "blocks": [{"item": "gone"}]}
    search.save()
    page = client.get(reverse("job", args=[job.pk]))
    assert (
        page.context["condition"] == before
        and "全員の条件" in page.content.decode()
        and "別の名前" not in page.content.decode()
    )
    make_lead("later@example.jp")
    matching = client.get(reverse("job_matching", args=[job.pk]))
    assert matching.context["page"].paginator.count == 2


def test_by_user_job_shows_its_leads(client, misaki):
    """TGT-8"""
    ticked, other = make_lead("in@example.jp"), make_lead("out@example.jp")
    job = reserved(ticked)
    page = client.get(reverse("job_leads", args=[job.pk]))
    assert list(page.context["page"].object_list) == [ticked]
    assert other.email not in page.content.decode()


def test_by_user_reservation_points_out_changed_permissions(client, misaki):
    """TGT-2, TGT-4: who changed since is counted and listed; the number reserved stays."""
    changed, same = make_lead("a@example.jp"), make_lead("b@example.jp")
    job = reserved(changed, same)
    assert "予約後にDM許可が変わったリード" not in client.get(reverse("job", args=[job.pk])).content.decode()
    Lead.objects.filter(pk=changed.pk).update(dm_permission=DmPermission.UNWANTED)
    page = client.get(reverse("job", args=[job.pk]))
    assert "予約後にDM許可が変わったリード 1件" in page.content.decode()
    assert page.context["counts"].addressed == 2
    rows = client.get(reverse("job_changed", args=[job.pk])).context["rows"]
    assert [(row["lead"], row["then"], row["now"]) for row in rows] == [(changed, "希望する", "希望しない")]


def test_changed_template_is_pointed_out(client, misaki):
    """RSV-1: title, body and attachments follow the template until the start."""
    job = reserved(make_lead())
    words = "予約のあとにテンプレートが変更されました"
    assert words not in client.get(reverse("job", args=[job.pk])).content.decode()
    job.template.subject = "変更後"
    job.template.save()
    assert words in client.get(reverse("job", args=[job.pk])).content.decode()
    job_start.run(job.pk, now=job.scheduled_at)
    assert words not in client.get(reverse("job", args=[job.pk])).content.decode()


def test_content_is_the_template_of_the_start(client, misaki):
    """RSV-1, RSV-4: what was sent can be read although the template was changed since; HTML stands in a sandbox."""
    make_lead()
    html = "<p onclick=alert(1)>本文の最初</p><script>alert(1)</script>{{ 配信停止URL }} 配信停止"
    template = make_template("会場変更のお知らせ", purpose="notice", form="multipart", html_body=html)
    job = reserved(template=template)
    content, part = reverse("job_content", args=[job.pk]), reverse("job_html", args=[job.pk])
    assert client.get(content).url == reverse("template", args=[template.pk])
    assert client.get(part).status_code == 404
    job_start.run(job.pk, now=job.scheduled_at)
    type(template).objects.update(html_body="変更後", subject="変更後")
    page = client.get(content).content.decode()
    assert "製造業DXセミナーのご案内" in page and "変更後" not in page and 'sandbox=""' in page
    framed = client.get(part)
    assert framed.content.decode() == html + '<base target="_blank">'  # its links are dead
    assert framed["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


# ---- progress


def test_progress_is_asked_for_only_while_it_runs(client, misaki):
    """SYS-3: the live part survives a reload and stops asking at the end."""
    make_lead()
    job = running()
    live = reverse("job_progress", args=[job.pk])
    for _reload in range(2):
        assert (
            f'hx-get="{live}?state=sending&amp;brakes=0"'
            in client.get(reverse("job", args=[job.pk])).content.decode()
        )
    response = client.get(live, {"state": "sending"})
    assert "every 2s" in response.content.decode() and "HX-Refresh" not in response
    deliver(job)
    send_jobs.finish_if_empty(job.pk, now=timezone.now())
    response = client.get(live, {"state": "sending"})
    assert "every 2s" not in response.content.decode() and response["HX-Refresh"] == "true"
    assert "every 2s" not in client.get(reverse("job", args=[job.pk])).content.decode()


@pytest.mark.parametrize(("minutes", "asks"), [(None, True), (0.5, True), (5, False)])
def test_page_waits_for_a_start_that_is_due(client, misaki, minutes, asks):
    """SYS-3: after the wizard the page begins to move by itself."""
    make_lead()
    job = reserved(minutes=minutes)
    assert ("every 2s" in client.get(reverse("job", args=[job.pk])).content.decode()) is asks


def test_retries_are_shown(client, misaki):
    """ERR-3: how many wait for another try, and when the next is due."""
    make_lead()
    job = running()
    at = timezone.now() + timedelta(minutes=30)
    deliver(job, state="deferred", next_at=at)
    html = client.get(reverse("job", args=[job.pk])).content.decode()
    assert f"1件が再試行待ちです(次は{timezone.localtime(at):%H:%M})" in html


def test_rest_time_is_estimated_from_the_start(client, misaki):
    for n in range(4):
        make_lead(f"{n}@example.jp")
    job = running()
    SendJob.objects.filter(pk=job.pk).update(started_at=timezone.now() - timedelta(minutes=10))
    assert client.get(reverse("job", args=[job.pk])).context["progress"].left is None
    deliver(job, number=2)
    left = client.get(reverse("job", args=[job.pk])).context["progress"].left
    assert timedelta(minutes=9, seconds=50) < left < timedelta(minutes=10, seconds=10)


# ---- acts


def test_pause_and_resume(client, misaki):
    """RSV-3"""
    make_lead()
    job = running()
    act(client, "job_pause", job)
    assert job.state == "paused"
    assert "再開" in client.get(reverse("job", args=[job.pk])).content.decode()
    act(client, "job_resume", job)
    assert job.state == "sending"
    assert (
        list(AuditEntry.objects.filter(action__in=["job.pause", "job.resume"]).values_list("user", flat=True))
        == [misaki.pk] * 2
    )


def test_emergency_stop_has_a_page_of_its_own(client, misaki):
    """RSV-3: GET asks, POST stops whatever was not handed over; audited."""
    for n in range(3):
        make_lead(f"{n}@example.jp")
    job = running()
    deliver(job, number=1)
    page = client.get(reverse("job_stop", args=[job.pk]))
    job.refresh_from_db()
    assert (page.status_code, job.state) == (200, "sending")
    act(client, "job_stop", job)
    assert job.state == "stopped"
    assert sorted(Delivery.objects.filter(job=job).values_list("state", "reason")) == [
        ("excluded", "stopped")
    ] * 2 + [("sent", "")]
    assert AuditEntry.objects.get(action="job.stop").detail["not_sent"] == 2
    act(client, "job_stop", job)
    assert AuditEntry.objects.filter(action="job.stop").count() == 1


def test_reservation_can_be_deleted_until_thirty_minutes_before(client, misaki):
    """RSV-2"""
    job = reserved(make_lead(), minutes=31)
    assert client.get(reverse("job_delete", args=[job.pk])).status_code == 200
    act(client, "job_delete", job)
    assert job.state == "deleted"
    assert "予約削除" in client.get(reverse("jobs")).content.decode()
    assert job_start.run(job.pk, now=job.scheduled_at) is False


def test_deletion_is_disabled_afterwards_with_the_reason(client, misaki):
    """RSV-2: from 30 minutes before the time the job is 「送信準備」 and the button is disabled."""
    job = reserved(make_lead(), minutes=29)
    page = client.get(reverse("job", args=[job.pk]))
    html = page.content.decode()
    assert page.context["may_delete"] is False and "送信準備" in html
    assert page.context["why_not_deletable"] in html and "disabled" in html
    assert reverse("job_delete", args=[job.pk]) not in html
    assert client.get(reverse("job_delete", args=[job.pk])).status_code == 302
    act(client, "job_delete", job)
    assert job.state == "reserved"


def test_unknown_outcomes_are_sent_again_only_on_demand(client, misaki):
    """ERR-4: one administrator decides for all of a job; nothing else of the job is touched."""
    for n in range(3):
        make_lead(f"{n}@example.jp")
    job = running()
    deliver(job, number=1)
    deliver(job, state="unknown", token=77)
    send_jobs.finish_if_empty(job.pk, now=timezone.now())
    assert (
        reverse("job_resend_unknown", args=[job.pk])
        in client.get(reverse("job", args=[job.pk])).content.decode()
    )
    assert client.get(reverse("job_resend_unknown", args=[job.pk])).context["unknown"] == 2
    assert Delivery.objects.filter(state="unknown").count() == 2
    act(client, "job_resend_unknown", job)
    assert job.state == "sending" and job.finished_at is None
    assert sorted(Delivery.objects.values_list("state", "token")) == [("queued", None)] * 2 + [("sent", None)]
    assert AuditEntry.objects.get(action="job.resend_unknown").detail == {"mails": 2}
    act(client, "job_resend_unknown", job)
    assert AuditEntry.objects.filter(action="job.resend_unknown").count() == 1


def test_one_unknown_outcome_is_sent_again(client, misaki):
    """ERR-4: one mail from its own page; the others stay as they are."""
    for n in range(2):
        make_lead(f"{n}@example.jp")
    job = running()
    deliver(job, state="unknown")
    send_jobs.finish_if_empty(job.pk, now=timezone.now())
    one, other = Delivery.objects.order_by("pk")
    url = f"{reverse('job_resend_unknown', args=[job.pk])}?mail={one.pk}"
    assert url in client.get(reverse("delivery", args=[one.pk])).content.decode()
    assert client.get(url).context["unknown"] == 1
    client.post(url)
    assert dict(Delivery.objects.values_list("pk", "state")) == {one.pk: "queued", other.pk: "unknown"}
    assert client.get(url.replace(str(one.pk), "x")).status_code == 404


def test_mails_of_a_stopped_job_are_not_sent_again(client, misaki):
    """ERR-4, RSV-3"""
    make_lead()
    job = running()
    deliver(job, state="unknown")
    act(client, "job_stop", job)
    act(client, "job_resend_unknown", job)
    assert (job.state, Delivery.objects.get().state) == ("stopped", "unknown")


def test_halted_job_says_why_and_what_to_do(client, misaki):
    make_lead()
    job = reserved(minutes=1)
    type(job.template).objects.update(text_body="配信停止の案内なし")
    job_start.run(job.pk, now=job.scheduled_at)
    job.refresh_from_db()
    assert job.state == "halted"
    html = client.get(reverse("job", args=[job.pk])).content.decode()
    assert "再開" in html and reverse("job_resume", args=[job.pk]) in html
    assert "このままでは送信を続けられません" in html


# ---- why


def test_why_by_id_and_by_address(client, misaki):
    """EXC-6: one sentence with the data behind it, for any lead and this job."""
    got = make_lead("got@example.jp")
    refused = make_lead("Refused@Example.jp", dm_permission=DmPermission.UNWANTED)
    job = running()
    url = reverse("job", args=[job.pk])
    for asked in (str(refused.pk), "refused@example.jp", " ＲＥＦＵＳＥＤ@example.jp "):
        answers = client.get(url, {"lead": asked}).context["answers"]
        assert [(answer["lead"], answer["explanation"].reason) for answer in answers] == [
            (refused, "dm_permission")
        ]
    page = client.get(url, {"lead": got.pk})
    assert page.context["answers"][0]["explanation"].decision == "addressed"
    assert str(page.context["answers"][0]["explanation"].sentence) in page.content.decode()


@pytest.mark.parametrize(
    "asked",
    ["0", "9" * 40, "\0", "\0@example.jp", "<script>alert(1)</script>", "nobody@example.jp", "髙﨑", "１２"],
)
def test_why_for_nobody(client, misaki, asked):
    """EXC-6"""
    page = client.get(reverse("job", args=[running().pk]), {"lead": asked})
    assert page.status_code == 200 and page.context["answers"] == []
    assert "<script>alert" not in page.content.decode()


# ---- who may


def test_viewer_sees_but_changes_nothing(client, misaki):
    """SYS-1"""
    make_lead()
    job = running()
    client.force_login(make_user("yui", role=Role.VIEWER))
    for page in ("job", "job_progress", "job_matching"):
        assert client.get(reverse(page, args=[job.pk])).status_code == 200
    assert client.get(reverse("jobs")).status_code == 200
    for name in ("job_pause", "job_resume", "job_stop", "job_delete", "job_resend_unknown"):
        assert act(client, name, job).status_code == 403
    assert job.state == "sending"
    html = client.get(reverse("job", args=[job.pk])).content.decode()
    assert reverse("job_stop", args=[job.pk]) not in html and reverse("job_pause", args=[job.pk]) not in html


def test_acts_need_post(client, misaki):
    make_lead()
    job = running()
    for name in ("job_pause", "job_resume"):
        assert client.get(reverse(name, args=[job.pk])).status_code == 405
    for wrong in (0, 10**30):
        assert client.get(f"/mail/jobs/{wrong}/").status_code == 404
    assert client.get(reverse("job", args=[make_job(template=make_template("下書き")).pk])).status_code == 404


def test_mail_tab_menu(client, misaki):
    """NAV-1: the mail tab's pages, grouped by what one wants to do, under SMP's labels."""
    html = client.get(reverse("jobs")).content.decode()
    for label in (
        "送信ウィザード",
        "ウィザード利用履歴",
        "個別メール送信履歴",
        "テンプレート一覧",
        "メール設定",
    ):
        assert f">{label}</a>" in html
    for group in ("送る", "見る", "用意する"):
        assert f"<h2>{group}</h2>" in html
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert reverse("wizard") not in client.get(reverse("jobs")).content.decode()


def test_every_page_opens_in_english(client, misaki):
    """SYS-4"""
    make_lead()
    job = running()
    session = client.session
    session["language"] = "en"
    session.save()
    for name in ("job", "job_progress", "job_stop", "job_matching", "wizard_done"):
        html = client.get(reverse(name, args=[job.pk])).content.decode()
        assert "検索条件指定" not in html
    assert "How recipients are given" in client.get(reverse("wizard")).content.decode()

"""TRK-3: reports of mailings and step mails, and the mails behind each number."""

import csv
import io
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.merge import merge, undo
from mail.message import take_snapshot
from mail.models import StepMail, TemplateSnapshot
from settings.models import AuditEntry
from tests.factories import (
    make_campaign,
    make_counted_url,
    make_delivery,
    make_hit,
    make_job,
    make_lead,
    make_template,
    make_user,
)
from tracking import reports
from tracking.report_mails import QUESTIONS, Question, count_mails, mails_behind
from tracking.reports import job_report, numbers_of, scope_of_job, step_report

TOKYO = ZoneInfo("Asia/Tokyo")
START = datetime(2026, 11, 20, 10, 30, tzinfo=TOKYO)
NOW = START + timedelta(days=5)
MULTIPART_NOTE = "テキスト形式で受信した宛先が分母に含まれるため、実際より低く出ます"

pytestmark = pytest.mark.django_db


def counted_snapshot(template, urls, *, opens=True):
    """As mail.click_count.with_counting writes it."""
    plain = take_snapshot(template)
    content = plain.content | {"counted": {url.url: url.pk for url in urls}, "opens": opens}
    digest = f"{plain.digest[:50]}{len(urls)}{opens}"
    return TemplateSnapshot.objects.get_or_create(digest=digest, defaults={"content": content})[0]


def make_counted_job(urls, *, form="html", opens=True, **values):
    template = make_template(f"案内 {form}", form=form, html_body="<p>x</p>")
    return make_job(
        template, state="done", started_at=START, count_clicks=True, count_opens=opens,
        snapshot=counted_snapshot(template, urls, opens=opens), **values,
    )  # fmt: skip


@pytest.fixture
def urls():
    return [
        make_counted_url("https://a.example.jp/", "申込"),
        make_counted_url("https://b.example.jp/", "資料"),
    ]


@pytest.fixture
def scene(urls):
    """Six mails: five 正常, one エラー. A opened and clicked, B opened twice, C clicked without an open, D only machines,
    E nothing, F opened and came back later."""
    job = make_counted_job(urls)
    mails = {}
    for name in "ABCDEF":
        domain = "docomo.ne.jp" if name in "AE" else "Gmail.com"
        lead = make_lead(f"{name.lower()}@{domain}", last_name=name)
        state = "error" if name == "F" else "sent"
        mails[name] = make_delivery(lead, job=job, state=state, sent_at=START, subject="案内")
    hour = timedelta(hours=1)
    make_hit(mails["A"], at=START + hour)
    make_hit(mails["A"], "click", at=START + hour, url_id=urls[0].pk)
    make_hit(mails["A"], "click", at=START + 2 * hour, url_id=urls[0].pk)
    make_hit(mails["B"], at=START + hour)
    make_hit(mails["B"], at=START + 60 * hour)
    make_hit(mails["C"], "click", at=START + 72 * hour, url_id=urls[0].pk)
    make_hit(mails["D"], verdict="machine", at=START, evidence=["soon"])
    make_hit(mails["D"], verdict="machine", at=START)
    make_hit(mails["D"], "click", verdict="machine", at=START, url_id=urls[1].pk)
    make_hit(mails["F"], at=START + hour)
    return {"job": job, "mails": mails, "urls": urls}


def rates(report):
    return {rate.key: (rate.numerator, rate.denominator) for rate in report.rates}


def test_opened_and_clicked_of_the_delivered(scene):
    """TRK-3, TRK-4: each recipient once, 正常 only, people only; what was left out is told."""
    report = job_report(scene["job"], now=NOW)
    assert rates(report) == {"open": (2, 5), "click": (2, 5), "both": (1, 2)}
    numbers = report.numbers
    assert (numbers.clicked_unopened, numbers.undelivered) == (1, 1)
    assert (
        numbers.machine_opened,
        numbers.machine_opens,
        numbers.machine_clicked,
        numbers.machine_clicks,
    ) == (1, 2, 1, 1)


def test_links_with_and_without_clicks(scene):
    """TRK-3: per link unique recipients and all clicks; machines do not count"""
    links = [(link.name, link.people, link.clicks) for link in job_report(scene["job"], now=NOW).links]
    assert links == [("申込", 2, 3), ("資料", 0, 0)]


def test_receiving_domains(scene):
    """TRK-3: domains in lower case, the biggest first, their sum is the whole"""
    report = job_report(scene["job"], now=NOW)
    assert [(one.name, one.delivered, one.opened, one.clicked) for one in report.domains] == [
        ("gmail.com", 3, 1, 1), ("docomo.ne.jp", 2, 1, 1),
    ]  # fmt: skip
    assert sum(one.delivered for one in report.domains) == report.numbers.delivered


def test_over_time_counts_each_recipient_once(scene):
    """TRK-3: first opens and clicks; 48 hours by the hour, all by the day, in Japan's time"""
    times = job_report(scene["job"], now=NOW).times
    assert len(times.hours) == 48
    assert times.hours[0].since == datetime(2026, 11, 20, 10, tzinfo=TOKYO)
    assert (times.hours[1].opened, times.hours[1].clicked) == (2, 1)
    assert sum(one.opened + one.clicked for one in times.hours) == 3
    assert [(f"{one.since:%m-%d}", one.opened, one.clicked) for one in times.days] == [
        ("11-20", 2, 1), ("11-21", 0, 0), ("11-22", 0, 0), ("11-23", 0, 1),
    ]  # fmt: skip


def test_after_two_months_by_the_month(scene):
    make_hit(scene["mails"]["E"], at=START + timedelta(days=90))
    times = job_report(scene["job"], now=NOW + timedelta(days=90)).times
    assert times.months
    assert [f"{one.since:%Y-%m} {one.opened}" for one in times.days] == [
        "2026-11 2",
        "2026-12 0",
        "2027-01 0",
        "2027-02 1",
    ]


def test_the_hours_shown_end_now(scene):
    times = job_report(scene["job"], now=START + timedelta(hours=2)).times
    assert len(times.hours) == 3


def test_a_mail_that_comes_back_later_leaves_both_numbers(scene):
    """TRK-3: delivered shrinks, and so does opened; never over 100 %"""
    mail = scene["mails"]["A"]
    mail.state = "error"
    mail.save()
    report = job_report(scene["job"], now=NOW)
    assert rates(report) == {"open": (1, 4), "click": (1, 4), "both": (0, 1)}
    assert report.numbers.undelivered == 2


def test_a_mail_that_was_retried_is_the_same_mail(scene):
    """TRK-3: エラー, then 正常 at the second try: its opens count from then on"""
    mail = scene["mails"]["F"]
    mail.state, mail.again = "sent", 1
    mail.save()
    assert rates(job_report(scene["job"], now=NOW))["open"] == (3, 6)


def test_deleted_and_merged_leads_stay_in_the_report(scene):
    """TRK-3, APP-5: the mail was delivered and read, whatever becomes of the lead"""
    before = rates(job_report(scene["job"], now=NOW))
    a, b, c = (scene["mails"][name].lead for name in "ABC")
    c.deleted_at = timezone.now()
    c.save()
    merged = merge(a.pk, [b.pk], chosen={}, user=make_user(), now=timezone.now())
    assert rates(job_report(scene["job"], now=NOW)) == before
    lines = mails_behind("job_id", scene["job"].pk, Question("opened"))
    assert len(lines) == before["open"][0]
    undo(merged, user=None, now=timezone.now())
    assert rates(job_report(scene["job"], now=NOW)) == before


def test_every_number_leads_to_as_many_mails(scene):
    """TRK-3: the list, its length and the number agree"""
    report, job = job_report(scene["job"], now=NOW), scene["job"]
    numbers = report.numbers
    expected = {
        "delivered": numbers.delivered, "opened": numbers.opened, "not_opened": numbers.delivered - numbers.opened,
        "clicked": numbers.clicked, "not_clicked": numbers.delivered - numbers.clicked, "opened_clicked": numbers.opened_clicked,
        "clicked_unopened": numbers.clicked_unopened, "machine_only": 1, "machine_opened": numbers.machine_opened,
        "machine_clicked": numbers.machine_clicked, "undelivered": numbers.undelivered,
    }  # fmt: skip
    for what in QUESTIONS:
        assert count_mails("job_id", job.pk, Question(what)) == expected[what], what
        assert len(mails_behind("job_id", job.pk, Question(what))) == expected[what], what
    link = report.links[0]
    assert count_mails("job_id", job.pk, Question("clicked", link=link.id)) == link.people
    assert count_mails("job_id", job.pk, Question("clicked", link=report.links[1].id)) == 0
    for domain in report.domains:
        assert count_mails("job_id", job.pk, Question("opened", domain=domain.name)) == domain.opened
    for one in [*report.times.hours, *report.times.days]:
        for what, count in (("opened", one.opened), ("clicked", one.clicked)):
            assert count_mails("job_id", job.pk, Question(what, since=one.since, until=one.until)) == count


def test_another_jobs_hits_do_not_count(scene, urls):
    other = make_counted_job(urls)
    make_hit(make_delivery(scene["mails"]["A"].lead, job=other, state="sent"))
    assert rates(job_report(scene["job"], now=NOW))["open"] == (2, 5)
    assert numbers_of("job_id", [scene["job"].pk, other.pk])[other.pk].opened == 1


def test_a_step_mail_has_the_same_report(urls):
    """TRK-3, STEP-4: its mails count, of every version of its template that went out"""
    template = make_template("ステップ", form="html", html_body="<p>x</p>")
    step = StepMail.objects.create(name="フォロー", origin="application", template=template)
    first, second = counted_snapshot(template, urls[:1]), counted_snapshot(template, urls)
    lead = make_lead()
    mails = [
        make_delivery(lead, kind="step", step_mail_id=step.pk, state="sent", snapshot=snapshot, sent_at=START)
        for snapshot in (first, second)
    ]
    make_hit(mails[0], at=START)
    make_hit(mails[0], "click", at=START, url_id=urls[0].pk)
    report = step_report(step, now=NOW)
    assert rates(report) == {"open": (1, 2), "click": (1, 2), "both": (1, 1)}
    assert [link.name for link in report.links] == ["申込", "資料"]
    assert report.times.hours == []
    assert [one.opened for one in report.times.days] == [1]


# ---- pages
@pytest.fixture
def misaki(client):
    user = make_user()
    client.force_login(user)
    return user


def page(client, path):
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_the_report_shows_formula_numerator_and_denominator(client, misaki, scene):
    """TRK-3, TRK-4"""
    job = scene["job"]
    text = page(client, f"/mail/jobs/{job.pk}/report/")
    mails = f"/mail/jobs/{job.pk}/report/mails/"
    assert "開封・クリックレポート" in text
    assert "40.0%" in text
    assert f'<a href="{mails}?what=opened">2</a> ÷ <a href="{mails}?what=delivered">5</a>' in text
    assert "開封した宛先(1宛先につき1回) ÷ 配信数(正常)" in text
    assert "機械とみなした開封 2 件を除いています" in text
    assert MULTIPART_NOTE not in text
    for one in (text, page(client, f"/mail/jobs/{job.pk}/rates/")):
        assert one.count("開封率") >= 1 and "クリック率" in one


def test_multipart_says_that_the_rate_is_too_low(client, misaki, urls):
    """TRK-3: 「テキスト形式で受信した宛先が分母に含まれるため、実際より低く出ます」"""
    job = make_counted_job(urls, form="multipart")
    for path in ("report/", "rates/"):
        assert MULTIPART_NOTE in page(client, f"/mail/jobs/{job.pk}/{path}")
    assert MULTIPART_NOTE in page(client, f"/mail/jobs/compare/?job={job.pk}")


def test_a_text_mail_has_no_open_rate(client, misaki, urls):
    """TRK-2, TRK-3"""
    job = make_counted_job(urls, form="text", opens=False)
    mail = make_delivery(make_lead(), job=job, state="sent", sent_at=START)
    make_hit(mail, "click", at=START, url_id=urls[0].pk)
    assert rates(job_report(job, now=NOW)) == {"click": (1, 1)}
    text = page(client, f"/mail/jobs/{job.pk}/report/")
    assert "テキスト形式のメールでは開封率を取得できません" in text
    assert "what=opened" not in text


def test_before_the_start_and_without_counting(client, misaki):
    waiting = make_job(make_template(form="html", html_body="x"), state="reserved", count_clicks=True)
    assert "最初のメールが配信されると" in page(client, f"/mail/jobs/{waiting.pk}/report/")
    plain = make_job(make_template(form="html", html_body="x"), state="reserved")
    assert "開封もクリックも計測していません" in page(client, f"/mail/jobs/{plain.pk}/report/")


def test_the_same_queries_for_one_and_many_hits(client, misaki, scene, urls):
    job = scene["job"]
    paths = [
        f"/mail/jobs/{job.pk}/report/", f"/mail/jobs/{job.pk}/rates/", f"/mail/jobs/{job.pk}/report/mails/?what=opened",
        f"/mail/jobs/compare/?job={job.pk}",
    ]  # fmt: skip
    counts = []
    for turn in (1, 2):
        found = []
        for path in paths:
            page(client, path)
            with CaptureQueriesContext(connection) as queries:
                page(client, path)
            found.append(len(queries))
        counts.append(found)
        for n in range(5):
            mail = make_delivery(
                make_lead(f"new{turn}{n}@new{n}.example.jp"), job=job, state="sent", sent_at=START
            )
            make_hit(mail, at=START)
            make_hit(mail, "click", at=START, url_id=make_counted_url(f"https://n{turn}{n}.example.jp/").pk)
        make_counted_job(urls)
    assert counts[0] == counts[1]


def test_the_list_of_mails_and_its_pages(client, misaki, scene, settings_rows):
    job = scene["job"]
    text = page(client, f"/mail/jobs/{job.pk}/report/mails/?what=delivered")
    assert "<b>5</b>" in text
    older = f"before={scene['mails']['D'].pk}"
    assert older in text
    rest = page(client, f"/mail/jobs/{job.pk}/report/mails/?what=delivered&{older}")
    assert [name for name in "ABCDE" if f"/leads/{scene['mails'][name].lead_id}/" in rest] == ["B", "C"]


@pytest.fixture
def settings_rows(monkeypatch):
    """Two rows a page."""
    monkeypatch.setattr("tracking.views.report_mails.rows_per_page", lambda: 2)


@pytest.mark.parametrize("query", ["what=nonsense", "what=clicked&link=x", "what=clicked&link=1'--"])
def test_what_no_report_asks_is_not_found(client, misaki, scene, query):
    assert client.get(f"/mail/jobs/{scene['job'].pk}/report/mails/?{query}").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["domain=%00%F0%9F%98%80'", "since=x&until=9999-99-99T99", "before=-1", "link=999999999999999999"],
)
def test_hostile_addresses_only_find_nothing_or_everything(client, misaki, scene, query):
    assert client.get(f"/mail/jobs/{scene['job'].pk}/report/mails/?what=opened&{query}").status_code == 200


def lines_of(client, path):
    response = client.get(path)
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def test_files_hold_the_numbers_and_no_formula(client, misaki, scene):
    """TRK-3, CSV-3, SYS-2"""
    job = scene["job"]
    url = scene["urls"][0]
    url.name = "=HYPERLINK(1)"
    url.save()
    lead = scene["mails"]["A"].lead
    lead.company = "@SUM(A1)"
    lead.save()
    report = lines_of(client, f"/mail/jobs/{job.pk}/report/export/")
    assert ["開封率", "", "2", "5", "40.0", "開封した宛先(1宛先につき1回) ÷ 配信数(正常)"] in report
    assert any(row[1] == "'=HYPERLINK(1)" for row in report)
    mails = lines_of(client, f"/mail/jobs/{job.pk}/report/mails/export/?what=opened")
    assert [row[0] for row in mails[1:]] == [str(scene["mails"][name].lead_id) for name in "BA"]
    assert mails[2][2] == "'@SUM(A1)"
    assert AuditEntry.objects.filter(action="report.export").count() == 2


def test_the_file_holds_every_domain_and_the_page_the_biggest(client, misaki, scene, monkeypatch):
    monkeypatch.setitem(reports.domains_of.__kwdefaults__, "limit", 1)
    path = f"/mail/jobs/{scene['job'].pk}/report/"
    shown = {
        domain.name
        for domain in reports.report(reports.scope_of_job(scene["job"]), now=timezone.now()).domains
    }
    everyone = {domain.name for domain in reports.domains_of(reports.scope_of_job(scene["job"]), limit=None)}
    assert len(shown) == 1 < len(everyone)
    assert everyone <= {line[1] for line in lines_of(client, f"{path}export/")}


def test_mailings_are_compared_in_the_order_chosen(client, misaki, scene, urls):
    """TRK-3: 「メールの比較」"""
    job, other = scene["job"], make_counted_job(urls, opens=False)
    text = page(client, f"/mail/jobs/compare/?job={other.pk}&job={job.pk}&job={job.pk}&job=x&job=999999999")
    compared = text.split('id="comparison"')[1].split("</section>")[0]
    assert compared.index(f"/mail/jobs/{other.pk}/report/") < compared.index(f"/mail/jobs/{job.pk}/report/")
    assert compared.count("40.0%") == 2
    assert "計測なし" in compared
    rows = lines_of(client, f"/mail/jobs/compare/export/?job={other.pk}&job={job.pk}")
    assert [row[0] for row in rows[1:]] == [str(other.pk), str(job.pk)]
    assert rows[1][5:7] == ["", ""]
    assert rows[2][4:9] == ["5", "2", "40.0", "2", "40.0"]


def test_at_most_ten_are_compared(client, misaki, urls):
    jobs = [make_counted_job(urls) for _n in range(3)]
    many = "&".join(f"job={n}" for n in [*range(900, 909), jobs[0].pk, jobs[1].pk])
    text = page(client, f"/mail/jobs/compare/?{many}")
    compared = text.split('id="comparison"')[1].split("</section>")[0]
    assert f"/mail/jobs/{jobs[0].pk}/report/" in compared
    assert f"/mail/jobs/{jobs[1].pk}/report/" not in compared
    assert "最初の10件だけ" in text


def test_a_campaign_sees_its_own_mailings_only(client, urls):
    """APP-1, SYS-1: reports, lists, files, summaries and comparisons of another campaign or of blue are not found"""
    kenta = make_user("kenta", role="campaign")
    ours, theirs = make_campaign(members=[kenta]), make_campaign("よそ")
    client.force_login(kenta)
    jobs = {campaign: make_counted_job(urls, campaign=campaign) for campaign in (ours, theirs, None)}
    for job in jobs.values():
        make_delivery(
            make_lead(f"x{job.pk}@example.jp"),
            job=job,
            state="sent",
            campaign_id=job.campaign_id,
            sent_at=START,
        )
    inside = f"/c/{ours.pk}/mail/jobs"
    tails = ("report/", "rates/", "report/export/", "report/mails/", "report/mails/export/")
    for tail in tails:
        assert client.get(f"{inside}/{jobs[ours].pk}/{tail}").status_code == 200
        for strange in (jobs[theirs], jobs[None]):
            assert client.get(f"{inside}/{strange.pk}/{tail}").status_code == 404
            assert client.get(f"/mail/jobs/{strange.pk}/{tail}").status_code == 403
    query = "&".join(f"job={job.pk}" for job in jobs.values())
    rows = lines_of(client, f"{inside}/compare/export/?{query}")
    assert [row[0] for row in rows[1:]] == [str(jobs[ours].pk)]
    text = page(client, f"{inside}/compare/?{query}")
    assert [job.pk for job in jobs.values() if f"/jobs/{job.pk}/" in text] == [jobs[ours].pk]
    for campaign, seen in ((ours, True), (theirs, False), (None, False)):
        link = make_counted_url("https://secret.example.jp/", f"社外秘{campaign}", campaign=campaign)
        text = page(client, f"{inside}/{jobs[ours].pk}/report/mails/?what=clicked&link={link.pk}")
        assert (link.name in text) == seen
    steps = [
        StepMail.objects.create(name="s", origin="application", campaign=one, state="active")
        for one in (ours, theirs)
    ]
    for tail in ("report/", "report/export/", "report/mails/", "report/mails/export/"):
        assert client.get(f"/c/{ours.pk}/mail/steps/{steps[0].pk}/{tail}").status_code == 200
        assert client.get(f"/c/{ours.pk}/mail/steps/{steps[1].pk}/{tail}").status_code == 404


def test_a_draft_has_no_report(client, misaki):
    assert client.get(f"/mail/jobs/{make_job(state='draft').pk}/report/").status_code == 404
    step = StepMail.objects.create(name="誰かの下書き", origin="page_view")
    for tail in ("report", "rates"):
        assert client.get(f"/mail/steps/{step.pk}/{tail}/").status_code == 404


def test_the_pages_of_a_mailing_lead_to_the_report(client, misaki, scene):
    job = scene["job"]
    assert f'hx-get="/mail/jobs/{job.pk}/rates/"' in page(client, f"/mail/jobs/{job.pk}/")
    assert f'href="/mail/jobs/{job.pk}/report/"' in page(client, "/mail/jobs/")
    assert "/mail/jobs/compare/" in page(client, "/mail/jobs/")


def test_scope_reads_what_was_really_sent(urls):
    """RSV-1: the snapshot says what was counted, not the settings of today"""
    job = make_counted_job(urls, opens=False)
    job.count_opens = True
    assert scope_of_job(job).opens is False

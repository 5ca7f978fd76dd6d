"""RATE-2 on the screens: the notice and its button, the badge in the history, the home page."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail import send_jobs
from mail.delivery.brake import Tally, braked_domains, count_results
from mail.models import JobDomain
from settings.models import Role
from tests.factories import make_campaign, make_delivery, make_lead, make_sending_job, make_user

pytestmark = pytest.mark.django_db
HOSTILE = "550 <script>alert(1)</script> {{ 姓 }}"


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def braked_job(*domains):
    job = make_sending_job()
    for domain in domains or ("docomo.ne.jp",):
        make_delivery(
            make_lead(f"a@{domain}"), job=job, state="error", code=42550, cause="refused", reply=HOSTILE
        )
        for number in range(3):
            later = timezone.now() + timedelta(minutes=30)
            make_delivery(make_lead(f"{number}@{domain}"), job=job, next_at=later)
        count_results(job.pk, {domain: Tally(20, 120)}, now=timezone.now())
    return job


def page(client, job):
    return client.get(reverse("job", args=[job.pk])).content.decode()


def test_the_notice(client, misaki):
    """RATE-2: how many of how many, the receiver's own words, what to do, and the button."""
    html = page(client, braked_job())
    assert "docomo.ne.jp 宛の送信にブレーキがかかっています。" in html
    assert "直近140通のうち120通が失敗しました。" in html
    assert "3通が待っています。" in html
    assert "550 &lt;script&gt;alert(1)&lt;/script&gt; {{ 姓 }}" in html and HOSTILE not in html
    assert "送信を続ける" in html and "送信中" in html


def test_its_numbers_are_links(client, misaki):
    job = braked_job("docomo.ne.jp", "日本語.jp")
    JobDomain.objects.filter(domain="日本語.jp").update(domain="xn--wgv71a119e.jp")
    notices = client.get(reverse("job", args=[job.pk])).context["brakes"]
    assert [(one.shown, one.waiting) for one in notices] == [("docomo.ne.jp", 3), ("日本語.jp", 3)]
    for notice in notices:
        assert len(client.get(notice.waiting_url).context["page"].rows) == 3
        assert len(client.get(notice.failed_url).context["page"].rows) == 1


def test_going_on(client, misaki):
    job = braked_job()
    answer = client.post(reverse("job_go_on", args=[job.pk]), {"domain": "docomo.ne.jp"}, follow=True)
    html = answer.content.decode()
    assert "docomo.ne.jp 宛の送信を続けます。" in html and "ブレーキがかかっています" not in html
    assert braked_domains([job.pk]) == {job.pk: set()}
    again = client.post(reverse("job_go_on", args=[job.pk]), {"domain": "docomo.ne.jp"}, follow=True)
    assert "解除するブレーキはありません" in again.content.decode()


@pytest.mark.parametrize(
    "domain", ["", "\0", "x" * 100_000, "<script>", "ezweb.ne.jp", "' OR 1=1 --", "\ud800"]
)
def test_hostile_domains(client, misaki, domain):
    job = braked_job()
    body = b"domain=" + domain.encode("utf-8", "surrogatepass")
    answer = client.post(
        reverse("job_go_on", args=[job.pk]), body, content_type="application/x-www-form-urlencoded"
    )
    assert answer.status_code == 302
    assert braked_domains([job.pk]) == {job.pk: {"docomo.ne.jp"}}


def test_who_may(client, misaki):
    """Viewers see the notice, not the button; opening the address changes nothing."""
    job = braked_job()
    url = reverse("job_go_on", args=[job.pk])
    assert client.get(url).status_code == 405
    client.force_login(make_user("yui", role=Role.VIEWER))
    html = page(client, job)
    assert "ブレーキがかかっています" in html and "送信を続ける</button>" not in html
    assert client.post(url, {"domain": "docomo.ne.jp"}).status_code == 403
    assert braked_domains([job.pk]) == {job.pk: {"docomo.ne.jp"}}
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign = make_campaign(members=[kenta])
    client.force_login(kenta)
    inside = f"/c/{campaign.pk}{url}"
    assert client.post(inside, {"domain": "docomo.ne.jp"}).status_code == 404  # not his campaign's job
    assert braked_domains([job.pk]) == {job.pk: {"docomo.ne.jp"}}
    job.campaign = campaign
    job.save()
    assert client.post(inside, {"domain": "docomo.ne.jp"}).status_code == 302
    assert braked_domains([job.pk]) == {job.pk: set()}


def test_the_page_notices_a_new_brake(client, misaki):
    job = braked_job()
    url = reverse("job_progress", args=[job.pk])
    assert "HX-Refresh" in client.get(url, {"state": "sending", "brakes": "0"})
    assert "HX-Refresh" not in client.get(url, {"state": "sending", "brakes": "1"})
    assert "state=sending&amp;brakes=1" in page(client, job)


def test_badge_and_home_page(client, misaki):
    job = braked_job()
    for url in (reverse("jobs"), reverse("home")):
        html = client.get(url).content.decode()
        assert "ブレーキ中" in html and reverse("job", args=[job.pk]) in html
    send_jobs.stop(job, user=misaki, now=timezone.now())
    for url in (reverse("jobs"), reverse("home"), reverse("job", args=[job.pk])):
        html = client.get(url).content.decode()
        assert "ブレーキ中" not in html and "ブレーキがかかっています" not in html


@pytest.mark.parametrize("name", ["jobs", "home"])
def test_as_many_queries_for_one_as_for_three(client, misaki, name):
    braked_job()
    client.get(reverse(name))
    with CaptureQueriesContext(connection) as one:
        client.get(reverse(name))
    braked_job()
    braked_job()
    with CaptureQueriesContext(connection) as three:
        client.get(reverse(name))
    assert len(one) == len(three)


def test_as_many_queries_for_three_brakes(client, misaki):
    single, several = braked_job(), braked_job("a.example.jp", "b.example.jp", "c.example.jp")
    page(client, single)
    with CaptureQueriesContext(connection) as one:
        page(client, single)
    with CaptureQueriesContext(connection) as three:
        page(client, several)
    assert len(one) == len(three)

"""The home page: calm, truthful, the same number of queries for one and three."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from leads.home_cards import week_start
from leads.models import LeadImport
from mail.models import Delivery, SendJob
from settings.models import Role
from tests.factories import make_delivery, make_job, make_lead, make_sending_job, make_template, make_user


@pytest.fixture
def misaki(client, db):
    client.force_login(make_user())
    return client


def html_of(client, url="/"):
    return client.get(url).content.decode()


def make_running(number=1, **states):
    for _number in range(number):
        job = make_job(state="sending", started_at=timezone.now())
        for state, count in states.items():
            for _count in range(count):
                Delivery.objects.create(
                    job=job,
                    lead=make_lead(f"a{Delivery.objects.count()}@example.jp"),
                    state=state,
                    decided_at=timezone.now(),
                )
    return job


def test_empty_home_says_what_to_do_first(misaki):
    html = html_of(misaki)
    for text in (
        "リードはまだありません",
        "送信予約はありません",
        "メールはまだ送られていません",
        "リードを取り込む",
        "テンプレートを書く",
    ):
        assert text in html
    assert "送信中のメール" not in html
    assert "対応が必要です" not in html


def test_yui_the_viewer_is_offered_nothing_she_may_not_do(client, db):
    """SYS-1"""
    client.force_login(make_user("yui", role=Role.VIEWER))
    html = html_of(client)
    for url in ("/mail/wizard/", "/mail/templates/new/", "/leads/imports/"):
        assert not re.search(rf'class="btn[^"]*" href="{url}"', html)


def test_running_job_shows_what_the_rows_say(misaki):
    """SYS-3"""
    job = make_running(sent=3, error=1, unknown=1, queued=4, excluded=0)
    html = html_of(misaki)
    assert f'href="/mail/jobs/{job.pk}/"' in html
    assert "3 / 9" in html
    assert 'aria-valuenow="55"' in html
    assert 'hx-get="/home/running/"' in html
    assert "3 / 9" in html_of(misaki, "/home/running/")


def test_polling_ends_with_the_last_job(misaki):
    response = misaki.get("/home/running/")
    assert (response.status_code, response.content) == (286, b"")
    assert misaki.get("/home/nothing/").status_code == 404


def test_halted_jobs_and_unknown_outcomes_need_somebody(misaki):
    """ERR-4"""
    make_job(make_template("止まった案内"), state="halted", halt_reason="メールサーバーに接続できません。")
    make_job(
        make_template("不明な案内"),
        state="done",
        started_at=timezone.now(),
        finished_at=timezone.now(),
        counts={"state": {"sent": 5, "unknown": 2}},
    )
    make_job(
        make_template("昔の案内"),
        state="done",
        started_at=timezone.now() - timedelta(days=40),
        counts={"state": {"unknown": 2}},
    )
    html = html_of(misaki)
    assert "対応が必要です" in html
    assert "メールサーバーに接続できません。" in html
    assert "結果不明 2" in html
    assert "昔の案内" not in html


def test_next_reservations_come_first(misaki):
    later = make_job(
        make_template("あとの案内"), state="reserved", scheduled_at=timezone.now() + timedelta(days=2)
    )
    sooner = make_job(
        make_template("先の案内"), state="reserved", scheduled_at=timezone.now() + timedelta(days=1)
    )
    response = misaki.get("/")
    card = next(card for card in response.context["cards"] if card["key"] == "reserved")
    assert card["content"]["jobs"] == [sooner, later]


def test_leads_of_this_week(misaki):
    now = timezone.now()
    make_lead("new@example.jp", created_at=week_start(now))
    make_lead("old@example.jp", created_at=week_start(now) - timedelta(seconds=1))
    make_lead("gone@example.jp", created_at=now, deleted_at=now)
    make_lead("left@example.jp", created_at=now - timedelta(days=30), unsubscribed_at=week_start(now))
    card = next(card for card in misaki.get("/").context["cards"] if card["key"] == "leads")
    assert {key: card["content"][key] for key in ("total", "new", "unsubscribed")} == {
        "total": 3,
        "new": 1,
        "unsubscribed": 1,
    }


def test_import_that_waits_for_a_click(misaki):
    waiting = LeadImport.objects.create(mode="add", file_name="来場者.csv", state="checked")
    LeadImport.objects.create(mode="add", file_name="済み.csv", state="done")
    html = html_of(misaki)
    assert f'href="/leads/imports/{waiting.pk}/"' in html
    assert "済み.csv" not in html


def test_same_queries_for_one_and_three(misaki, django_assert_num_queries):
    def fill():
        make_running(sent=1, queued=1)
        make_job(state="reserved", scheduled_at=timezone.now())
        make_job(
            state="done",
            started_at=timezone.now(),
            finished_at=timezone.now(),
            counts={"state": {"sent": 1, "unknown": 1}},
        )
        make_job(state="halted")
        LeadImport.objects.create(mode="add", file_name="a.csv", state="checked")

    fill()
    misaki.get("/")
    with django_assert_num_queries(20):
        misaki.get("/")
    fill()
    fill()
    assert SendJob.objects.count() == 12
    with django_assert_num_queries(20):
        misaki.get("/")


def test_mails_that_do_not_move_need_somebody(misaki):
    """The watchdog: due for minutes, and no worker takes them."""
    assert "配信が滞っています" not in html_of(misaki)
    long_ago = timezone.now() - timedelta(minutes=30)
    job = make_sending_job("a@x.example.jp")
    SendJob.objects.filter(pk=job.pk).update(started_at=long_ago)
    job.deliveries.update(next_at=long_ago)
    make_delivery(make_lead("b@x.example.jp"), kind="single", next_at=long_ago)
    html = html_of(misaki)
    assert html.count("配信が滞っています") == 2
    assert reverse("job", args=[job.pk]) in html

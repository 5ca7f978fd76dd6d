"""「配信履歴」 and 「配信履歴詳細」 (TGT-10, TGT-11, TGT-12, MAG-5)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail.message import store_snapshot
from mail.models import ReaderChange, SendJob
from mail.stories.content import snapshot_of
from tests.factories import make_delivery, make_hit, make_job, make_user
from tests.mail.magazine_scene import make_magazine, make_reader, make_story
from tests.mail.test_story_pages import html_of, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def magazine(client):
    client.force_login(make_user("misaki"))
    return make_magazine()


def make_start(story, *, planned=None, started=None, state="done", **values):
    started = started or timezone.now()
    values.setdefault("snapshot", store_snapshot(snapshot_of(story)))
    return SendJob.objects.create(
        rule="by_search", magazine=story.magazine, story=story, template=story.template, condition=story.filter, state=state,
        occurrence_at=planned, started_at=started, decided_at=started, reserved_at=started, **values,
    )  # fmt: skip


def sent_to(job, reader, state="sent", **values):
    return make_delivery(reader.lead, job=job, kind="magazine", state=state, snapshot=job.snapshot, **values)


def test_tgt_10_date_and_time_of_the_start_and_counts_as_links(client, magazine):
    story = make_story(magazine)
    job = make_start(story)
    sent_to(job, make_reader(magazine))
    sent_to(job, make_reader(magazine, state="stopped"), "excluded", reason="reader_stopped")
    page = html_of(client.get(url("magazine_job", magazine, job.pk)))
    local = timezone.localtime(job.started_at)
    assert "配信日" in page and "配信開始時刻" in page and f"{local:%H:%M:%S}" in page
    assert f'{reverse("deliveries")}?job={job.pk}&amp;reason=reader_stopped">1</a>' in page
    rows = html_of(client.get(url("magazine_history", magazine)))
    assert f"{local:%H:%M:%S}" in rows and f'?job={job.pk}&amp;state=sent">1</a>' in rows


def test_tgt_11_a_late_start_says_what_was_planned_and_why(client, magazine):
    planned = timezone.now() - timedelta(minutes=10)
    other = make_start(make_story(magazine), started=planned + timedelta(minutes=1))
    late = make_start(make_story(magazine), planned=planned, started=planned + timedelta(minutes=3))
    page = html_of(client.get(url("magazine_job", magazine, late.pk)))
    assert "配信予定" in page and "他の配信1件を先に処理しました" in page
    assert "配信予定" not in html_of(client.get(url("magazine_job", magazine, other.pk)))


def test_mag_5_who_was_stopped_at_this_start_is_shown(client, magazine):
    job = make_start(make_story(magazine))
    reader = make_reader(magazine, "full@yamate.example.jp", state="error_stopped")
    ReaderChange.objects.create(
        magazine=magazine, lead=reader.lead, what="state", way="start", after="error_stopped", group="full", job_id=job.pk,
        detail={"failures": 5, "threshold": 3},
    )  # fmt: skip
    page = html_of(client.get(url("magazine_job", magazine, job.pk)))
    stopped = url("magazine_job_stopped", magazine, job.pk)
    assert f'<a href="{stopped}?group=full">1</a>' in page
    assert "full@yamate.example.jp" in html_of(client.get(stopped + "?group=full"))
    assert "full@yamate.example.jp" not in html_of(client.get(stopped + "?group=refused"))


def test_what_was_sent_stays_as_it_was(client, magazine):
    story = make_story(magazine, template_values={"text_body": "そのときの本文"})
    job = make_start(story)
    story.template.text_body = "いまの本文"
    story.template.save()
    page = html_of(client.get(url("magazine_job", magazine, job.pk)))
    assert "そのときの本文" in page and "いまの本文" not in page


def test_the_page_of_the_mailing_leads_here_and_its_acts_come_back(client, magazine):
    job = make_start(make_story(magazine), state="sending")
    response = client.get(reverse("job", args=[job.pk]))
    assert response["Location"] == url("magazine_job", magazine, job.pk)
    client.post(reverse("job_pause", args=[job.pk]))
    job.refresh_from_db()
    assert job.state == "paused"
    assert "再開" in html_of(client.get(url("magazine_job", magazine, job.pk)))
    assert html_of(client.get(reverse("job_stop", args=[job.pk])))


def test_progress_survives_a_reload(client, magazine):
    job = make_start(make_story(magazine), state="sending")
    sent_to(job, make_reader(magazine), "queued")
    page = html_of(client.get(url("magazine_job", magazine, job.pk)))
    assert reverse("job_progress", args=[job.pk]) in page
    assert "対象の読者" in html_of(client.get(reverse("job_progress", args=[job.pk]) + "?state=sending"))


def test_opens_and_clicks_of_the_list_come_in_one_request(client, magazine):
    story = make_story(magazine, template_values={"form": "html", "html_body": "<p>a</p>"})
    content = snapshot_of(story) | {"opens": True, "counted": {"https://a.example.jp/": 1}}
    job = make_start(story, snapshot=store_snapshot(content), count_opens=True, count_clicks=True)
    make_hit(sent_to(job, make_reader(magazine)), "open")
    rows = html_of(client.get(url("magazine_history", magazine)))
    rates = f"{reverse('jobs_rates')}?job={job.pk}"
    assert f'hx-get="{rates}"' in rows
    cells = html_of(client.get(rates))
    assert f'id="opened-{job.pk}"' in cells and "100.0%" in cells
    assert html_of(client.get(reverse("jobs_rates") + "?job=x&job=9" + "9" * 30)).strip() == ""


def test_the_list_asks_the_same_number_of_queries_for_one_and_three(client, magazine):
    for story in [make_story(magazine, "loop")]:
        sent_to(make_start(story), make_reader(magazine))
    client.get(url("magazine_history", magazine))
    with CaptureQueriesContext(connection) as one:
        client.get(url("magazine_history", magazine))
    for kind in ("step", "extra"):
        sent_to(make_start(make_story(magazine, kind)), make_reader(magazine))
    with CaptureQueriesContext(connection) as three:
        client.get(url("magazine_history", magazine))
    assert len(one) == len(three)


def test_the_list_can_be_narrowed_and_exported(client, magazine):
    step, extra = make_story(magazine, "step", name="一通目"), make_story(magazine, name="号外一")
    make_start(step)
    make_start(extra)
    page = html_of(client.get(url("magazine_history", magazine) + "?kind=step"))
    assert "一通目</a></td>" in page and "号外一</a></td>" not in page
    response = client.get(url("magazine_history_export", magazine) + "?kind=extra")
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    assert "号外一" in text and "一通目" not in text


def test_starts_of_another_magazine_are_not_found(client, magazine):
    other = make_magazine("別の")
    job = make_start(make_story(other, name="よその号外"))
    for name in ("magazine_job", "magazine_job_stopped"):
        assert client.get(url(name, magazine, job.pk)).status_code == 404
    assert "よその号外" not in html_of(client.get(url("magazine_history", magazine)))


def test_upcoming_answers_for_each_story_and_only_for_readers_of_this_magazine(client, magazine):
    loop = make_story(magazine, "loop", name="毎月のお知らせ", next_at=timezone.now() + timedelta(days=2))
    yes, no = make_reader(magazine), make_reader(magazine, state="stopped")
    page = html_of(client.get(url("reader_upcoming", magazine, yes.pk)))
    assert "次の記事の配信対象になりますか?" in page and loop.name in page and "✓ はい" in page
    part = client.get(url("reader_upcoming", magazine, no.pk), headers={"HX-Request": "true"})
    assert "いいえ" in html_of(part) and "<html" not in html_of(part)
    other = make_reader(make_magazine("別の"))
    assert client.get(url("reader_upcoming", magazine, other.pk)).status_code == 404


@pytest.mark.parametrize("name", ["job_delete", "job_stop", "job_report"])
def test_pages_of_a_start_are_in_its_magazine(client, magazine, name):
    """Breadcrumbs and menu are the magazine's, and the menu says which one; of another mailing the wizard's history's."""
    running = make_start(make_story(magazine, name="第7号"), state="reserved")
    page = html_of(client.get(reverse(name, args=[running.pk])))
    assert f'class="inside" href="{url("magazine", magazine)}">{magazine.name}</a>' in page
    assert f'<a href="{url("magazine_history", magazine)}" aria-current="page">配信履歴</a>' in page
    assert "第7号</a>" in page and "ウィザード利用履歴" not in page
    wizard = html_of(client.get(reverse(name, args=[make_job(state="reserved").pk])))
    assert "ウィザード利用履歴" in wizard and 'class="inside"' not in wizard

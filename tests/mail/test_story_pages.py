"""The screens of stories: editor, preview, test send, the three lists, extra issues (MAG-7, MAG-8, TEST-1, TGT-10, RSV-5)."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail.models import Delivery, SendJob, Story, StoryTurn
from settings.models import Role
from tests.factories import make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db
HOSTILE = '<script>alert(1)</script> "髙﨑𠮷①㈱😀'


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def magazine(misaki):
    return make_magazine()


def url(name, magazine, *args):
    return reverse(name, args=[magazine.pk, *args])


def html_of(response) -> str:
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def content_of(**values):
    """What the browser posts from the editor."""
    data = {
        "seen_at": "", "story_name": "第1号", "measure": "on", "form": "text", "charset": "utf-8", "subject": "{{ 姓 }}様へ",
        "text_body": "こんにちは", "html_body": "",
    }  # fmt: skip
    return data | values


def step_of(**values):
    return {
        "base": "registration", "wait_days": "3", "wait_hours": "0", "time_of_day": "at", "at_time": "10:00",
    } | values  # fmt: skip


def loop_of(**values):
    return {
        "rule": "monthly", "day_of_month": "15", "date_offset": "0", "direction": "before", "at_time": "10:00",
    } | values  # fmt: skip


# ---- the editor


def test_a_story_is_written_as_a_draft_with_the_magazines_sender_and_is_measured_by_default(client, magazine):
    page = html_of(client.get(url("story_new", magazine, "extra")))
    assert 'name="measure"' in page and "checked" in page.split('name="measure"')[1].split(">")[0]
    response = client.post(url("story_new", magazine, "extra"), content_of())
    story = Story.objects.get()
    assert response.headers["Location"] == url("story", magazine, story.pk)
    assert (story.state, story.kind, story.count_clicks, story.count_opens) == ("draft", "extra", True, True)
    assert story.template.magazine_id == magazine.pk
    page = html_of(client.get(url("story", magazine, story.pk)))
    assert "SMPセミナー事務局" in page and "要修正" not in page


def test_a_step_story_keeps_its_interval_and_time_of_day(client, magazine):
    client.post(url("story_new", magazine, "step"), content_of() | step_of())
    story = Story.objects.get()
    assert (story.base, story.wait_days, story.wait_hours, f"{story.at_time:%H:%M}") == (
        "registration",
        3,
        0,
        "10:00",
    )
    assert "登録から3日後の10:00" in html_of(client.get(url("story_steps", magazine)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rule": "monthly"}, "毎月15日 10:00"),
        ({"rule": "month_end"}, "毎月末日 10:00"),
        ({"rule": "weekly", "weekdays": ["0", "3"], "skip_holidays": "on"}, "毎週 月・木 10:00(祝日を除く)"),
    ],
)
def test_a_loop_says_its_rule_in_plain_words_and_its_next_dates(client, magazine, values, words):
    client.post(url("story_new", magazine, "loop"), content_of() | loop_of(**values))
    story = Story.objects.get()
    page = html_of(client.get(url("story", magazine, story.pk)))
    assert words in page
    assert page.split('id="coming"')[1].split("</section>")[0].count("<li>") == 5


def test_a_loop_by_birthday_says_how_many_readers_today_and_this_week(client, magazine):
    item = make_item(magazine, "誕生日", "date")
    today = timezone.localdate()
    for number, day in enumerate([today, today + timedelta(days=3), today + timedelta(days=60)]):
        make_reader(
            magazine, f"r{number}@yamate.example.jp", values={item.key: day.replace(year=2004).isoformat()}
        )
    make_reader(magazine, "s@yamate.example.jp", state="stopped", values={item.key: today.isoformat()})
    client.post(
        url("story_new", magazine, "loop"),
        content_of() | loop_of(rule="yearly", date_item=str(item.pk)),
    )
    page = html_of(client.get(url("story", magazine, Story.objects.get().pk)))
    assert "毎年「誕生日」 10:00" in page
    coming = page.split('id="coming"')[1].split("</section>")[0]
    assert [part.split("</b>")[0] for part in coming.split('class="num">')[1:]] == ["1人", "0人", "2人"]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("extra", {"story_name": " \n"}, "ストーリー名を入力してください"),
        ("extra", {"text_body": "{{ 姓名 }}"}, "姓名"),
        ("step", {"at_time": ""}, "時刻を入力してください"),
        ("loop", {"rule": "weekly"}, "曜日を1つ以上選んで"),
        ("loop", {"day_of_month": "32"}, "31"),
        ("loop", {"rule": "yearly"}, "選択"),
    ],
)
def test_mistakes_are_said_and_nothing_is_saved(client, magazine, kind, values, message):
    data = content_of() | (step_of() if kind == "step" else loop_of() if kind == "loop" else {}) | values
    assert message in html_of(client.post(url("story_new", magazine, kind), data))
    assert not Story.objects.exists()


def test_hostile_text_is_shown_as_text(client, magazine):
    client.post(
        url("story_new", magazine, "extra"),
        content_of(story_name=HOSTILE, subject=HOSTILE, text_body=HOSTILE),
    )
    story = Story.objects.get()
    for page in (
        url("story", magazine, story.pk),
        url("story_extras", magazine),
        url("story_edit", magazine, story.pk),
    ):
        assert "<script>alert" not in html_of(client.get(page))


def test_two_at_once_the_second_is_told(client, magazine):
    story = make_story(magazine)
    old = (story.updated_at - timedelta(minutes=1)).isoformat()
    page = html_of(client.post(url("story_edit", magazine, story.pk), content_of(seen_at=old)))
    assert "ほかの人がこのストーリーを保存しました" in page
    assert Story.objects.get().name == story.name


# ---- preview and test send


def test_the_preview_has_a_real_readers_values_and_the_footer(client, magazine):
    reader = make_reader(magazine, "hanako@yamate.example.jp")
    reader.lead.last_name = "山手"
    reader.lead.save()
    make_reader(magazine, "newest@yamate.example.jp")
    story = make_story(magazine, template_values={"subject": "{{ 姓 }}様", "text_body": "本文"})
    page = html_of(client.get(url("story", magazine, story.pk) + "?reader=hanako@yamate.example.jp"))
    assert "山手様" in page and "配信停止" in page
    page = html_of(client.get(url("story", magazine, story.pk) + "?reader=other@example.jp"))
    assert "other@example.jp" in page and "見つかりません" in page


def test_the_preview_shows_nobody_of_another_magazine(client, magazine):
    make_reader(make_magazine("別の"), "secret@yamate.example.jp")
    story = make_story(magazine)
    assert "secret@" not in html_of(client.get(url("story", magazine, story.pk))).replace("?reader=", "")
    page = html_of(client.get(url("story", magazine, story.pk) + "?reader=secret@yamate.example.jp"))
    assert "見つかりません" in page and "<dd>secret@" not in page


def test_the_html_preview_runs_nothing(client, magazine):
    story = make_story(
        magazine, template_values={"form": "html", "html_body": "<p>本文</p><script>x()</script>"}
    )
    response = client.get(url("story_html", magazine, story.pk))
    assert "sandbox" in response["Content-Security-Policy"] and "本文" in response.content.decode()


def test_test_send_goes_to_the_administrator_with_a_readers_data_and_counts_for_nobody(client, magazine):
    """TEST-1, TEST-6."""
    reader = make_reader(magazine)
    story = make_story(magazine)
    page = url("story_test_send", magazine, story.pk)
    assert "misaki@example.jp" in html_of(client.get(page))
    client.post(page, {"addresses": "misaki@example.jp"})
    delivery = Delivery.objects.get()
    assert (delivery.kind, delivery.lead_id, delivery.related_id) == ("test", None, reader.lead_id)
    assert delivery.snapshot.content["subject"].startswith("【テスト】")
    assert "配信停止URL" in delivery.snapshot.content["text_body"]


def test_problems_say_where_they_are_mended(client, misaki):
    magazine = make_magazine(footer_text="", from_name="")
    story = make_story(magazine, state="draft", template_values={"subject": "", "text_body": "本文"})
    page = html_of(client.get(url("story", magazine, story.pk)))
    checks = page.split('id="checks"')[1].split("</section>")[0]
    assert checks.count("基本設定") == 5
    assert f"{url('story_edit', magazine, story.pk)}#id_subject" in checks


# ---- the lists


@pytest.mark.parametrize("name", ["story_steps", "story_loops", "story_extras", "magazine_history"])
def test_an_empty_list_says_what_to_do(client, magazine, name):
    assert 'class="empty"' in html_of(client.get(url(name, magazine)))


def many(magazine, kind):
    for _number in range(3):
        make_story(magazine, kind)


@pytest.mark.parametrize(
    ("name", "kind"), [("story_steps", "step"), ("story_loops", "loop"), ("story_extras", "extra")]
)
def test_a_list_asks_the_same_number_of_queries_for_one_and_three(client, magazine, name, kind):
    make_story(magazine, kind)
    client.get(url(name, magazine))
    with CaptureQueriesContext(
        connection,
    ) as one:
        client.get(url(name, magazine))
    many(magazine, kind)
    with CaptureQueriesContext(connection) as three:
        client.get(url(name, magazine))
    assert len(one) == len(three)


def test_waiting_numbers_lead_to_who_and_when(client, magazine):
    story = make_story(magazine, "step")
    reader = make_reader(magazine, "waits@yamate.example.jp")
    due = timezone.now() + timedelta(days=1)
    StoryTurn.objects.create(story=story, magazine=magazine, lead=reader.lead, state="waiting", due_at=due)
    page = html_of(client.get(url("story_steps", magazine)))
    turns = url("story_turns", magazine, story.pk)
    assert f'<a href="{turns}">1</a>' in page
    assert "waits@yamate.example.jp" in html_of(client.get(turns))
    assert "waits@" not in html_of(client.get(turns + "?state=skipped"))


# ---- extra issues


def confirm_of(client, magazine, story):
    page = html_of(client.get(url("extra_confirm", magazine, story.pk)))

    def value(name):
        return page.split(f'name="{name}" value="')[1].split('"')[0]

    return page, {"token": value("token"), "seen": value("seen")}


def test_the_confirmation_asks_and_shows_expected_counts_as_links(client, magazine):
    """EXC-6."""
    make_reader(magazine)
    make_reader(magazine, state="stopped")
    story = make_story(magazine, state="draft")
    page, _given = confirm_of(client, magazine, story)
    assert "以上の内容で即時配信してもよろしいですか?" in page and ">はい</button>" in page
    assert "インポートしない" in page
    expected = url("story_expected", magazine, story.pk)
    assert f'{expected}?who=addressed">1</a>' in page
    assert f'{expected}?who=reader_stopped">−1</a>' in page
    assert "配信停止" in html_of(client.get(expected + "?who=reader_stopped"))


def test_a_filter_that_names_what_is_gone_is_said_where_its_people_would_be_listed(client, magazine):
    """EXC-6, MAG-7"""
    gone = {"item": f"reader.{magazine.pk}.item.999999", "operator": "is", "values": ["x"]}
    story = make_story(magazine, state="draft", filter={"match": "all", "blocks": [gone]})
    answer = client.get(url("story_expected", magazine, story.pk) + "?who=addressed")
    assert answer.status_code == 302 and answer["Location"] == url("story", magazine, story.pk)
    assert "999999" in html_of(client.get(answer["Location"]))


def test_tgt_10_yes_decides_at_once_and_rsv_5_a_double_click_makes_one_start(client, magazine):
    make_reader(magazine)
    story = make_story(magazine, state="draft")
    _page, given = confirm_of(client, magazine, story)
    first = client.post(url("extra_confirm", magazine, story.pk), given | {"go": "now"})
    second = client.post(url("extra_confirm", magazine, story.pk), given | {"go": "now"})
    third = client.post(
        url("extra_confirm", magazine, story.pk), given | {"go": "now", "token": str(uuid.uuid4())}
    )
    job = SendJob.objects.get()
    assert {first["Location"], second["Location"], third["Location"]} == {
        url("magazine_job", magazine, job.pk)
    }
    assert job.started_at is not None and job.deliveries.count() == 1


def test_a_changed_issue_is_looked_at_again(client, magazine):
    story = make_story(magazine, state="draft")
    _page, given = confirm_of(client, magazine, story)
    client.post(url("story_edit", magazine, story.pk), content_of())
    client.post(url("extra_confirm", magazine, story.pk), given | {"go": "now"})
    assert not SendJob.objects.exists()


def test_a_reservation_is_listed_and_can_be_deleted(client, magazine):
    """RSV-2: the issue is a draft again."""
    story = make_story(magazine, state="draft")
    _page, given = confirm_of(client, magazine, story)
    at = timezone.localtime() + timedelta(days=3)
    data = given | {"go": "reserve", "date": f"{at:%Y-%m-%d}", "time": "14:00"}
    client.post(url("extra_confirm", magazine, story.pk), data)
    job = SendJob.objects.get()
    assert (job.state, job.started_at, job.deliveries.count()) == ("reserved", None, 0)
    page = html_of(client.get(url("story_extras", magazine)))
    assert "予約一覧" in page and reverse("job_delete", args=[job.pk]) in page
    client.post(reverse("job_delete", args=[job.pk]))
    job.refresh_from_db()
    story.refresh_from_db()
    assert (job.state, story.state) == ("deleted", "draft")
    assert client.get(url("extra_confirm", magazine, story.pk)).status_code == 200


def test_a_time_that_is_over_is_refused(client, magazine):
    story = make_story(magazine, state="draft")
    _page, given = confirm_of(client, magazine, story)
    data = given | {"go": "reserve", "date": "2020-01-01", "time": "14:00"}
    assert "過ぎています" in html_of(client.post(url("extra_confirm", magazine, story.pk), data))
    assert not SendJob.objects.exists()


def test_an_issue_with_problems_is_not_sent(client, misaki):
    magazine = make_magazine(footer_text="")
    story = make_story(magazine, state="draft", template_values={"text_body": "本文"})
    page, given = confirm_of(client, magazine, story)
    assert "disabled" in page
    client.post(url("extra_confirm", magazine, story.pk), given | {"go": "now"})
    assert not SendJob.objects.exists()


def test_an_old_issue_is_copied_into_a_new_draft(client, magazine):
    story = make_story(magazine)
    client.post(url("story_copy", magazine, story.pk))
    copy = Story.objects.exclude(pk=story.pk).get()
    assert (copy.state, copy.template.text_body) == ("draft", story.template.text_body)
    assert copy.template_id != story.template_id


# ---- who may what


def pages_of(magazine, story):
    return [
        url(name, magazine, story.pk)
        for name in (
            "story",
            "story_html",
            "story_edit",
            "story_test_send",
            "story_expected",
            "extra_confirm",
        )
    ]


def test_stories_of_another_magazine_are_not_found(client, magazine):
    story = make_story(make_magazine("別の"))
    for page in pages_of(magazine, story):
        assert client.get(page).status_code == 404, page
    assert client.post(url("story_copy", magazine, story.pk)).status_code == 404


def test_viewers_look_and_change_nothing(client, magazine):
    story = make_story(magazine, state="draft")
    client.force_login(make_user("viewer", role=Role.VIEWER))
    page = html_of(client.get(url("story", magazine, story.pk)))
    assert url("story_edit", magazine, story.pk) not in page
    for name in ("story_edit", "story_test_send", "extra_confirm"):
        assert client.get(url(name, magazine, story.pk)).status_code == 403
    assert client.post(url("story_copy", magazine, story.pk)).status_code == 403


def test_an_archived_magazine_is_only_looked_at(client, misaki):
    magazine = make_magazine(archived_at=timezone.now())
    story = make_story(magazine, state="draft")
    assert client.get(url("story", magazine, story.pk)).status_code == 200
    assert client.get(url("story_edit", magazine, story.pk)).status_code == 404
    assert client.get(url("story_new", magazine, "extra")).status_code == 404

"""「メールマガジン一覧」, a new magazine, 「基本設定」, archiving."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from mail.links import empty_mail_address
from mail.models import Magazine
from settings.models import AuditEntry
from tests.factories import make_job, make_lead, make_user
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script> "髙﨑𠮷①㈱😀'
LABEL = (
    "一度配信解除(配信停止またはリストから削除)されたメールアドレスを管理者は再登録しない(ブラックリスト機能)"
)


@pytest.fixture(autouse=True)
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


def url(name, magazine, *args):
    return reverse(name, args=[magazine.pk, *args])


def html_of(response, status=200) -> str:
    assert response.status_code == status, (response.status_code, response.headers.get("Location"))
    return response.content.decode()


def posted(client, magazine, **values):
    """What the browser posts from 「基本設定」: the form as it stands, with these values changed; None: unticked or empty."""
    form = client.get(url("magazine_settings", magazine)).context["form"]
    data = {}
    for field in form:
        value = field.value()
        if value not in (None, False):
            data[field.html_name] = "on" if value is True else value
    data |= values
    return {name: value for name, value in data.items() if value is not None}


def save(client, magazine, **values):
    return client.post(url("magazine_settings", magazine), posted(client, magazine, **values))


# ---- the list


def test_without_a_magazine_the_page_says_what_to_do(client):
    html = html_of(client.get(reverse("magazines")))
    assert "メールマガジンはまだありません" in html
    assert reverse("magazine_new") in html


def test_each_magazine_with_its_readers_by_state_stories_and_last_delivery(client):
    """MAG-1: each number is a link to the readers behind it."""
    magazine = make_magazine()
    for state, number in (("deliverable", 3), ("stopped", 2), ("error_stopped", 1)):
        for _number in range(number):
            make_reader(magazine, state=state)
    make_reader(make_magazine("別のマガジン"))
    make_story(magazine, "step")
    make_story(magazine, "loop", state="paused")
    make_story(magazine, "extra")
    make_job(magazine=magazine, state="done", started_at=timezone.now() - timedelta(days=2))
    newest = make_job(magazine=magazine, state="done", started_at=timezone.now())
    make_job(magazine=magazine, state="reserved")
    html = html_of(client.get(reverse("magazines")))
    row = next(row for row in html.split("<tr>") if magazine.name in row)
    readers = url("readers", magazine)
    for state, number in (("deliverable", 3), ("stopped", 2), ("error_stopped", 1)):
        assert f'<a href="{readers}?state={state}">{number}</a>' in row
    assert f'href="{url("story_steps", magazine)}">1</a>' in row  # those in operation
    assert f'href="{url("story_loops", magazine)}">0</a>' in row
    assert url("magazine_job", magazine, newest.pk) in row


def test_as_many_queries_for_one_magazine_as_for_many(client):
    def add():
        magazine = make_magazine(f"マガジン{Magazine.objects.count()}")
        make_reader(magazine)
        make_story(magazine, "step")
        make_job(magazine=magazine, state="done", started_at=timezone.now())

    def queries():
        with CaptureQueriesContext(connection) as counted:
            html_of(client.get(reverse("magazines")))
        return len(counted)

    add()
    one = queries()
    add()
    add()
    assert queries() == one


# ---- a new one


def test_a_new_magazine_is_ready_for_the_law_and_leads_to_its_settings(client, misaki):
    """LAW-1, MAG-4: a starter footer, and the thresholds of the rule."""
    response = client.post(
        reverse("magazine_new"), {"name": " 週刊 ", "from_name": "事務局", "from_address": "a@example.jp"}
    )
    magazine = Magazine.objects.get()
    assert response.headers["Location"] == url("magazine_settings", magazine)
    assert (magazine.name, magazine.from_name, magazine.created_by) == ("週刊", "事務局", misaki)
    assert "{{ 配信停止URL }}" in magazine.footer_text
    assert [magazine.threshold(group) for group in ("no_mailbox", "refused", "full", "temporary", "other")] == [1, 3, 5, 5, 5]  # fmt: skip
    assert (magazine.blacklist, magazine.double_opt_in, magazine.confirm_page) == (True, True, True)


@pytest.mark.parametrize(
    ("values", "field"),
    [({"name": " "}, "name"), ({"from_address": "a@example.jp, b@example.jp"}, "from_address"), ({"from_address": ""}, "from_address")],
)  # fmt: skip
def test_what_is_wrong_with_a_new_one_stands_beside_the_field(client, values, field):
    data = {"name": "週刊", "from_address": "a@example.jp"} | values
    response = client.post(reverse("magazine_new"), data)
    html_of(response)
    assert response.context["form"].errors.keys() == {field}
    assert not Magazine.objects.exists()


def test_a_second_magazine_is_warned_of(client):
    """MAG-11's reason: opt-outs do not carry over."""
    assert "引き継がれません" not in html_of(client.get(reverse("magazine_new")))
    make_magazine()
    assert "引き継がれません" in html_of(client.get(reverse("magazine_new")))


# ---- 基本設定


def test_settings_are_saved_and_written_down(client):
    magazine = make_magazine()
    response = save(
        client, magazine, leave_does="remove", reply_to="a@example.jp, b@example.jp", stop_full=None
    )
    assert response.status_code == 302
    magazine.refresh_from_db()
    assert (magazine.leave_does, magazine.reply_to, magazine.stop_full) == ("remove", "a@example.jp, b@example.jp", None)  # fmt: skip
    changes = AuditEntry.objects.get(action="magazine.change").detail["changes"]
    assert changes["leave_does"] == ["stop", "remove"]
    assert changes["stop_full"] == [5, None]


def test_the_page_has_the_labels_people_know(client):
    """MAG-2, MAG-3, MAG-9."""
    html = html_of(client.get(url("magazine_settings", make_magazine())))
    for words in (
        "基本設定",
        LABEL,
        "リストから読者情報を削除",
        "詳細設定",
        "エラーメール・配信停止",
        "読者が配信解除したとき",
    ):
        assert words in html


def test_what_the_law_still_misses_in_the_footer_is_named(client):
    """LAW-1."""
    html = html_of(client.get(url("magazine_settings", make_magazine())))
    assert "法律で必要な表示がそろっています" in html or "がそろっています" in html
    html = html_of(
        client.get(url("magazine_settings", make_magazine("別誌", footer_text="配信停止はこちら")))
    )
    assert "足りません" in html
    assert "住所" in html.split("足りません")[1].split("</div>")[0]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"stop_full": "0"}, "stop_full"),
        ({"stop_full": "100"}, "stop_full"),
        ({"errors_to": "a@example.jp,b@example.jp"}, "errors_to"),
        ({"reply_to": "a@example.jp;b@example.jp"}, "reply_to"),
        ({"footer_text": "{{ 知らない項目 }}"}, "footer_text"),
        ({"name": ""}, "name"),
    ],
)
def test_errors_stand_beside_the_field(client, values, field):
    magazine = make_magazine()
    response = save(client, magazine, **values)
    html_of(response)
    assert response.context["form"].errors.keys() == {field}
    assert response.context["form"][field].errors[0] in response.content.decode().replace("&#x27;", "'")


def test_a_stricter_threshold_says_first_whom_the_next_start_stops(client):
    """MAG-5: a count with a link; nothing is stored before it is confirmed, and nobody is stopped by the saving."""
    magazine = make_magazine()
    make_reader(magazine, "two@yamate.example.jp", failures_full=2)
    make_reader(magazine, "three@yamate.example.jp", failures_full=3)
    make_reader(magazine, "gone@yamate.example.jp", failures_full=9, state="stopped")
    make_reader(make_magazine("別誌"), failures_full=9)
    html = html_of(save(client, magazine, stop_full="3"))
    assert "次の配信処理開始時に次の読者がエラー停止になります" in html
    link = f"{url('readers', magazine)}?state=deliverable&amp;group=full&amp;failures=3"
    assert link in html
    assert "1人" in html.split(link)[1][:80]
    magazine.refresh_from_db()
    assert magazine.stop_full == 5
    shown = client.get(link.replace("&amp;", "&")).context["page_obj"].object_list
    assert [reader.lead.email for reader in shown] == ["three@yamate.example.jp"]
    assert save(client, magazine, stop_full="3", confirmed="1").status_code == 302
    magazine.refresh_from_db()
    assert magazine.stop_full == 3
    assert magazine.readers.filter(state="deliverable").count() == 2
    html = html_of(client.get(url("magazine_settings", magazine)))
    assert f'{url("readers", magazine)}?over=1">1人</a>' in html


def test_a_laxer_threshold_or_one_that_stops_nobody_is_saved_at_once(client):
    """MAG-5."""
    magazine = make_magazine()
    make_reader(magazine, failures_full=2)
    assert save(client, magazine, stop_full="4").status_code == 302
    assert save(client, magazine, stop_full=None).status_code == 302
    magazine.refresh_from_db()
    assert magazine.stop_full is None


def test_switching_the_blacklist_off_warns_and_asks(client):
    """MAG-9: importing who left would make them deliverable and take them off the list."""
    magazine = make_magazine()
    html = html_of(save(client, magazine, blacklist=None))
    assert "ブラックリスト機能をオフにしようとしています" in html
    assert "ブラックリストからも外れます" in html
    magazine.refresh_from_db()
    assert magazine.blacklist
    assert save(client, magazine, blacklist=None, confirmed="1").status_code == 302
    magazine.refresh_from_db()
    assert not magazine.blacklist
    assert "ブラックリスト機能がオフになっています" in html_of(client.get(url("magazine_settings", magazine)))
    assert save(client, magazine, blacklist="on").status_code == 302  # on again: nothing to ask


def test_the_second_of_two_administrators_is_told(client):
    magazine = make_magazine()
    seen = posted(client, magazine)
    save(client, magazine, description="新しい説明")
    html_of(client.post(url("magazine_settings", magazine), seen | {"name": "別名"}), 409)
    magazine.refresh_from_db()
    assert (magazine.name, magazine.description) == ("週刊 製造業DX", "新しい説明")


def test_the_address_for_empty_mails_is_there_to_publish(client):
    """MAG-13."""
    magazine = make_magazine()
    page = url("magazine_settings", magazine)
    assert empty_mail_address(magazine.pk) not in html_of(client.get(page))
    save(client, magazine, empty_mail="on")
    assert empty_mail_address(magazine.pk) in html_of(client.get(page))


def test_strange_words_stay_words(client):
    magazine = make_magazine(HOSTILE, description=HOSTILE)
    make_reader(magazine)
    for page in (reverse("magazines"), url("magazine_settings", magazine), url("magazine_archive", magazine), url("blacklist", magazine)):  # fmt: skip
        html = html_of(client.get(page))
        assert "<script>alert" not in html
        assert "髙﨑𠮷①㈱😀" in html


# ---- archiving


def test_archiving_asks_says_what_happens_and_can_be_taken_back(client):
    magazine = make_magazine()
    make_reader(magazine)
    page = url("magazine_archive", magazine)
    html_of(client.post(page))
    assert Magazine.objects.get().archived_at is None
    client.post(page, {"confirmed": "1"})
    assert Magazine.objects.get().archived_at is not None
    assert client.get(url("magazine_settings", magazine)).status_code == 404
    html = html_of(client.get(url("readers", magazine)))
    assert "アーカイブされました" in html
    assert url("reader_new", magazine) not in html
    assert "アーカイブ済のメールマガジン 1件" in html_of(client.get(reverse("magazines")))
    client.post(url("magazine_restore", magazine))
    assert Magazine.objects.get().archived_at is None


def test_what_still_goes_out_is_stopped_first(client):
    magazine = make_magazine()
    make_story(magazine, "step")
    make_job(magazine=magazine, state="reserved", scheduled_at=timezone.now() + timedelta(days=1))
    page = url("magazine_archive", magazine)
    html = html_of(client.get(page))
    assert "ステップメール・ループメール 1件が配信中です" in html
    assert "配信が1件あります" in html
    html = html_of(client.post(page, {"confirmed": "1"}, follow=True))
    assert 'role="alert"' in html
    assert Magazine.objects.get().archived_at is None


# ---- around


def test_the_search_box_finds_magazines(client):
    """NAV-3."""
    magazine = make_magazine("月刊リニア")
    html = html_of(client.get(reverse("search_everything"), {"q": "リニア"}))
    assert url("readers", magazine) in html


def test_the_home_page_tells_of_readers_stopped_by_errors_this_week(client):
    """MAG-3."""
    magazine = make_magazine()
    now = timezone.now()
    assert "エラー停止になった読者" not in html_of(client.get(reverse("home")))
    make_reader(magazine, state="error_stopped", state_at=now - timedelta(days=1))
    make_reader(magazine, state="error_stopped", state_at=now - timedelta(days=9))
    make_reader(magazine, lead=make_lead("gone@yamate.example.jp", deleted_at=now), state="error_stopped", state_at=now)  # fmt: skip
    html = html_of(client.get(reverse("home")))
    card = html.split("エラー停止になった読者")[1].split("</section>")[0]
    assert ">1人</a>" in card
    link = card.split('<a class="num" href="')[1].split('"')[0].replace("&amp;", "&")
    assert client.get(link).context["page"].total == 1


def test_a_magazine_s_pages_stand_in_its_menu_and_crumbs_name_it(client):
    """NAV-1."""
    magazine = make_magazine()
    html = html_of(client.get(url("readers", magazine)))
    menu = html.split('<nav class="side"')[1].split("</nav>")[0]
    for name in ("readers", "magazine_settings", "blacklist"):
        assert url(name, magazine) in menu
    assert magazine.name in html.split('class="crumbs"')[1].split("</div>")[0]
    assert url("readers", magazine) not in html_of(client.get(reverse("magazines"))).split('<nav class="side"')[1].split("</nav>")[0]  # fmt: skip

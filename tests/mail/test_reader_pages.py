"""「読者」: the list, its file, one by hand, the reader's page and 「読者情報の編集」."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads.models import DmPermission, Lead
from mail.magazines import readers as domain
from mail.magazines.reader_words import EMPTY_MAIL, LEAVE_FORM, OPT_OUT_PAGE, form_source
from mail.models import Reader, ReaderChange
from settings.models import AuditEntry, Role
from tests.factories import make_delivery, make_job, make_lead, make_user
from tests.mail.magazine_scene import make_item, make_magazine, make_reader

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


def html_of(response, status=200) -> str:
    assert response.status_code == status, (response.status_code, response.headers.get("Location"))
    return response.content.decode()


def addresses(client, magazine, query="") -> list[str]:
    response = client.get(url("readers", magazine) + query)
    html_of(response)
    return [reader.lead.email for reader in response.context["page_obj"].object_list]


def edit_of(reader, **values):
    return {"state": reader.state, "seen_at": reader.updated_at.isoformat()} | values


# ---- the list


def test_an_empty_list_says_what_to_do_next(client, magazine):
    html = html_of(client.get(url("readers", magazine)))
    assert "読者はまだいません" in html
    assert url("reader_new", magazine) in html


def test_the_green_check_stands_at_the_far_left_and_states_are_said_in_words(client, magazine):
    """MAG-1."""
    for state in ("deliverable", "stopped", "error_stopped"):
        make_reader(magazine, f"{state}@yamate.example.jp", state=state)
    html = html_of(client.get(url("readers", magazine)))
    rows = html.split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]
    words = {"deliverable@": "配信可能", "stopped@": "配信停止", "error_stopped@": "エラー停止"}
    for row in rows:
        name = next(name for name in words if f">{name}yamate" in row)
        assert words[name] in row
        assert ("✔" in row) == (name == "deliverable@")
        assert row.index("mark") < row.index("<input") < row.index("@yamate")
    # The numbers above are links to the readers behind them.
    assert f'href="{url("readers", magazine)}?state=error_stopped"' in html


def test_only_readers_of_this_magazine_stand_in_it(client, magazine):
    """MAG-1: states belong to one magazine."""
    other = make_magazine("別のマガジン")
    lead = make_lead("both@yamate.example.jp")
    make_reader(magazine, lead=lead)
    theirs = make_reader(other, lead=lead, state="stopped")
    make_reader(other, "other@yamate.example.jp")
    assert addresses(client, magazine) == ["both@yamate.example.jp"]
    assert addresses(client, magazine, "?state=stopped") == []
    for name in ("reader", "reader_edit", "reader_remove"):
        assert client.get(url(name, magazine, theirs.pk)).status_code == 404
        assert client.post(url(name, magazine, theirs.pk), {"confirmed": "1"}).status_code in (404, 405)
    theirs.refresh_from_db()
    assert theirs.state == "stopped"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=stopped", {"b"}),
        ("?q=山手工業", {"a"}),
        ("?q=B@yamate.example.jp", {"b"}),
        ("?q=髙﨑", {"c"}),
        ("?way=import", {"b"}),
        ("?registered_from=2026-03-01", {"b", "c"}),
        ("?registered_to=2026-03-01", {"a", "b"}),
        ("?failures=2", {"b", "c"}),
        ("?failures=2&group=full", {"c"}),
        ("?group=refused", {"b"}),
        ("?over=1", {"c"}),
        ("?failures=x", set()),  # what cannot be read finds nobody
        ("?q=%00", set()),
    ],
)
def test_filters(client, magazine, query, found):
    jst = timezone.get_current_timezone()
    make_reader(magazine, lead=make_lead("a@yamate.example.jp", company="山手工業"), registered_at=timezone.datetime(2026, 1, 5, 9, tzinfo=jst))  # fmt: skip
    make_reader(magazine, "b@yamate.example.jp", state="stopped", way="import", failures_refused=3, registered_at=timezone.datetime(2026, 3, 1, 23, 59, tzinfo=jst))  # fmt: skip
    make_reader(magazine, lead=make_lead("c@yamate.example.jp", last_name="髙﨑"), failures_full=5, registered_at=timezone.datetime(2026, 3, 2, 0, 0, tzinfo=jst))  # fmt: skip
    assert {address[0] for address in addresses(client, magazine, query)} == found


def test_free_items_are_filters(client, magazine):
    size, kind = make_item(magazine), make_item(magazine, "業種", "choice")
    make_reader(magazine, "a@yamate.example.jp", values={size.key: "従業員300名", kind.key: "製造"})
    make_reader(magazine, "b@yamate.example.jp", values={size.key: "30名", kind.key: "小売"})
    make_reader(magazine, "c@yamate.example.jp")
    assert addresses(client, magazine, f"?item_{size.pk}=300") == ["a@yamate.example.jp"]
    assert addresses(client, magazine, f"?item_{kind.pk}=小売") == ["b@yamate.example.jp"]


def test_sorting_and_pages(client, magazine):
    start = timezone.now() - timedelta(days=200)
    for n in range(120):
        make_reader(magazine, f"r{n:03}@yamate.example.jp", registered_at=start + timedelta(days=n))
    newest = addresses(client, magazine)
    assert newest[0] == "r119@yamate.example.jp"
    assert addresses(client, magazine, "?sort=email&size=50&page=3")[-1] == "r119@yamate.example.jp"
    assert addresses(client, magazine, "?sort=-email&size=100")[0] == "r119@yamate.example.jp"
    assert "<b>120</b>" in html_of(client.get(url("readers", magazine)))


def test_readers_of_deleted_leads_stand_in_no_list_and_no_number(client, magazine):
    make_reader(magazine, "here@yamate.example.jp")
    make_reader(magazine, lead=make_lead("gone@yamate.example.jp", deleted_at=timezone.now()))
    response = client.get(url("readers", magazine))
    assert response.context["total"] == 1
    assert [reader.lead.email for reader in response.context["page_obj"].object_list] == ["here@yamate.example.jp"]  # fmt: skip


@pytest.mark.parametrize("query", ["", "?q=yamate", "?state=deliverable"])
def test_as_many_queries_for_one_reader_as_for_many(client, magazine, query):
    item = make_item(magazine)

    def queries():
        with CaptureQueriesContext(connection) as counted:  # fmt: skip
            html_of(client.get(url("readers", magazine) + query))
        return len(counted)

    make_reader(magazine, values={item.key: "10名"})
    one = queries()
    make_reader(magazine)
    make_reader(magazine, failures_full=2)
    assert queries() == one


def test_the_file_is_safe_in_a_spreadsheet_and_written_down(client, magazine, misaki):
    """CSV-3, SYS-2."""
    item = make_item(magazine, "区分")
    make_reader(magazine, lead=make_lead("a@yamate.example.jp", company="=1+1"), values={item.key: "@SUM"})
    make_reader(magazine, "b@yamate.example.jp", state="stopped")
    assert client.get(url("readers_export", magazine)).status_code == 405
    response = client.post(url("readers_export", magazine) + "?state=deliverable")
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0].startswith("E-mailアドレス,姓,名")
    assert len(lines) == 2
    assert "'=1+1" in lines[1]
    assert "'@SUM" in lines[1]
    entry = AuditEntry.objects.get(action="reader.export")
    assert entry.detail == {"filter": {"state": "deliverable"}, "readers": 1}
    assert entry.user == misaki


def test_strange_words_stay_words(client, magazine):
    magazine = make_magazine(HOSTILE)
    item = make_item(magazine, HOSTILE[:50])
    reader = make_reader(magazine, lead=make_lead("a@yamate.example.jp", last_name=HOSTILE, company=HOSTILE), values={item.key: HOSTILE})  # fmt: skip
    for page in (
        url("readers", magazine) + "?q=%3Cscript%3E",
        url("reader", magazine, reader.pk),
        url("reader_edit", magazine, reader.pk),
        url("reader_remove", magazine, reader.pk),
    ):
        html = html_of(client.get(page))
        assert "<script>alert" not in html
    assert "髙﨑𠮷①㈱😀" in html_of(client.get(url("reader", magazine, reader.pk)))


# ---- one by hand


def new_reader(**values):
    return {
        "email": "new@yamate.example.jp",
        "last_name": "髙﨑",
        "evidence": "card",
        "source": "展示会",
    } | values


def test_a_new_address_becomes_a_lead_and_a_reader_with_evidence(client, magazine, misaki):
    """OPT-10: kind, source and who stand in the history; nobody becomes DM許可 希望する by it."""
    response = client.post(url("reader_new", magazine), new_reader())
    reader = Reader.objects.get(magazine=magazine)
    assert response.headers["Location"] == url("reader", magazine, reader.pk)
    assert (reader.state, reader.way) == ("deliverable", "admin")
    assert (reader.lead.email, reader.lead.last_name) == ("new@yamate.example.jp", "髙﨑")
    assert reader.lead.dm_permission == DmPermission.UNWANTED
    change = ReaderChange.objects.get(magazine=magazine)
    assert (change.what, change.evidence, change.source, change.user) == ("registered", "card", "展示会", misaki)  # fmt: skip
    html = html_of(client.get(url("reader", magazine, reader.pk)))
    assert "同意の記録: 名刺" in html


def test_a_known_address_becomes_a_reader_as_the_lead_that_is_there(client, magazine):
    """EXC-4."""
    lead = make_lead("Known@yamate.example.jp", company="山手工業")
    client.post(url("reader_new", magazine), new_reader(email="ＫＮＯＷＮ@yamate.example.jp"))
    assert Reader.objects.get(magazine=magazine).lead == lead
    assert Lead.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [({"email": "nobody"}, "email"), ({"evidence": ""}, "evidence"), ({"email": "x@gamil.com"}, "email")],
)
def test_what_is_wrong_stands_beside_its_field(client, magazine, values, field):
    response = client.post(url("reader_new", magazine), new_reader(**values))
    html_of(response)
    assert response.context["form"].errors.keys() == {field}
    assert not Reader.objects.exists()
    assert not Lead.objects.exists()


def test_an_address_that_looks_like_a_typo_can_be_meant_so(client, magazine):
    """CHR-4."""
    client.post(url("reader_new", magazine), new_reader(email="x@gamil.com", keep_address="x@gamil.com"))
    assert Reader.objects.get().lead.email == "x@gamil.com"


@pytest.mark.parametrize("known", [True, False])
def test_the_blacklist_refuses_kindly_and_nothing_is_made(client, magazine, known):
    """MAG-9: an address that left is not registered again; its owner can."""
    reader = make_reader(magazine, "left@yamate.example.jp")
    domain.leave(magazine, reader.lead, way="form", now=timezone.now())
    Reader.objects.all().delete()
    if not known:
        Lead.objects.filter(pk=reader.lead_id).update(deleted_at=timezone.now())
    before = Lead.objects.count()
    html = html_of(client.post(url("reader_new", magazine), new_reader(email="Left@yamate.example.jp")))
    assert "このアドレスは一度配信解除されています" in html
    assert url("blacklist", magazine) in html
    assert not Reader.objects.exists()
    assert Lead.objects.count() == before


# ---- the page


def test_the_page_tells_state_cause_failures_history_mails_and_other_magazines(client, magazine, misaki):
    """MAG-1, MAG-3, EXC-6."""
    now = timezone.now()
    reader = make_reader(magazine, "a@yamate.example.jp", state="error_stopped", failures_full=5)
    ReaderChange.objects.create(
        magazine=magazine, lead=reader.lead, at=now, what="state", way="failure", before="deliverable",
        after="error_stopped", group="full", detail={"failures": 5, "threshold": 5}, ip="192.0.2.7",
    )  # fmt: skip
    other = make_magazine("別のマガジン")
    make_reader(other, lead=reader.lead, state="stopped")
    job = make_job(magazine=magazine, state="done", started_at=now)
    mine = make_delivery(reader.lead, job=job, kind="magazine", state="excluded", reason="reader_error_stopped", subject="第1号")  # fmt: skip
    theirs = make_delivery(reader.lead, job=make_job(magazine=other, state="done"), kind="magazine", state="sent", subject="他誌")  # fmt: skip
    html = html_of(client.get(url("reader", magazine, reader.pk)))
    assert "配信の不達: メールボックスがいっぱいです 5回(基準 5回)" in html
    assert "192.0.2.7" in html
    assert reverse("delivery", args=[mine.pk]) in html
    assert reverse("delivery", args=[theirs.pk]) not in html
    assert "別のマガジン" in html
    assert "このままでは" not in html
    # 次の記事の配信対象になりますか?
    assert f'hx-get="{url("reader_upcoming", magazine, reader.pk)}"' in html


def test_as_many_queries_for_one_mail_as_for_many(client, magazine):
    reader = make_reader(magazine)
    page = url("reader", magazine, reader.pk)

    def add():
        job = make_job(magazine=magazine, state="done")
        make_delivery(reader.lead, job=job, kind="magazine", state="sent", sent_at=timezone.now())
        ReaderChange.objects.create(magazine=magazine, lead=reader.lead, what="edited", way="admin")
        make_reader(make_magazine(f"他誌{job.pk}"), lead=reader.lead)

    def queries():
        with CaptureQueriesContext(connection) as counted:
            html_of(client.get(page))
        return len(counted)

    add()
    one = queries()
    add()
    add()
    assert queries() == one


def test_looking_changes_nothing(client, magazine):
    reader = make_reader(magazine, failures_full=9)
    kept = (Reader.objects.values().get(), ReaderChange.objects.count(), AuditEntry.objects.count())
    for name, args in (
        ("readers", ()), ("reader_new", ()), ("readers_bulk", ()), ("magazine_settings", ()), ("blacklist", ()),
        ("magazine_archive", ()), ("reader", (reader.pk,)), ("reader_edit", (reader.pk,)), ("reader_remove", (reader.pk,)),
    ):  # fmt: skip
        html_of(client.get(url(name, magazine, *args)))
    assert (Reader.objects.values().get(), ReaderChange.objects.count(), AuditEntry.objects.count()) == kept


# ---- 読者情報の編集


def test_back_to_deliverable_without_a_reset_keeps_the_failures_and_warns(client, magazine):
    """MAG-6: 「不達情報をリセットする」 not ticked: the next start stops the reader again, and both pages say so."""
    reader = make_reader(magazine, state="error_stopped", failures_refused=3)
    page = url("reader_edit", magazine, reader.pk)
    html = html_of(client.get(page))
    assert "不達情報をリセットする" in html
    assert "次の配信処理開始時に再度エラー停止に戻ります" in html
    html = html_of(client.post(page, edit_of(reader, state="deliverable"), follow=True))
    reader.refresh_from_db()
    assert (reader.state, reader.failures_refused) == ("deliverable", 3)
    assert "次の配信処理開始時に再度エラー停止に戻ります" in html


def test_with_a_reset_the_failures_are_gone_and_nothing_is_warned_of(client, magazine):
    """MAG-6."""
    reader = make_reader(magazine, state="error_stopped", failures_refused=3)
    page = url("reader_edit", magazine, reader.pk)
    html = html_of(client.post(page, edit_of(reader, state="deliverable", reset_failures="on"), follow=True))
    reader.refresh_from_db()
    assert (reader.state, reader.failures_refused) == ("deliverable", 0)
    assert "再度エラー停止" not in html


def test_below_the_thresholds_the_form_warns_of_nothing(client, magazine):
    """MAG-6: the explanation stands there only when the counts are at or over a threshold."""
    reader = make_reader(magazine, failures_refused=2)
    html = html_of(client.get(url("reader_edit", magazine, reader.pk)))
    assert "不達情報をリセットする" in html
    assert "再度エラー停止" not in html


def test_free_items_are_edited_emptied_and_refused_beside_the_field(client, magazine):
    size, since = make_item(magazine), make_item(magazine, "契約日", "date")
    reader = make_reader(magazine, values={size.key: "30名", since.key: "2026-01-05"})
    page = url("reader_edit", magazine, reader.pk)
    response = client.post(page, edit_of(reader, **{f"item_{size.key}": "", f"item_{since.key}": "きのう"}))
    assert response.context["form"].errors.keys() == {f"item_{since.key}"}
    client.post(page, edit_of(reader, **{f"item_{size.key}": "", f"item_{since.key}": "2026-02-01"}))
    reader.refresh_from_db()
    assert reader.values == {since.key: "2026-02-01"}


def test_the_second_of_two_administrators_is_told(client, magazine):
    reader = make_reader(magazine)
    page = url("reader_edit", magazine, reader.pk)
    seen = edit_of(reader)
    client.post(page, seen | {"state": "stopped"})
    html = html_of(client.post(page, seen | {"reset_failures": "on"}), 409)
    assert "errorlist nonfield" in html
    reader.refresh_from_db()
    assert reader.state == "stopped"


def test_who_left_cannot_be_set_deliverable_while_the_blacklist_is_on(client, magazine):
    """MAG-9: the error stands beside the state."""
    reader = make_reader(magazine)
    domain.leave(magazine, reader.lead, way="form", now=timezone.now())
    reader.refresh_from_db()
    response = client.post(url("reader_edit", magazine, reader.pk), edit_of(reader, state="deliverable"))
    html_of(response, 409)
    assert "state" in response.context["form"].errors
    reader.refresh_from_db()
    assert reader.state == "stopped"


def test_nobody_sets_error_stopped_by_hand(client, magazine):
    """MAG-3: only failures do."""
    reader = make_reader(magazine)
    page = url("reader_edit", magazine, reader.pk)
    response = client.post(page, edit_of(reader, state="error_stopped"))
    assert "state" in response.context["form"].errors


def test_removing_asks_first_and_keeps_the_lead(client, magazine):
    """MAG-2, MAG-9."""
    reader = make_reader(magazine, "a@yamate.example.jp")
    page = url("reader_remove", magazine, reader.pk)
    html_of(client.post(page))
    assert Reader.objects.filter(pk=reader.pk).exists()
    assert client.post(page, {"confirmed": "1"}).headers["Location"] == url("readers", magazine)
    assert not Reader.objects.filter(pk=reader.pk).exists()
    assert Lead.objects.filter(pk=reader.lead_id, deleted_at=None).exists()
    assert AuditEntry.objects.filter(action="reader.remove_many").exists()


# ---- around


def test_a_lead_s_page_names_its_magazines(client, magazine):
    """MAG-1."""
    reader = make_reader(magazine, state="stopped")
    html = html_of(client.get(reverse("lead", args=[reader.lead_id])))
    assert url("reader", magazine, reader.pk) in html
    assert magazine.name in html
    stranger = make_lead("nobody@yamate.example.jp")
    assert 'id="magazines"' not in html_of(client.get(reverse("lead", args=[stranger.pk])))


def test_the_operation_history_leads_to_the_reader(client, magazine):
    reader = make_reader(magazine)
    response = client.get(reverse("reader_by_id", args=[reader.pk]))
    assert response.headers["Location"] == url("reader", magazine, reader.pk)


def test_who_may_what(client, magazine):
    """SYS-1: viewers look; campaign administrators have no magazines."""
    reader = make_reader(magazine)
    looks = [reverse("magazines"), url("readers", magazine), url("reader", magazine, reader.pk)]  # fmt: skip
    changes = [
        url("reader_new", magazine), url("reader_edit", magazine, reader.pk), url("reader_remove", magazine, reader.pk),
        url("readers_bulk", magazine), url("magazine_settings", magazine), url("magazine_archive", magazine),
        url("blacklist", magazine), reverse("magazine_new"),
    ]  # fmt: skip
    posts = [url("readers_bulk_check", magazine), url("readers_bulk_do", magazine), url("blacklist_release", magazine), url("magazine_restore", magazine)]  # fmt: skip
    client.force_login(make_user("yui", role=Role.VIEWER))
    for page in looks:
        html = html_of(client.get(page))
        assert url("reader_new", magazine) not in html
        assert url("reader_edit", magazine, reader.pk) not in html
    assert [client.get(page).status_code for page in changes] == [403] * len(changes)
    assert [client.post(page).status_code for page in posts] == [403] * len(posts)
    client.force_login(make_user("kenta", role=Role.CAMPAIGN))
    assert {client.get(page).status_code for page in looks + changes} <= {403, 404}
    client.logout()
    assert {client.get(page).status_code for page in looks + changes} == {302}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (form_source("cb25f986", "ja"), "登録フォーム(文面 cb25f986・ja)"),
        (LEAVE_FORM, "解除フォーム"),
        (OPT_OUT_PAGE, "メールマガジンの配信停止ページ"),
        (EMPTY_MAIL, "空メール"),
        ("展示会名刺 2026秋.csv", "展示会名刺 2026秋.csv"),
    ],
)
def test_where_somebody_registered_or_left_is_said_in_words(client, magazine, source, words):
    """OPT-10"""
    reader = make_reader(magazine)
    ReaderChange.objects.filter(lead=reader.lead).delete()
    ReaderChange.objects.create(
        magazine=magazine, lead=reader.lead, what="registered", way="form", evidence="form", after="deliverable",
        at=timezone.now(), source=source,
    )  # fmt: skip
    assert f"<small>{words}</small>" in html_of(client.get(url("reader", magazine, reader.pk)))

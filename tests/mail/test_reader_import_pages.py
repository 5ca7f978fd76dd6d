"""「インポート」 inside a magazine: MAG-9, MAG-10, MAG-11, OPT-10 on the screen, and its command."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse
from django.utils import timezone

from mail.magazines import blacklist
from mail.magazines.imports import steps
from mail.models import ReaderChange, ReaderImport
from settings.models import AuditEntry
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine, make_reader
from tests.mail.reader_importing import bring_in, check, commit, states

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kicked(monkeypatch):
    """What a worker would do, done when it is asked for."""
    given = []
    monkeypatch.setattr(steps, "hint", lambda task, *ids: given.append((task, *ids)))
    return given


@pytest.fixture
def admin(client):
    client.force_login(make_user())
    return client


def url(name, reader_import, **query):
    path = reverse(name, args=[reader_import.magazine_id, reader_import.pk])
    return path + ("?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else "")


def body(response):
    return response.content.decode()


def test_upload_check_commit_and_undo(admin, kicked, django_capture_on_commit_callbacks):
    """MAG-10: file → check → import → taken back, each step by a worker."""
    magazine = make_magazine()
    path = reverse("reader_imports", args=[magazine.pk])
    file = SimpleUploadedFile(
        "名簿.csv", "メールアドレス,姓\na@a.example.jp,髙﨑\nbad@,山田\n".encode("cp932")
    )
    with django_capture_on_commit_callbacks(execute=True):
        answer = admin.post(path, {"file": file, "evidence": "card"})
    made = ReaderImport.objects.get()
    assert (answer.status_code, answer.url) == (302, url("reader_import", made))
    assert kicked == [("mail.tasks.run_reader_import", made.pk)]
    assert "順番を待っています" in body(admin.get(answer.url))
    steps.run(made.pk)
    page = body(admin.get(answer.url))
    assert "名刺" in page
    assert "誤りのある 1 行を除いて取り込む" in page
    refused = admin.post(url("reader_import_commit", made))
    assert (refused.status_code, "誤りのある行が 1 行" in body(refused)) == (422, True)
    with django_capture_on_commit_callbacks(execute=True):
        admin.post(url("reader_import_commit", made), {"skip_malformed": "on"})
    steps.run(made.pk)
    assert states(magazine) == {"a@a.example.jp": "deliverable"}
    change = ReaderChange.objects.get()
    assert (change.evidence, change.source, change.user.username) == ("card", "名簿.csv", "misaki")
    page = body(admin.get(answer.url))
    assert "1 件の読者を書き込みました" in page
    assert "このインポートを取り消す" in page
    assert "リストからの読者の削除: <b>1</b>" in body(admin.get(url("reader_import_undo", made)))
    assert states(magazine) == {"a@a.example.jp": "deliverable"}  # GET changes nothing
    with django_capture_on_commit_callbacks(execute=True):
        admin.post(url("reader_import_undo", made))
    steps.run(made.pk)
    assert states(magazine) == {}
    page = body(admin.get(answer.url))
    assert "取り消し済" in page
    assert "このインポートを取り消す" not in page
    actions = AuditEntry.objects.filter(action__startswith="reader_import").order_by("id")
    assert [entry.action for entry in actions] == ["reader_import.commit", "reader_import.undo"]
    assert body(admin.get(reverse("audit_log"))).count("読者をインポート") >= 1


def test_the_evidence_has_no_answer_until_one_is_given(admin):
    """OPT-10."""
    magazine = make_magazine()
    answer = admin.post(
        reverse("reader_imports", args=[magazine.pk]),
        {"file": SimpleUploadedFile("a.csv", b"E-mail\na@a.jp\n")},
    )
    assert (answer.status_code, ReaderImport.objects.count()) == (422, 0)
    assert "その記録の保存も法律で求められています" in body(answer)


def test_with_the_blacklist_off_the_page_warns_and_asks(admin):
    """MAG-9: how many would be mailed again, in red, and a tick before it is done."""
    magazine = make_magazine(blacklist=False)
    make_reader(magazine, "a@a.example.jp", state="stopped")
    make_reader(magazine, "b@a.example.jp", state="error_stopped")
    checked = check(magazine, "メールアドレス\na@a.example.jp\nb@a.example.jp\n")
    page = body(admin.get(url("reader_import", checked)))
    assert '<div class="note error"><b>停止中の読者 2 件に再び配信されるようになります。</b>' in page
    assert "うち 1 件はエラー停止の読者です" in page
    refused = admin.post(url("reader_import_commit", checked))
    assert (refused.status_code, states(magazine)["a@a.example.jp"]) == (422, "stopped")
    admin.post(url("reader_import_commit", checked), {"turn": "on"})
    steps.run(checked.pk)
    assert set(states(magazine).values()) == {"deliverable"}


def test_a_new_magazine_made_of_a_list_that_refused_elsewhere(admin):
    """MAG-11: strongly when this magazine has no readers yet, with links."""
    old, new = make_magazine("旧"), make_magazine("新")
    make_reader(old, "a@a.example.jp", state="stopped")
    blacklist.put(old, ["gone@a.example.jp"], own_act=True, now=timezone.now())
    text = "メールアドレス\na@a.example.jp\ngone@a.example.jp\nfine@a.example.jp\n"
    checked = check(new, text)
    page = body(admin.get(url("reader_import", checked)))
    assert (
        '<div class="note error"><b>このうち 2 件のアドレスは、別のメールマガジンで配信停止になっています。</b>'
        in page
    )
    assert "配信停止状態は引き継がれません。" in page
    assert f'旧: <a href="?show=elsewhere&amp;magazine={old.pk}#rows">2</a>' in page
    rows = body(admin.get(url("reader_import", checked, show="elsewhere", magazine=old.pk)))
    assert ("a@a.example.jp" in rows, "fine@a.example.jp" in rows) == (True, False)
    assert "メールマガジン「旧」で配信停止です。" in rows
    make_reader(new, "first@a.example.jp")
    assert '<div class="note"><b>このうち 2 件' in body(admin.get(url("reader_import", checked)))


@pytest.mark.parametrize(
    ("show", "address", "why"),
    [
        ("new", "new@a.example.jp", "インポート"),
        ("updated", "error@a.example.jp", "エラー停止のままです"),
        ("refused", "stopped@a.example.jp", "から配信停止です。"),
        ("malformed", "bad@", "E-mailアドレス"),
        ("unchanged", "NEW@a.example.jp", "2 行目と同じアドレスです"),
    ],
)
def test_each_count_opens_its_rows(admin, show, address, why):
    """MAG-10: line, address, what and why."""
    magazine = make_magazine()
    magazine.items.create(label="規模", type="text")
    make_reader(magazine, "error@a.example.jp", state="error_stopped")
    make_reader(magazine, "stopped@a.example.jp", state="stopped")
    checked = check(
        magazine,
        "E-mailアドレス,規模\nnew@a.example.jp,1\nerror@a.example.jp,1\nstopped@a.example.jp,1\nbad@,1\nNEW@a.example.jp,1\n",
    )
    page = body(admin.get(url("reader_import", checked)))
    assert f'<a href="?show={show}#rows"' in page
    rows = body(admin.get(url("reader_import", checked, show=show))).split('id="rows"')[1]
    assert address in rows
    assert why in rows or show == "new"
    assert rows.count("<tr><td") == 1
    file = b"".join(admin.get(url("reader_import_rows", checked, show=show)).streaming_content).decode()
    assert file.count("\r\n") == 2


def test_markup_in_a_file_is_text(admin):
    magazine = make_magazine()
    checked = check(
        magazine, "メールアドレス,姓\n<script>@x,<img src=x>\nok@a.example.jp,<b>\n", file_name="<i>.csv"
    )
    for show in ("malformed", "new"):
        page = body(admin.get(url("reader_import", checked, show=show)))
        assert not any(tag in page for tag in ("<script>@", "<img src=x", "<i>.csv"))


def test_pages_of_another_magazine_are_not_there(admin):
    """MAG-1: an import belongs to one magazine."""
    magazine, other = make_magazine(), make_magazine("月刊")
    done = bring_in(magazine, "メールアドレス\na@a.example.jp\n")
    for name in ("reader_import", "reader_import_progress", "reader_import_undo", "reader_import_rows"):
        assert admin.get(reverse(name, args=[other.pk, done.pk])).status_code == 404
        assert admin.get(reverse(name, args=[magazine.pk, done.pk + 1])).status_code == 404
    for name in ("reader_import_commit", "reader_import_cancel", "reader_import_undo"):
        assert admin.post(reverse(name, args=[other.pk, done.pk])).status_code == 404
    assert admin.get(reverse("reader_imports", args=[999_999])).status_code == 404
    assert states(magazine) == {"a@a.example.jp": "deliverable"}


def test_nothing_is_imported_into_an_archived_magazine(admin):
    magazine = make_magazine()
    checked = check(magazine, "メールアドレス\na@a.example.jp\n")
    magazine.archived_at = timezone.now()
    magazine.save()
    assert admin.post(url("reader_import_commit", checked)).status_code == 404
    file = SimpleUploadedFile("a.csv", b"E-mail\na@a.jp\n")
    path = reverse("reader_imports", args=[magazine.pk])
    assert admin.post(path, {"file": file, "evidence": "card"}).status_code == 404
    assert admin.get(path).status_code == 200


def test_lists_take_as_many_queries_for_three_rows_as_for_one(admin, django_assert_num_queries):
    """Every list: the number of queries does not grow with its rows."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    magazine = make_magazine()
    one = check(magazine, "メールアドレス,姓\na@a.example.jp,x\n")
    paths = [url("reader_import", one), reverse("reader_imports", args=[magazine.pk])]
    counts = []
    for path in paths:
        admin.get(path)
        with CaptureQueriesContext(connection) as captured:
            admin.get(path)
        counts.append(len(captured))
    three = check(magazine, "メールアドレス,姓\na@a.example.jp,x\nb@a.example.jp,y\nc@a.example.jp,z\n")
    check(magazine, "メールアドレス\nb@\n")
    for path, number in zip([url("reader_import", three), paths[1]], counts, strict=True):
        with django_assert_num_queries(number):
            admin.get(path)


def test_cancelled_before_the_commit(admin):
    magazine = make_magazine()
    checked = check(magazine, "メールアドレス\na@a.example.jp\n")
    admin.post(url("reader_import_cancel", checked))
    assert "中止" in body(admin.get(url("reader_import", checked)))
    admin.post(url("reader_import_commit", checked))
    assert (ReaderImport.objects.get().state, states(magazine)) == ("cancelled", {})


def test_the_progress_asks_for_the_page_when_it_is_over(admin):
    magazine = make_magazine()
    made = steps.upload(
        [b"E-mail\na@a.example.jp\n"], magazine=magazine, file_name="a.csv", evidence="card", user=None
    )
    running = admin.get(url("reader_import_progress", made))
    assert ("HX-Refresh" in running.headers, 'hx-trigger="every 1s"' in body(running)) == (False, True)
    steps.run(made.pk)
    assert admin.get(url("reader_import_progress", made)).headers["HX-Refresh"] == "true"


def test_after_thirty_days_there_is_nothing_to_take_back(admin):
    magazine = make_magazine()
    done = bring_in(magazine, "メールアドレス\na@a.example.jp\n")
    past = timezone.now() - timedelta(days=31)
    ReaderImport.objects.filter(pk=done.pk).update(committed_at=past, finished_at=past)
    steps.forget_old_files(timezone.now())
    page = body(admin.get(url("reader_import", done)))
    assert ("このインポートを取り消す" in page, "30日" in page or "30 日" in page) == (False, True)
    assert admin.get(url("reader_import_undo", done)).status_code == 302
    assert admin.get(url("reader_import_rows", done, show="new")).status_code == 302
    admin.post(url("reader_import_undo", done))
    assert states(magazine) == {"a@a.example.jp": "deliverable"}


# ---- the command


def call(tmp_path, text, *options):
    path = tmp_path / "readers.csv"
    path.write_bytes(text.encode())
    out = StringIO()
    call_command("import_readers", str(path), *options, stdout=out)
    return out.getvalue()


def test_the_command(tmp_path):
    """DESIGN §8: JSON, dry run, refusals."""
    magazine = make_magazine()
    to = ["--magazine", str(magazine.pk)]
    dry = json.loads(call(tmp_path, "メールアドレス\na@a.example.jp\n", *to, "--dry-run", "--json"))
    assert (dry["new"], dry["state"], states(magazine)) == (1, "cancelled", {})
    done = json.loads(call(tmp_path, "メールアドレス\na@a.example.jp\n", *to, "--evidence", "card", "--json"))
    assert (done["new"], done["new_leads"], done["state"]) == (1, 1, "done")
    assert ReaderChange.objects.get().evidence == "card"
    with pytest.raises(CommandError, match="誤りのある行が 1 行"):
        call(tmp_path, "メールアドレス\nbad@\nb@a.example.jp\n", *to)
    text = call(tmp_path, "メールアドレス\nbad@\nb@a.example.jp\n", *to, "--skip-malformed")
    assert "新規登録: 1" in text
    with pytest.raises(CommandError, match="列が必要です"):
        call(tmp_path, "姓\n山田\n", *to)
    with pytest.raises(CommandError, match="999999"):
        call(tmp_path, "メールアドレス\n", "--magazine", "999999")
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_readers", str(tmp_path / "none.csv"), *to)


def test_the_command_asks_before_stopped_readers_are_mailed_again(tmp_path):
    """MAG-9."""
    magazine = make_magazine(blacklist=False)
    make_reader(magazine, "a@a.example.jp", state="stopped")
    to = ["--magazine", str(magazine.pk)]
    with pytest.raises(CommandError, match="停止中の読者 1 件"):
        call(tmp_path, "メールアドレス\na@a.example.jp\n", *to)
    call(tmp_path, "メールアドレス\na@a.example.jp\n", *to, "--turn")
    assert states(magazine) == {"a@a.example.jp": "deliverable"}


def test_what_changed_since_the_check_is_shown_again(admin):
    """MAG-9, MAG-10: somebody leaves between check and commit: nothing is written, the page shows the new result."""
    from mail.magazines.readers import leave

    magazine = make_magazine(blacklist=False)
    reader = make_reader(magazine, "a@a.example.jp")
    checked = check(magazine, "メールアドレス\na@a.example.jp\nb@a.example.jp\n")
    assert checked.counts["turned"] == 0
    leave(magazine, reader.lead, way="one_click", now=timezone.now())
    again = commit(checked)
    assert (again.state, again.changed_since, again.counts["turned"]) == ("checked", True, 1)
    assert states(magazine) == {"a@a.example.jp": "stopped"}
    page = body(admin.get(url("reader_import", again)))
    assert "確認の後に読者の情報が変わったため" in page
    assert commit(again).state == "done"


def test_the_blacklist_is_switched_between_check_and_commit():
    """MAG-9: judged by the setting of the moment of writing."""
    magazine = make_magazine(blacklist=False)
    make_reader(magazine, "a@a.example.jp", state="stopped")
    checked = check(magazine, "メールアドレス\na@a.example.jp\nb@a.example.jp\n")
    magazine.blacklist = True
    magazine.save()
    again = commit(checked)
    assert (again.state, again.blacklist, again.counts["refused"]) == ("checked", True, 1)
    commit(again)
    assert states(magazine) == {"a@a.example.jp": "stopped", "b@a.example.jp": "deliverable"}

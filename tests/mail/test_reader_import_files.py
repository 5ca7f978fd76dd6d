"""CSV-1, CSV-2, CSV-3: what a file of readers may look like, and what is said of one that may not."""

import codecs

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from mail.magazines.imports import steps
from mail.magazines.imports.columns import base_header, parse_moment
from mail.magazines.imports.report import rows_csv, rows_of_kind
from mail.magazines.imports.stage import ReaderStager
from mail.magazines.imports.words import file_problem_text
from mail.models import Reader
from tests.mail.magazine_scene import make_item, make_magazine
from tests.mail.reader_importing import bring_in, check, counts, problems, states

pytestmark = pytest.mark.django_db

TEXT = "メールアドレス,姓,会社の規模\ntaro@a.example.jp,髙﨑,①㈱\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8"),
        (TEXT.encode("cp932"), "cp932"),
        (TEXT.encode("utf-16"), "utf-16"),
        (TEXT.replace(",", "\t").encode("utf-16"), "utf-16"),
        (TEXT.replace(",", ";").replace("\n", "\r\n").encode(), "utf-8"),
    ],
)
def test_encodings_and_delimiters(data, encoding):
    """CSV-1."""
    magazine = make_magazine()
    item = make_item(magazine)
    done = bring_in(magazine, data)
    assert done.encoding == encoding
    reader = magazine.readers.select_related("lead").get()
    assert (reader.lead.last_name, reader.values) == ("髙﨑", {item.key: "①㈱"})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("姓\n山田\n", "email_missing"),
        ("メールアドレス\n", "no_rows"),
        ("\n", "email_missing"),
        ("メールアドレス,会社名様\na@a.example.jp,1\n", "unknown_header"),
        ("メールアドレス,qqqq\na@a.example.jp,1\n", "unknown_header_alone"),
        ("メールアドレス,E-mail\na@a.example.jp,b@a.example.jp\n", "header_twice"),
        ("メールアドレス,\na@a.example.jp,値\n", "blank_header"),
        ('メールアドレス,姓\na@a.example.jp,"山田\n', "open_quote"),
        (b"PK\x03\x04xxxx", "workbook"),
        (b"\xe3\x83\xa1\x00\n", "binary"),
        ("メールアドレス," + ",".join("姓" * 600) + "\n", "too_many_columns"),
        ('メールアドレス,姓\na@a.example.jp,"' + "あ" * 210_000 + '"\n', "open_quote"),
    ],
)
def test_files_that_are_refused(data, code):
    """CSV-1: with the reason, and nothing is staged."""
    magazine = make_magazine()
    failed = check(magazine, data)
    assert (failed.state, failed.error["code"], failed.lines.count()) == ("failed", code, 0)
    assert file_problem_text(failed.error)
    assert Reader.objects.count() == 0


def test_an_empty_file_is_no_import():
    with pytest.raises(ValidationError):
        steps.upload([], magazine=make_magazine(), file_name="a.csv", evidence="import", user=None)


def test_a_file_that_is_too_large(monkeypatch):
    monkeypatch.setattr(steps, "MOST_MEGABYTES", 1)
    with pytest.raises(ValidationError, match="1MB"):
        steps.upload(
            [b"x" * 2_000_000], magazine=make_magazine(), file_name="a.csv", evidence="import", user=None
        )


def test_too_many_rows_are_refused_before_they_are_judged(monkeypatch):
    """MAG-10: line ends inside of cells are no rows."""
    monkeypatch.setattr("mail.magazines.imports.stage.MOST_ROWS", 3)
    monkeypatch.setattr("mail.magazines.imports.stage.BATCH", 1)
    staged = []
    stage = ReaderStager.stage
    monkeypatch.setattr(ReaderStager, "stage", lambda *given: staged.append(1) or stage(*given))
    refused = check(make_magazine(), "email\n" + "rubbish\n" * 4)
    assert (refused.state, refused.error["code"], staged) == ("failed", "too_many_rows", [])
    magazine = make_magazine()
    make_item(magazine, "メモ")
    fine = check(magazine, 'email,メモ\na@yamate.example.jp,"1\n2\n3\n4\n5"\n')
    assert (fine.state, fine.rows) == ("checked", 1)


def test_hostile_cells():
    """CSV-1: each wrong cell makes its row wrong, with row, column and reason; formulas and markup are text."""
    magazine = make_magazine()
    item = make_item(magazine, "メモ欄")
    number = make_item(magazine, "人数", "number")
    done = bring_in(
        magazine,
        "メールアドレス,姓,メモ欄,人数,登録日時\n"
        "ok@a.example.jp,<b>=1+1</b>,\"=cmd|' /C calc'!A0\",３,\n"
        'zeros@a.example.jp,"=""0123""",\'+81,4,2025-01-01\n'
        '"a@a.example.jp\r",太郎,x,abc,\n'
        "long@a.example.jp," + "あ" * 101 + "," + "い" * 1001 + ",1,\n"
        "control@a.example.jp,\x08,x,1,\n"
        ",山田,x,1,\n"
        "late@a.example.jp,山田,x,1,2999/1/1\n"
        "day@a.example.jp,山田,x,1,2025/2/30\n"
        "ragged@a.example.jp,山田\n"
        ",,,,\n",
    )
    assert problems(done) == [
        (4, "人数", "number"),
        (5, "姓", "too_long"),
        (5, "メモ欄", "too_long"),
        (6, "姓", "control"),
        (7, "メールアドレス", "address_blank"),
        (8, "登録日時", "registered_in_future"),
        (9, "登録日時", "registered_at"),
        (10, None, "ragged"),
    ]
    assert sorted(states(magazine)) == ["ok@a.example.jp", "zeros@a.example.jp"]
    ok = magazine.readers.get(lead__email="ok@a.example.jp")
    assert (ok.lead.last_name, ok.values) == ("<b>=1+1</b>", {item.key: "=cmd|' /C calc'!A0", number.key: 3})
    zeros = magazine.readers.get(lead__email="zeros@a.example.jp")
    assert (zeros.lead.last_name, zeros.values[item.key]) == ("0123", "+81")


def test_columns_that_are_not_imported_are_noted():
    """CSV-2, CSV-3: a list that was exported goes back in; state and consent are not set by it."""
    magazine = make_magazine()
    done = bring_in(
        magazine,
        "リードID,メールアドレス,状態,DM許可,配信停止\n5,a@a.example.jp,配信停止,希望する,2025-01-01\n",
    )
    notes = {column["header"]: column["note"] for column in done.columns}
    assert notes == {
        "リードID": "ignored",
        "メールアドレス": "",
        "状態": "ignored_state",
        "DM許可": "ignored",
        "配信停止": "ignored_unsubscribed",
    }
    reader = magazine.readers.select_related("lead").get()
    assert (reader.state, reader.lead.dm_permission, reader.lead.unsubscribed_at) == (
        "deliverable",
        "unwanted",
        None,
    )


def test_an_item_comes_first_when_it_is_called_like_a_column_of_leads():
    magazine = make_magazine()
    item = make_item(magazine, "会社名")
    bring_in(magazine, "メールアドレス,会社名\na@a.example.jp,山手製作所\n")
    reader = magazine.readers.select_related("lead").get()
    assert (reader.values, reader.lead.company) == ({item.key: "山手製作所"}, "")


def test_items_of_other_magazines_and_retired_ones_are_unknown():
    magazine, other = make_magazine(), make_magazine("月刊")
    make_item(other, "他誌の項目")
    make_item(magazine, "昔の項目", retired_at=timezone.now())
    for label in ("他誌の項目", "昔の項目"):
        assert (
            check(magazine, f"メールアドレス,{label}\na@a.example.jp,1\n")
            .error["code"]
            .startswith("unknown_header")
        )


def test_the_rows_of_a_group_as_a_file_go_in_again():
    """CSV-3: corrected, the file of malformed rows is imported as it is; no cell is a formula."""
    magazine = make_magazine()
    done = bring_in(magazine, "メールアドレス,姓\nok@a.example.jp,山田\nbad@,=1+1\n-x@,鈴木\n")
    assert counts(done) == {"new": 1, "malformed": 2}
    text = "".join(rows_csv(done, rows_of_kind(done, "malformed")))
    header, first, second = text.lstrip("\ufeff").strip().split("\r\n")
    assert header == "メールアドレス,姓,行,列,理由"
    assert first.startswith("bad@,'=1+1,3,メールアドレス,")
    assert second.startswith("'-x@,鈴木,4,メールアドレス,")
    bring_in(magazine, text.replace("bad@", "good@a.example.jp").replace("'-x@", "x@a.example.jp"))
    assert sorted(states(magazine)) == ["good@a.example.jp", "ok@a.example.jp", "x@a.example.jp"]
    assert magazine.readers.get(lead__email="good@a.example.jp").lead.last_name == "=1+1"


def test_the_base_file_is_understood():
    magazine = make_magazine()
    make_item(magazine, "契約期限", "date")
    header = base_header(magazine.items.all())
    done = bring_in(magazine, ",".join(header) + "\na@a.example.jp" + "," * (len(header) - 1) + "\n")
    assert all(column["target"] for column in done.columns)
    assert counts(done) == {"new": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026/11/21", "2026-11-21T00:00:00+09:00"),
        ("2026-1-2 9:05", "2026-01-02T09:05:00+09:00"),
        ("２０２６年１月２日 10:30:05", "2026-01-02T10:30:05+09:00"),
        ("2026-01-02T10:30", "2026-01-02T10:30:00+09:00"),
    ],
)
def test_times_of_registration(text, expected):
    assert parse_moment(text).isoformat() == expected


@pytest.mark.parametrize("text", ["昨日", "2026/13/1", "1899/1/1", "2026/1/1 25:00", "20260101", ""])
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        parse_moment(text)

"""CSV-1, CSV-2, CHR-4, CHR-6, OPT-2, FLAG-3..6 at the import: what goes in, what is refused, and that it is all or nothing."""

import csv
import io
import unicodedata
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from leads.imports import commit_import, stage_import
from leads.imports.problems import FILE, NOTE, ROW, file_problem_text
from leads.imports.report import problem_lines, remarks, rows_shown, wrong_rows_csv
from leads.imports.steps import (
    MEGABYTE,
    cancel,
    columns_of,
    forget_old_files,
    imports_to_take_up,
    request_commit,
    upload,
)  # fmt: skip
from leads.models import ConsentRecord, Lead, LeadColumn, LeadImport, LeadImportRow
from settings.models import AuditEntry
from smp.lib.csv_export import csv_lines
from tests.factories import make_lead, make_user
from tests.leads.importing import bring_in, check, commit, counts, problems

pytestmark = pytest.mark.django_db

HEADER = "姓,名,E-mailアドレス,会社名,DM許可\n"
YOSHIO = "髙橋,𠮷男,yoshio@yamate.example.jp,㈱ヤマテ😀,希望する\n"


# ── bytes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("encoding", "recognised"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-16-be", None)],
)
def test_character_codes_are_recognised(encoding, recognised):
    """CSV-1: UTF-8 with and without BOM, and Excel's "Unicode text" (UTF-16, tabs)."""
    text = (HEADER + YOSHIO).replace(",", "\t" if "16" in encoding else ",")
    lead_import = check(text.encode(encoding))
    if recognised is None:
        assert lead_import.error["code"] == "binary"  # UTF-16 without its mark: refused with what to do
        return
    assert (lead_import.encoding, counts(lead_import)["new"]) == (recognised, 1)
    commit(lead_import)
    lead = Lead.objects.get()
    assert (lead.last_name, lead.first_name, lead.company) == ("髙橋", "𠮷男", "㈱ヤマテ😀")


def test_cp932_is_recognised():
    """CSV-1: what Japanese Excel saves as "CSV", half-width kana and NEC characters included."""
    bring_in("姓,名,会社名\r\n髙橋,ﾖｼｵ,㈱ﾔﾏﾃ①〜\r\n".replace("〜", "～").encode("cp932"))
    lead = Lead.objects.get()
    assert (lead.last_name, lead.first_name, lead.company) == ("髙橋", "ﾖｼｵ", "㈱ﾔﾏﾃ①～")


def test_plain_ascii_is_utf8():
    lead_import = bring_in("last_name,email\nSato,sato@example.jp\n")
    assert lead_import.encoding == "utf-8"
    assert Lead.objects.get().email == "sato@example.jp"


def test_mixed_character_codes_name_line_and_byte():
    """CSV-1: a CP932 row pasted into a UTF-8 file (or the reverse) is found, never read as mojibake."""
    mixed = "姓,会社名\n佐藤,ヤマテ\n".encode() + "鈴木,株式会社カワテ\n".encode("cp932")
    assert check(mixed).error == {"code": "mixed_encoding", "params": {"line": 3, "byte": 1, "other": 1}}
    mixed = "姓,会社名\n佐藤,ヤマテ\n".encode("cp932") + "abc,株式会社カワテ\n".encode()
    assert check(mixed).error["code"] == "mixed_encoding"


def test_bytes_that_are_no_text_name_line_and_byte():
    lead_import = check(b"last_name,email\nSato,a@example.jp\nab\xff\xfe,b@example.jp\n")
    assert lead_import.error == {"code": "encoding", "params": {"line": 3, "byte": 3}}
    with translation.override("en"):
        assert file_problem_text(lead_import.error).startswith(
            "Line 3, byte 3 can be read neither as UTF-8 nor"
        )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PK\x03\x04rest of a workbook", "workbook"),
        (b"\xd0\xcf\x11\xe0old workbook", "workbook"),
        (b"last_name\n\0\n", "binary"),
        (b"\xff\xfea", "utf16"),
        (b"last_name\n", "no_rows"),
        (b"last_name\n,\n\n", "no_rows"),
        (b"\n", "nothing_to_write"),
        (b'last_name,email\nSato,"a@example.jp\nTanaka,b@example.jp\n', "open_quote"),
        (b'last_name,email\nSato,"' + b"x" * 300_000 + b"\n", "open_quote"),
        (b"last_name\n" + b"x" * 5_000_000, "long_line"),
        (b"last_name,\nSato,lost value\n", "blank_header"),
        (b"last_name,last name\nSato,Sato\n", "header_twice"),
        (b"lead_id,updated_at\n1,2\n", "nothing_to_write"),
        (("a," * 600).encode(), "too_many_columns"),
    ],
)
def test_files_that_are_refused_as_a_whole(data, code):
    """CSV-1: each refusal has its words in both languages, and nothing is staged."""
    lead_import = check(data)
    assert (lead_import.state, lead_import.error["code"]) == (LeadImport.State.FAILED, code)
    assert LeadImportRow.objects.count() == 0
    assert "%(" not in file_problem_text(lead_import.error)


def test_empty_file_is_refused_at_upload():
    with pytest.raises(ValidationError):
        upload([b""], file_name="a.csv", mode="add", key="id", evidence="import", user=None)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_quoted_line_breaks(end):
    text = f'姓,会社名,備考{end}佐藤,"ヤマテ{end}支店","一行目{end}二行目"{end}'
    bring_in(text)
    lead = Lead.objects.get()
    assert (lead.company, lead.note) == ("ヤマテ 支店", "一行目\n二行目")


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_delimiters(delimiter):
    bring_in(f"姓{delimiter}会社名\n佐藤{delimiter}ヤマテ\n")
    assert Lead.objects.get().company == "ヤマテ"


def test_characters_cut_at_the_border_of_a_piece():
    """A three-byte character that lies on a megabyte's border is read whole."""
    head = "姓,備考\n".encode()
    line = "佐,あいうえお\n".encode()
    data = head + line * ((2 * MEGABYTE) // len(line))
    lead_import = check(b"x"[:0] + data)
    assert counts(lead_import)["new"] == (len(data) - len(head)) // len(line)
    assert set(
        lead_import.staged_rows.values_list("cells", flat=True).distinct().values_list("cells__1", flat=True)
    ) == {"あいうえお"}


# ── headers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_headers_in_every_spelling():
    """Japanese label, English label, field name, full-width, spaces; custom columns by label."""
    industry = LeadColumn.objects.create(label="業種", type="choice", choices=["製造", "小売"])
    bring_in(
        "Last name,first_name,Ｅ－ｍａｉｌ アドレス,会社名 ,業種\nSato,Misaki,a@example.jp,ヤマテ,製造\n"
    )
    lead = Lead.objects.get()
    assert (lead.last_name, lead.first_name, lead.email, lead.company) == (
        "Sato",
        "Misaki",
        "a@example.jp",
        "ヤマテ",
    )
    assert lead.extra == {industry.key: "製造"}


def test_unknown_header_names_itself_and_the_nearest():
    """CSV-1"""
    lead_import = check("姓,会社名称\n佐藤,ヤマテ\n")
    assert lead_import.error == {
        "code": "unknown_header",
        "params": {"header": "会社名称", "column": 2, "nearest": "会社名"},
    }
    assert check("姓,zzzzzz\n佐藤,1\n").error["code"] == "unknown_header_alone"
    hostile = "%(x)s{{ 姓 }}<script>'\"=1+1"
    assert hostile.split("'")[0] in file_problem_text(
        check(f'姓,"{hostile.replace(chr(34), chr(34) * 2)}"\n佐藤,1\n').error
    )


def test_second_header_row_of_item_numbers_is_skipped():
    lead_import = bring_in("姓,E-mailアドレス\n101,205\n佐藤,a@example.jp\n")
    assert Lead.objects.get().last_name == "佐藤"
    assert lead_import.columns[0]["note"] == "item_numbers"


# ── rows and cells ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_wrong_cell_names_line_column_and_reason():
    """CSV-1"""
    LeadColumn.objects.create(label="従業員数", type="number")
    LeadColumn.objects.create(label="契約日", type="date")
    LeadColumn.objects.create(label="業種", type="choice", choices=["製造"])
    header = "姓,E-mailアドレス,種別,登録ステータス,DM許可,リードID,従業員数,契約日,業種\n"
    rows = [
        '佐藤,a@example.jp,来場者,本登録,希望する,,"１,２３４",2026/1/5,製造',
        "佐藤,a@@example.jp,来場者,本登録,希望する,,,,",
        "佐藤,a@example.jp,お客様,,,,,,",
        "佐藤,a@example.jp,,未登録,,,,,",
        "佐藤,a@example.jp,,,たぶん,,,,",
        "佐藤,a@example.jp,,,,12,,,",
        "佐藤,a@example.jp,,,,,多い,,",
        "佐藤,a@example.jp,,,,,,2026/2/30,",
        "佐藤,a@example.jp,,,,,,,建設",
        "佐藤,a@example.jp",
        "佐藤,a@example.jp,,,,,,,,,多い",
        "佐\x07藤,a@example.jp,,,,,,,",
        "佐" * 101 + ",a@example.jp,,,,,,,",
        "佐藤,b@@example.jp,x,,,,x,,",
        "",
        "佐藤,a@example.jp,,,,,,,,,,",
    ]
    lead_import = check(header + "\n".join(rows) + "\n")
    assert problems(lead_import) == [
        (3, "E-mailアドレス", "email"), (4, "種別", "choice"), (5, "登録ステータス", "choice"), (6, "DM許可", "choice"),
        (7, "リードID", "lead_id_add"), (8, "従業員数", "number"), (9, "契約日", "date"), (10, "業種", "choice"),
        (11, None, "ragged"), (12, None, "ragged"), (13, "姓", "control"), (14, "姓", "too_long"),
        (15, "E-mailアドレス", "email"), (15, "種別", "choice"), (15, "従業員数", "number"),
    ]  # fmt: skip
    assert counts(lead_import) == {"new": 2, "update": 0, "unchanged": 0, "wrong": 13}
    for language in ("ja", "en"):
        with translation.override(language):
            lines = problem_lines(lead_import, 100)
            assert len(lines) == 15
            assert not any("%(" in line for line in lines)


def test_nothing_is_half_imported():
    """CSV-1: one wrong row among good ones: nothing at all, unless leaving wrong rows out was chosen."""
    lead_import = check(HEADER + YOSHIO + "佐藤,美咲,misaki@@example.jp,,\n")
    with pytest.raises(ValidationError):
        request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    commit_import(lead_import)
    assert (Lead.objects.count(), ConsentRecord.objects.count()) == (0, 0)
    commit(lead_import, skip_wrong=True)
    assert [lead.last_name for lead in Lead.objects.all()] == ["髙橋"]


def test_text_is_normalised_to_nfc():
    """CHR-6: か + U+3099 from a Mac's CSV."""
    name = unicodedata.normalize("NFD", "がギ")
    assert name != "がギ"
    bring_in(f"姓,会社名\n{name},x\n")
    assert Lead.objects.get().last_name == "がギ"


def test_addresses_are_normalised_with_a_note_and_typos_only_proposed():
    """CHR-4"""
    lead_import = check(
        "姓,E-mailアドレス\n佐藤,ｍｉｓａｋｉ＠ｅｘａｍｐｌｅ．ｊｐ\n鈴木,kenta@gamil.com\n田中, Yui@Example.jp \n山田,a..b.@docomo.ne.jp\n"
    )
    assert counts(lead_import)["wrong"] == 0
    rows = {row.line: row for row in lead_import.staged_rows.all()}
    with translation.override("en"):
        noted = {
            line: [note.text for note in remarks(row, columns_of(lead_import))[1]]
            for line, row in rows.items()
        }
    assert noted == {
        2: ["Full-width characters were changed to half-width ones."],
        3: ["Did you mean kenta@gmail.com?"], 4: [], 5: [],
    }  # fmt: skip
    commit(lead_import)
    assert list(Lead.objects.order_by("id").values_list("email", "email_norm")) == [
        ("misaki@example.jp", "misaki@example.jp"), ("kenta@gamil.com", "kenta@gamil.com"),
        ("Yui@Example.jp", "yui@example.jp"), ("a..b.@docomo.ne.jp", "a..b.@docomo.ne.jp"),
    ]  # fmt: skip


def test_hostile_cells_arrive_as_they_are():
    """Quotes, backslashes, braces, COPY's own marks, template and SQL text: all of it is only text."""
    hostile = [
        "\\.",
        "\\N",
        '{"a","b"}',
        'say "hi"',
        "back\\slash\\",
        "tab\there",
        "{{ 7*7 }}",
        "'; DROP TABLE leads_lead; --",
        "%s %(now)s",
        "NULL",
        "‮evil",
        "😀𠮷髙﨑①㈱",
    ]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["姓", "備考"])
    for text in hostile:
        writer.writerow(["佐藤", text])
    bring_in(out.getvalue())
    assert list(Lead.objects.order_by("id").values_list("note", flat=True)) == hostile


def test_an_import_folds_as_the_database_does():
    """CHR-6: the text 簡易検索 looks through comes with the import; PostgreSQL's own folding finds nothing to change."""
    bring_in(
        "姓,名,姓(カナ),名(カナ),E-mailアドレス,会社名\n"
        "髙﨑①,𠮷㈱,ｻﾄｳﾞ,ヰヱヴヶ,Misaki.A@Example.JP,ＡＢＣ ÄÉ\\ﬁ か\u3099 ÀIİ ㌔\n"
        ",,,,,\n"
        "鈴木,,,,b..c.@docomo.ne.jp,\n"
        '"a\\tb",,"\\N",,,"{""x""}\n"\n'
    )
    brought = list(Lead.objects.order_by("id").values_list("search_text", flat=True))
    assert brought[:2] == [
        "高崎1吉(株) さとゔゐゑゔゖ abc ÄÉ\\fi が Àiİ きろ misaki.a@example.jp",
        "鈴木   b..c.@docomo.ne.jp",
    ]
    Lead.objects.update(search_text="-")
    assert list(Lead.objects.order_by("id").values_list("search_text", flat=True)) == brought


def test_shared_addresses_within_an_add_are_allowed_and_counted():
    make_lead("a@example.jp")
    lead_import = bring_in(
        "姓,E-mailアドレス\n佐藤,A@example.jp\n鈴木,b@example.jp\n田中,b@example.jp\n山田,c@example.jp\n"
    )
    assert (lead_import.counts["shared"], Lead.objects.count()) == (3, 5)


# ── updates ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_left_out_column_keeps_blank_cell_clears():
    """CSV-2: … except DM許可, which a blank never clears, and 配信停止, which no import sets."""
    lead = make_lead(
        "a@example.jp",
        company="ヤマテ",
        department="営業部",
        dm_permission="unwanted",
        unsubscribed_at=timezone.now(),
    )
    stopped_at = lead.unsubscribed_at
    lead_import = bring_in(f"リードID,会社名,DM許可,配信停止\n{lead.pk},,,\n", mode="update")
    lead.refresh_from_db()
    assert (lead.company, lead.department, lead.dm_permission) == ("", "営業部", "unwanted")
    assert lead.unsubscribed_at == stopped_at
    assert counts(lead_import) == {"new": 0, "update": 1, "unchanged": 0, "wrong": 0}


def test_blank_choice_cannot_be_cleared_by_an_update():
    lead = make_lead(registration="provisional")
    assert problems(check(f"リードID,登録ステータス\n{lead.pk},\n", mode="update")) == [
        (2, "登録ステータス", "not_blank")
    ]


def test_unsubscribing_and_the_flag_cannot_be_imported():
    """OPT-2, FLAG-5: such columns are ignored with a visible note."""
    lead = make_lead(company="旧", email_valid=False, email_failures=3)
    lead_import = bring_in(
        f"リードID,会社名,配信停止,有効フラグ,不達回数\n{lead.pk},新,1,有効,0\n", mode="update"
    )
    lead.refresh_from_db()
    assert (lead.company, lead.unsubscribed_at, lead.email_valid, lead.email_failures) == (
        "新",
        None,
        False,
        3,
    )
    assert [column["note"] for column in lead_import.columns] == [
        "",
        "",
        "ignored_unsubscribed",
        "ignored_flag",
        "ignored_flag",
    ]


def test_wanted_for_somebody_who_unsubscribed_is_refused_on_that_row():
    """OPT-2"""
    gone, other = (
        make_lead(unsubscribed_at=timezone.now()),
        make_lead("b@example.jp", dm_permission="unwanted"),
    )
    lead_import = check(f"リードID,DM許可\n{gone.pk},希望する\n{other.pk},希望する\n", mode="update")
    assert problems(lead_import) == [(2, "DM許可", "unsubscribed")]
    commit(lead_import, skip_wrong=True)
    gone.refresh_from_db(), other.refresh_from_db()
    assert (gone.dm_permission, other.dm_permission) == ("unwanted", "wanted")


def test_keys_that_are_missing_doubled_shared_or_deleted():
    """CSV-1"""
    lead, deleted = make_lead(), make_lead("x@example.jp", deleted_at=timezone.now())
    by_id = check(
        f"リードID,会社名\n{lead.pk},a\n{lead.pk},b\n{deleted.pk},c\n99999999999,d\n,e\nabc,f\n",
        mode="update",
    )
    assert problems(by_id) == [
        (2, "リードID", "key_twice"), (3, "リードID", "key_twice"), (4, "リードID", "lead_missing"),
        (5, "リードID", "lead_missing"), (6, "リードID", "key_blank"), (7, "リードID", "lead_id"),
    ]  # fmt: skip
    make_lead("s@example.jp"), make_lead("S@example.jp")
    by_email = check(
        "E-mailアドレス,会社名\nYOSHIO@yamate.example.jp,a\ns@example.jp,b\nnobody@example.jp,c\n,d\nx@example.jp,e\nq@@x,f\n",
        mode="update", key="email",
    )  # fmt: skip
    assert problems(by_email) == [
        (3, "E-mailアドレス", "address_shared"), (4, "E-mailアドレス", "address_missing"), (5, "E-mailアドレス", "key_blank"),
        (6, "E-mailアドレス", "address_missing"), (7, "E-mailアドレス", "email"),
    ]  # fmt: skip
    assert counts(by_email)["update"] == 1
    commit(by_email, skip_wrong=True)
    lead.refresh_from_db()
    assert (lead.company, lead.email) == ("a", "yoshio@yamate.example.jp")
    assert check("姓\n佐藤\n", mode="update").error["code"] == "key_missing"


@pytest.mark.parametrize(
    ("registration", "address", "back"),
    [
        ("full", "new@example.jp", True),
        ("provisional", "new@example.jp", False),  # FLAG-4
        ("full", " YOSHIO@yamate.example.jp", False),  # FLAG-6: the same address
        ("full", "", False),
    ],
)
def test_a_new_valid_address_brings_the_flag_back(registration, address, back):
    """FLAG-3 (CSV bulk update), FLAG-4, FLAG-6"""
    since = timezone.now() - timedelta(days=9)
    lead = make_lead(registration=registration, email_valid=False, email_failures=3, email_since=since)
    lead_import = bring_in(f"リードID,E-mailアドレス\n{lead.pk},{address}\n", mode="update")
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures) == ((True, 0) if back else (False, 3))
    same = "YOSHIO" in address
    assert lead.email_since == (since if same else lead_import.committed_at)
    assert (lead.email, lead.email_norm) == (address.strip(), address.strip().lower())


def test_registration_in_the_same_file_counts_for_the_flag():
    """FLAG-4: the registration after the import decides."""
    lead = make_lead(registration="provisional", email_valid=False)
    bring_in(f"リードID,E-mailアドレス,登録ステータス\n{lead.pk},new@example.jp,本登録\n", mode="update")
    lead.refresh_from_db()
    assert lead.email_valid


def test_custom_columns_are_updated_one_by_one():
    size, day, text = (
        LeadColumn.objects.create(label=label, type=kind)
        for label, kind in [("従業員数", "number"), ("契約日", "date"), ("メモ2", "text")]
    )
    lead = make_lead(extra={size.key: 5, day.key: "2026-01-01", text.key: "そのまま"})
    other = make_lead("b@example.jp", extra={size.key: 7})
    lead_import = bring_in(f"リードID,従業員数,契約日\n{lead.pk},12.50,\n{other.pk},７,\n", mode="update")
    lead.refresh_from_db()
    assert lead.extra == {size.key: 12.5, text.key: "そのまま"}
    assert counts(lead_import) == {"new": 0, "update": 1, "unchanged": 1, "wrong": 0}


def test_export_goes_back_in_unchanged():
    """CSV-3: leading zeros, formulas, quotes, a malformed address and read-only columns survive the way out and in."""
    column = LeadColumn.objects.create(label="内線", type="text")
    make_lead(
        "a@example.jp",
        last_name="=1+1",
        first_name="'=x",
        company="-ヤマテ",
        postal_code="0123",
        phone="+81-3",
        note='@a\n"b"',
        extra={column.key: "'quoted"},
    )
    make_lead("broken@@address", email_malformed=True, last_name="''x")
    fields = [
        "last_name",
        "first_name",
        "email",
        "company",
        "postal_code",
        "phone",
        "note",
        "dm_permission",
        "registration",
    ]
    header = [
        "リードID",
        *(str(Lead._meta.get_field(name).verbose_name) for name in fields),
        "内線",
        "登録日時",
        "E-mailアドレスの有効フラグ",
    ]
    rows = [
        [
            lead.pk,
            *(getattr(lead, name) for name in fields),
            lead.extra.get(column.key, ""),
            lead.created_at,
            lead.email_valid,
        ]
        for lead in Lead.objects.order_by("id")
    ]
    lead_import = check("".join(csv_lines(header, rows)), mode="update")
    assert counts(lead_import) == {"new": 0, "update": 0, "unchanged": 2, "wrong": 0}, problem_lines(
        lead_import, 9
    )


def test_excels_way_to_keep_zeros_is_undone():
    """CSV-3"""
    bring_in('姓,郵便番号,電話番号\n佐藤,="0123","=""03-1"""\n')
    assert Lead.objects.values_list("postal_code", "phone").get() == ("0123", "03-1")


# ── evidence, audit, state ─────────────────────────────────────────────────────────────────────────────────────────


def test_consent_is_recorded_with_its_evidence():
    """OPT-10: for every new lead, and for every DM許可 an update changes."""
    user = make_user()
    bring_in("姓,DM許可\n佐藤,希望する\n鈴木,希望しない\n", evidence="card", file_name="名刺.csv", user=user)
    assert list(ConsentRecord.objects.order_by("lead_id").values_list("change", "evidence", "source", "user")) == [
        ("granted", "card", "名刺.csv", user.pk), ("refused", "card", "名刺.csv", user.pk),
    ]  # fmt: skip
    first, second = Lead.objects.order_by("id")
    bring_in(f"リードID,DM許可\n{first.pk},希望しない\n{second.pk},希望しない\n", mode="update", user=user)
    assert list(first.consent_records.values_list("change", flat=True)) == ["refused", "granted"]
    assert second.consent_records.count() == 1


def test_a_commit_stands_in_the_audit_log():
    """SYS-2"""
    user = make_user()
    lead_import = bring_in(HEADER + YOSHIO, user=user)
    entry = AuditEntry.objects.get(action="lead_import.commit")
    assert (entry.user, entry.target_id, entry.detail["written"]) == (user, str(lead_import.pk), 1)


def test_committing_twice_writes_once():
    """CSV-1: a second request, a second worker, a message that comes again."""
    lead_import = check(HEADER + YOSHIO)
    stale = LeadImport.objects.get(pk=lead_import.pk)
    assert request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    assert not request_commit(stale, skip_wrong=False, user=None, now=timezone.now())
    for _again in range(3):
        commit_import(lead_import)
        stage_import(lead_import)
    assert Lead.objects.count() == 1


def test_leads_that_changed_since_the_check_stop_the_commit():
    """CSV-1: rows are judged again inside the commit; other verdicts are shown before anything is written."""
    lead = make_lead(company="旧")
    lead_import = check(f"リードID,会社名\n{lead.pk},新\n", mode="update")
    Lead.objects.filter(pk=lead.pk).update(deleted_at=timezone.now())
    commit(lead_import)
    assert (lead_import.state, lead_import.changed_since) == (LeadImport.State.CHECKED, True)
    assert counts(lead_import) == {"new": 0, "update": 0, "unchanged": 0, "wrong": 1}
    lead.refresh_from_db()
    assert lead.company == "旧"


def test_own_columns_that_changed_since_the_check_make_it_check_again():
    column = LeadColumn.objects.create(label="業種", type="choice", choices=["製造"])
    lead_import = check("姓,業種\n佐藤,製造\n")
    column.choices = ["小売"]
    column.save()
    commit(lead_import)
    assert (lead_import.state, Lead.objects.count()) == (LeadImport.State.UPLOADED, 0)
    stage_import(lead_import)
    assert problems(lead_import)[0][2] == "choice" if lead_import.columns else True
    lead_import.refresh_from_db()
    assert problems(lead_import) == [(2, "業種", "choice")]


def test_cancelled_imports_write_nothing():
    lead_import = check(HEADER + YOSHIO)
    assert cancel(lead_import, user=None)
    assert not cancel(lead_import, user=None)
    assert not request_commit(lead_import, skip_wrong=False, user=None, now=timezone.now())
    commit_import(lead_import)
    assert Lead.objects.count() == 0


def test_imports_without_a_worker_are_taken_up_once_a_minute():
    """SYS-3"""
    now = timezone.now()
    lead_import = upload(
        [b"last_name\nSato\n"], file_name="a.csv", mode="add", key="id", evidence="import", user=None
    )
    assert imports_to_take_up(now) == [(lead_import.pk, "uploaded")]
    assert imports_to_take_up(now + timedelta(seconds=30)) == []
    assert imports_to_take_up(now + timedelta(seconds=61)) == [(lead_import.pk, "uploaded")]


def test_files_are_forgotten_a_month_after_the_end():
    lead_import = bring_in(HEADER + YOSHIO)
    forget_old_files(timezone.now() + timedelta(days=29))
    assert lead_import.chunks.count() == 1
    forget_old_files(timezone.now() + timedelta(days=31))
    assert (lead_import.chunks.count(), lead_import.staged_rows.count()) == (0, 0)
    assert LeadImport.objects.filter(pk=lead_import.pk).exists()


# ── what people see ────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_show_old_and_new_values(django_assert_num_queries):
    leads = [make_lead(f"{n}@example.jp", company="旧", dm_permission="unwanted") for n in range(3)]
    lead_import = check(
        "リードID,会社名,DM許可\n" + "".join(f"{lead.pk},新,希望する\n" for lead in leads), mode="update"
    )
    rows = list(lead_import.staged_rows.order_by("line"))
    for some in (rows[:1], rows):
        with django_assert_num_queries(1):
            shown = rows_shown(lead_import, some)
    assert [(value.label, value.old, value.new) for value in shown[0].values] == [
        ("会社名", "旧", "新"),
        ("DM許可", "希望しない", "希望する"),
    ]


def test_file_of_wrong_rows_goes_back_in_once_corrected():
    """CSV-1: the rows as they stand in the file, with row, column and reason behind them."""
    with translation.override("en"):
        lead_import = check(
            '姓,E-mailアドレス,備考\n佐藤,a@@example.jp,=1+1\n\n鈴木,b@example.jp,"x\ny"\n田中,短い\n'
        )
        lines = list(csv.reader(io.StringIO("".join(wrong_rows_csv(lead_import)).removeprefix("\ufeff"))))
    assert lines[0] == ["姓", "E-mailアドレス", "備考", "Row", "Column", "Reason"]
    assert lines[1][:5] == ["佐藤", "a@@example.jp", "'=1+1", "2", "E-mailアドレス"]
    assert lines[2][:5] == ["田中", "短い", "", "5", ""]
    lines[1][1] = lines[2][1] = "c@example.jp"
    out = io.StringIO()
    csv.writer(out).writerows(lines)
    bring_in(out.getvalue())
    assert Lead.objects.order_by("id").first().note == "=1+1"


def test_every_code_has_words():
    for texts in (FILE, ROW, NOTE):
        assert all(str(text).strip() for text in texts.values())


def test_a_hundred_thousand_rows():
    """CSV-1: a big file goes through, in several pieces and batches."""
    data = b"".join(
        [
            b"last_name,email\n",
            *(b"Sato,taro.%d@company%d.example.jp\n" % (n, n % 97) for n in range(100_000)),
        ]
    )
    lead_import = bring_in(data)
    assert (counts(lead_import)["new"], Lead.objects.count()) == (100_000, 100_000)
    assert lead_import.progress == lead_import.rows == 100_000

"""リード(申込者): list, searches (EXC-5), export (CSV-3), the lead's page, its form, リード項目. SYS-1, SYS-2."""

import csv
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from leads import lead_list
from leads.consent import unsubscribe
from leads.lead_list import find_page
from leads.models import Lead, LeadColumn, SavedSearch
from leads.search_text import fold
from settings.models import AuditEntry
from tests.factories import make_lead, make_user

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@pytest.fixture
def misaki(client, db):
    user = make_user("misaki")
    client.force_login(user)
    return user


def found(client, **parameters):
    response = client.get(f"/leads/?{urlencode(parameters)}")
    assert response.status_code == 200
    return [lead.email for lead in response.context["page_obj"].object_list]


@pytest.fixture
def people(misaki):
    make_lead(
        "a@a.jp", last_name="髙橋", first_name="𠮷男", last_name_kana="タカハシ", first_name_kana="ヨシオ", company="㈱山手製作所",
        department="生産技術部", prefecture="神奈川県", created_at=datetime(2026, 11, 19, 15, 0, tzinfo=UTC),  # 20 Nov, 0:00 in Japan
    )  # fmt: skip
    make_lead(
        "b@B.jp", last_name="佐藤", first_name="美咲", last_name_kana="サトウ", first_name_kana="ミサキ", company="海岸物産", kind="speaker",
        registration="provisional", dm_permission="unwanted", created_at=datetime(2026, 11, 20, 14, 59, tzinfo=UTC),
    )  # fmt: skip
    make_lead(
        "c@a.jp", last_name="鈴木", first_name="健太", last_name_kana="スズキ", first_name_kana="ケンタ", email_valid=False,
        unsubscribed_at=NOW, created_at=datetime(2026, 11, 20, 15, 0, tzinfo=UTC),
    )  # fmt: skip
    make_lead("", last_name="無名", first_name="", created_at=datetime(2026, 11, 22, tzinfo=UTC))
    make_lead("deleted@a.jp", last_name="髙橋", deleted_at=NOW)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("髙橋", ["a@a.jp"]),
        ("高橋 吉男", ["a@a.jp"]),
        ("高橋吉男", ["a@a.jp"]),
        ("ﾀｶﾊｼ", ["a@a.jp"]),
        ("さとう", ["b@B.jp"]),
        ("(株)山手", ["a@a.jp"]),
        ("B@b.JP", ["b@B.jp"]),
        ("ｃ＠ａ．ｊｐ", ["c@a.jp"]),
        ("a.jp", ["c@a.jp", "a@a.jp"]),
        ("100%", []),
        ("_", []),
        ("\\", []),
        ("' OR 1=1 --", []),
        ("", ["", "c@a.jp", "b@B.jp", "a@a.jp"]),
        ("9" * 30, []),
        ("a\0b", []),
    ],
)
def test_quick_search(client, people, typed, expected):
    """簡易検索: widths, kana and old forms of characters make no difference; wildcards are plain characters."""
    if "\0" in typed:
        assert "q" in client.get(f"/leads/?{urlencode({'q': typed})}").context["filter"].form.errors
    assert found(client, q=typed) == expected


def test_quick_search_by_id(client, people):
    lead = Lead.objects.get(email="b@B.jp")
    assert "b@B.jp" in found(client, q=str(lead.pk))
    assert "b@B.jp" in found(client, q=f"#{lead.pk}")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"email_valid": "0"}, ["c@a.jp"]),
        ({"email_valid": "1"}, ["", "b@B.jp", "a@a.jp"]),
        ({"dm_permission": "wanted"}, ["", "a@a.jp"]),
        ({"dm_permission": "unwanted"}, ["c@a.jp", "b@B.jp"]),
        ({"unsubscribed": "yes"}, ["c@a.jp"]),
        ({"unsubscribed": "no"}, ["", "b@B.jp", "a@a.jp"]),
        ({"registration": "provisional"}, ["b@B.jp"]),
        ({"kind": "speaker"}, ["b@B.jp"]),
        ({"name": "𠮷男"}, ["a@a.jp"]),
        ({"name": "佐藤 美咲"}, ["b@B.jp"]),
        ({"kana": "ケン"}, ["c@a.jp"]),
        ({"company": "物産"}, ["b@B.jp"]),
        ({"department": "技術"}, ["a@a.jp"]),
        ({"prefecture": "神奈川"}, ["a@a.jp"]),
        ({"email": "B@B"}, ["b@B.jp"]),
        ({"no_email": "on"}, [""]),
        ({"created_from": "2026-11-20", "created_to": "2026-11-20"}, ["b@B.jp", "a@a.jp"]),
        ({"created_from": "2026-11-21"}, ["", "c@a.jp"]),
        ({"created_to": "9999-12-31", "created_from": "0001-01-01"}, ["", "c@a.jp", "b@B.jp", "a@a.jp"]),
        ({"company": "物産", "dm_permission": "wanted"}, []),
        ({"registration": "odd"}, []),
        ({"created_from": "yesterday"}, []),
    ],
)
def test_detailed_search(client, people, parameters, expected):
    """EXC-5: 有効フラグ and DM許可 and all the others; what cannot be read finds nobody."""
    assert found(client, **parameters) == expected


def test_search_by_own_columns(client, misaki):
    columns = {
        kind: LeadColumn.objects.create(
            label=kind, type=kind, choices=["製造", "小売"] if kind == "choice" else []
        )
        for kind in ("text", "number", "date", "choice")
    }
    key = {kind: column.key for kind, column in columns.items()}
    make_lead(
        "a@a.jp",
        extra={key["text"]: "工場 東", key["number"]: 9, key["date"]: "2026-01-05", key["choice"]: "製造"},
    )
    make_lead(
        "b@a.jp",
        extra={key["text"]: "本社", key["number"]: 100, key["date"]: "2026-02-01", key["choice"]: "小売"},
    )
    make_lead("c@a.jp")
    for parameters, expected in [
        ({f"column_{key['text']}": "東"}, ["a@a.jp"]),
        ({f"column_{key['number']}_from": "10"}, ["b@a.jp"]),
        ({f"column_{key['number']}_to": "9.5"}, ["a@a.jp"]),
        ({f"column_{key['date']}_from": "2026-01-05", f"column_{key['date']}_to": "2026-01-31"}, ["a@a.jp"]),
        ({f"column_{key['choice']}": "小売"}, ["b@a.jp"]),
    ]:
        assert found(client, **parameters) == expected


@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_takes_the_same_queries(client, misaki, django_assert_num_queries, rows):
    LeadColumn.objects.create(label="業種", type="choice", choices=["製造"])
    for number in range(rows):
        make_lead(f"{number}@a.jp")
    with django_assert_num_queries(
        6
    ):  # session, user, own columns, rows per page, how many and who, the page's rows
        assert len(found(client)) == rows


def test_sorting(client, people):
    assert found(client, sort="kana") == ["", "b@B.jp", "c@a.jp", "a@a.jp"]
    assert found(client, sort="-email") == ["c@a.jp", "b@B.jp", "a@a.jp", ""]
    assert found(client, sort="created_at")[0] == "a@a.jp"
    assert (
        found(client, sort="extra; DROP TABLE")
        == found(client, sort="-id")
        == ["", "c@a.jp", "b@B.jp", "a@a.jp"]
    )


def test_counts_stop_at_a_limit_and_go_on_when_asked(db, monkeypatch):
    """10,000件以上 is said when it is so; nothing is guessed."""
    monkeypatch.setattr(lead_list, "COUNT_LIMIT", 4)
    monkeypatch.setattr(lead_list, "DEEPEST", 3)
    for number in range(5):
        make_lead(f"{number}@a.jp")
    leads = Lead.objects.existing()
    page = find_page(leads, sort="email", page=2, size=2)
    assert (page.total, page.more, page.cut) == (4, True, True)
    assert [lead.email for lead in page.page_obj.object_list] == ["2@a.jp"]
    exact = find_page(leads, sort="email", page=1, size=2, exact=True)
    assert (exact.total, exact.more, exact.cut) == (5, False, True)
    few = find_page(leads.filter(email__lt="2"), sort="-email", page="last", size=2)
    assert (few.total, few.more, few.cut, [lead.email for lead in few.page_obj.object_list]) == (
        2,
        False,
        False,
        ["1@a.jp", "0@a.jp"],
    )


def test_paging_and_size(client, misaki):
    Lead.objects.bulk_create(Lead(email=f"{n:03}@a.jp", email_norm=f"{n:03}@a.jp") for n in range(120))
    assert len(found(client)) == 50
    assert len(found(client, size=100, page=2)) == 20
    assert len(found(client, size=7, page="99")) == 20  # an odd size is 50, a page too far is the last


def test_folding_is_the_databases(db):
    """CHR-6: folding is for searching; Python and PostgreSQL fold alike."""
    odd = "髙﨑𠮷①㈱😀ｱﾞヴー ＡＢc ÄÉ ㌔ か\u3099 ｶﾞ ヰヱ ﬁ"
    lead = make_lead("X@Y.jp", last_name=odd, first_name="")
    lead.refresh_from_db()
    assert lead.search_text.split(" ") == fold(f"{odd}   X@Y.jp").split(" ")
    assert lead.last_name == odd


def test_export(client, people):
    """CSV-3: what is shown, safe for a spreadsheet, zeros kept; SYS-2: audited."""
    column = LeadColumn.objects.create(label="=業種", type="text")
    Lead.objects.filter(email="a@a.jp").update(
        company="=1+1", phone="0312345678", postal_code="0010001", extra={column.key: "@x"}
    )
    response = client.post("/leads/export/?q=髙橋")
    rows = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))
    assert len(rows) == 2
    row = dict(zip(rows[0], rows[1], strict=True))
    assert (row["会社名"], row["電話番号"], row["郵便番号"], row["'=業種"]) == (
        "'=1+1",
        "0312345678",
        "0010001",
        "'@x",
    )
    assert (row["DM許可"], row["登録ステータス"], row["登録日時"]) == (
        "希望する",
        "本登録",
        "2026-11-20 00:00:00",
    )
    entry = AuditEntry.objects.get(action="lead.export")
    assert entry.detail == {"filter": {"q": "髙橋"}, "leads": 1}
    assert client.get("/leads/export/").status_code == 405
    assert client.post("/leads/export/?registration=odd").status_code == 302  # never more than was asked for


def test_an_empty_system_points_to_the_import(client, misaki):
    assert "リードはまだありません" in client.get("/leads/").content.decode()


PAGES = [
    ("leads", "misaki yui"),
    ("new_lead", "misaki"),
    ("lead_columns", "misaki"),
    ("new_lead_column", "misaki"),
]


def test_who_may_open_what(client, db):
    """SYS-1: campaign administrators only inside their campaign."""
    lead, column = make_lead(), LeadColumn.objects.create(label="業種", type="text")
    pages = [(reverse(name), allowed) for name, allowed in PAGES] + [
        (f"/leads/{lead.pk}/", "misaki yui"),
        (f"/leads/{lead.pk}/edit/", "misaki"),
        (f"/leads/{lead.pk}/delete/", "misaki"),
        (f"/leads/columns/{column.pk}/", "misaki"),
        (f"/leads/columns/{column.pk}/delete/", "misaki"),
    ]
    for url, _allowed in pages:
        assert client.get(url).status_code == 302
    for name, role in [("misaki", "privileged"), ("kenta", "campaign"), ("yui", "viewer")]:
        client.force_login(make_user(name, role=role))
        for url, allowed in pages:
            assert client.get(url).status_code == (200 if name in allowed else 403), (name, url)
        if name == "yui":
            assert client.post(f"/leads/{lead.pk}/delete/", {"confirmed": "1"}).status_code == 403
            assert f"/leads/{lead.pk}/edit/" not in client.get(f"/leads/{lead.pk}/").content.decode()
    assert Lead.objects.existing().count() == 1


def test_unknown_leads_are_404(client, misaki):
    for path in ("", "edit/", "delete/"):
        assert client.get(f"/leads/999999999/{path}").status_code == 404
        assert client.get(f"/leads/{'9' * 40}/{path}").status_code == 404
    assert client.get("/leads/columns/999/").status_code == 404


def test_names_are_not_html(client, misaki):
    evil = "<script>alert(1)</script>"
    lead = make_lead("x@a.jp", last_name=evil, first_name='"><img src=x>', company=evil, note=evil)
    LeadColumn.objects.create(label=evil, type="text")
    for url in (
        "/leads/",
        f"/leads/{lead.pk}/",
        f"/leads/{lead.pk}/edit/",
        f"/leads/{lead.pk}/delete/",
        "/leads/columns/",
        f"/leads/?q={evil}",
    ):
        page = client.get(url).content.decode()
        assert "<script>alert" not in page and "<img src=x" not in page
        assert "&lt;script&gt;" in page


def test_the_leads_page_tells_consent_and_history(client, misaki):
    """OPT-10, SYS-2."""
    lead = make_lead("x@a.jp", company="山手")
    post(client, lead, company="山手製作所")
    lead.refresh_from_db()
    unsubscribe(lead, evidence="one_click", source="第1報", ip="192.0.2.9", now=NOW)
    page = client.get(f"/leads/{lead.pk}/").content.decode()
    for text in ("配信停止", "第1報", "192.0.2.9", "山手 → 山手製作所", "佐藤 美咲", "希望する → 希望しない"):
        assert text in page


def fields_of(client, url):
    form = client.get(url).context["form"]
    return {name: "" if form[name].value() is None else form[name].value() for name in form.fields}


def post(client, lead, **changes):
    url = f"/leads/{lead.pk}/edit/"
    return client.post(url, fields_of(client, url) | changes)


def test_registering(client, misaki):
    column = LeadColumn.objects.create(label="従業員数", type="number")
    values = fields_of(client, "/leads/new/") | {
        "last_name": "髙﨑",
        "email": "ｙ@a.jp",
        "company": "㈱😀",
        f"column_{column.pk}": "１２",
    }
    assert values["dm_permission"] == "wanted"
    response = client.post("/leads/new/", values, follow=True)
    lead = Lead.objects.get()
    assert response.redirect_chain == [(f"/leads/{lead.pk}/", 302)]
    assert (lead.last_name, lead.email, lead.company, lead.extra) == (
        "髙﨑",
        "y@a.jp",
        "㈱😀",
        {column.key: 12},
    )
    assert "全角文字を半角にしました" in response.content.decode()  # CHR-4: a visible note
    assert [(r.change, r.evidence, r.user) for r in lead.consent_records.all()] == [
        ("granted", "admin", misaki)
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "a..b@a.jp"),
        ("email", "a@b.jp;c@d.jp"),
        ("company", "x" * 201),
        ("last_name", "a\0"),
        ("kind", "king"),
    ],
)
def test_faults_stand_beside_the_field(client, misaki, name, value):
    lead = make_lead("x@a.jp", company="山手")
    response = post(client, lead, **{name: value})
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [name]
    if name == "email":
        assert "入力形式を確認してください。" in response.content.decode()
    lead.refresh_from_db()
    assert (lead.email, lead.company) == ("x@a.jp", "山手")


def test_a_typo_is_asked_about_and_taken_with_one_click(client, misaki):
    """CHR-4: proposed, never changed by itself."""
    lead = make_lead("x@a.jp")
    url = f"/leads/{lead.pk}/edit/"
    asked = post(client, lead, email="x@gamil.com")
    assert asked.context["suggestion"] == {
        "typed": "x@gamil.com",
        "meant": "x@gmail.com",
        "keep": "x@gamil.com",
    }
    assert Lead.objects.get().email == "x@a.jp"
    typed = fields_of(client, url) | {"email": "x@gamil.com"}
    assert client.post(url, typed | {"use_suggestion": "x@gmail.com"}).status_code == 302
    assert Lead.objects.get().email == "x@gmail.com"
    typed["seen_at"] = fields_of(client, url)["seen_at"]
    assert client.post(url, typed | {"keep_address": "x@gamil.com"}).status_code == 302
    assert Lead.objects.get().email == "x@gamil.com"
    wrong = post(client, lead, email="x@a。jp", keep_address="x@a。jp")
    assert wrong.context["suggestion"]["meant"] == "x@a.jp" and Lead.objects.get().email == "x@gamil.com"


def test_the_flag_in_the_form(client, misaki):
    """FLAG-3, FLAG-5: a new address switches it on though the form says 無効; the flag can be set by hand."""
    lead = make_lead("x@a.jp", email_valid=False, email_failures=3)
    post(client, lead, email="y@a.jp")
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures) == (True, 0)
    post(client, lead, email_valid="0")
    lead.refresh_from_db()
    assert (lead.email, lead.email_valid) == ("y@a.jp", False)


def test_wanted_for_somebody_who_unsubscribed(client, misaki):
    """OPT-2: refused beside the field."""
    lead = make_lead("x@a.jp", unsubscribed_at=NOW)
    response = post(client, lead, dm_permission="wanted", company="山手")
    assert "dm_permission" in response.context["form"].errors
    assert Lead.objects.values_list("dm_permission", "company").get() == ("unwanted", "")


def test_two_administrators(client, misaki):
    """Not saved; told what changed; what each typed is kept; the second save goes through."""
    lead = make_lead("x@a.jp", company="山手", department="営業", updated_at=NOW - timedelta(days=1))
    url = f"/leads/{lead.pk}/edit/"
    opened = fields_of(client, url)
    client.force_login(make_user("kenta"))
    client.post(url, opened | {"company": "山手製作所"})
    client.force_login(misaki)
    response = client.post(url, opened | {"department": "総務"})
    assert response.status_code == 409
    page = response.content.decode()
    assert "山手 → 山手製作所" in page and "鈴木 健太" in page
    lead.refresh_from_db()
    assert (lead.company, lead.department) == ("山手製作所", "営業")
    again = {name: response.context["form"][name].value() or "" for name in opened}
    assert client.post(url, again).status_code == 302
    lead.refresh_from_db()
    assert (lead.company, lead.department) == ("山手製作所", "総務")


@pytest.mark.parametrize(
    "seen_at", ["", "yesterday", "2026-99-99T00:00:00+00:00", "2026-11-21T00:00:00", "9" * 40]
)
def test_an_odd_time_counts_as_never_seen(client, misaki, seen_at):
    lead = make_lead("x@a.jp", company="山手")
    assert post(client, lead, seen_at=seen_at, company="海岸").status_code == 409
    assert Lead.objects.get().company == "山手"


def test_deleting_asks_first(client, misaki):
    lead = make_lead("x@a.jp")
    assert "削除しますか" in client.get(f"/leads/{lead.pk}/delete/").content.decode()
    client.post(f"/leads/{lead.pk}/delete/")
    assert Lead.objects.existing().count() == 1
    assert client.post(f"/leads/{lead.pk}/delete/", {"confirmed": "1"}).status_code == 302
    assert found(client) == []
    assert client.get(f"/leads/{lead.pk}/").status_code == 410
    assert client.get(f"/leads/{lead.pk}/edit/").status_code == 404


def test_lead_items(client, misaki):
    """リード項目: made, changed, and deleted only when no saved search and no lead's choice is in the way."""
    values = {"label": "業種", "type": "choice", "choices_text": "製造\n小売\n製造\n", "position": "2"}
    assert client.post("/leads/columns/new/", values).status_code == 302
    column = LeadColumn.objects.get()
    assert (column.label, column.type, column.choices, column.position) == (
        "業種",
        "choice",
        ["製造", "小売"],
        2,
    )
    make_lead("x@a.jp", extra={column.key: "製造"})
    edit = f"/leads/columns/{column.pk}/"
    refused = client.post(edit, values | {"choices_text": "小売"})
    assert "choices_text" in refused.context["form"].errors
    assert (
        client.post(edit, values | {"label": "業界", "type": "text", "choices_text": "製造\nIT"}).status_code
        == 302
    )
    column.refresh_from_db()
    assert (column.label, column.type, column.choices) == ("業界", "choice", ["製造", "IT"])

    search = SavedSearch.objects.create(
        name="製造業", condition={"match": "all", "blocks": [{"item": f"column.{column.pk}"}]}
    )
    client.post(f"{edit}delete/", {"confirmed": "1"})
    assert LeadColumn.objects.exists()
    search.delete()
    client.post(f"{edit}delete/")
    assert LeadColumn.objects.exists()
    client.post(f"{edit}delete/", {"confirmed": "1"})
    assert not LeadColumn.objects.exists()
    assert Lead.objects.get().extra == {}
    assert list(AuditEntry.objects.values_list("action", flat=True)) == [
        "lead_column.delete",
        "lead_column.edit",
        "lead_column.create",
    ]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"label": ""}, "label"),
        ({"label": "業種"}, "label"),
        ({"type": "choice"}, "choices_text"),
        ({"type": "x"}, "type"),
        ({"position": "-1"}, "position"),
    ],
)
def test_lead_items_are_checked(client, misaki, values, field):
    LeadColumn.objects.create(label="業種", type="text")
    response = client.post(
        "/leads/columns/new/", {"label": "規模", "type": "text", "choices_text": "", "position": ""} | values
    )
    assert list(response.context["form"].errors) == [field]


def test_search_text_is_never_stale(db):
    """Whatever writes a lead, raw SQL and a save() of an old copy too, the folded text is that of its values."""
    lead = make_lead("x@y.jp", last_name="髙橋", first_name="太郎", company="ＡＢＣ商事")
    old_copy = Lead.objects.get(pk=lead.pk)
    Lead.objects.filter(pk=lead.pk).update(company="カナ工業", email="Z@Y.jp")
    lead.refresh_from_db()
    assert lead.search_text == "高橋太郎  かな工業 z@y.jp"
    old_copy.note = "saved whole"
    old_copy.save()
    lead.refresh_from_db()
    assert lead.search_text == "高橋太郎  abc商事 x@y.jp"
    Lead.objects.filter(pk=lead.pk).update(search_text="somebody else")
    lead.refresh_from_db()
    assert lead.search_text == "高橋太郎  abc商事 x@y.jp"

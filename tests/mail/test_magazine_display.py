"""「デフォルト表示設定」 (OPT-8) and 「フォーム」: own texts, design, previews, snippets."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from mail import links
from mail.magazines import form_design, form_texts
from mail.magazines.form_design import Design
from mail.models import ReaderRequest
from settings.models import AuditEntry
from tests.factories import make_user
from tests.mail.magazine_scene import make_item, make_magazine

pytestmark = pytest.mark.django_db
NASTY = "<script>alert(1)</script>\"&'髙﨑𠮷①㈱😀</p>"


def path_of(url):
    return "/" + url.split("/", 3)[3]


@pytest.fixture
def magazine():
    return make_magazine()


@pytest.fixture
def staff(client):
    client.force_login(make_user("misaki"))
    return client


def test_opt_8_the_standard_texts_say_that_it_is_not_done_yet(magazine):
    """In both languages, on every page before the act; and the last one that a mail may still arrive (OPT-6)."""
    for page in form_texts.PAGES:
        for language in form_texts.LANGUAGES:
            shown = form_texts.texts(magazine, page.key, language)
            assert all(shown.values())
            assert (
                shown["title"]
                != form_texts.texts(magazine, page.key, "en" if language == "ja" else "ja")["title"]
            )
            if page.confirms:
                assert form_texts.says_not_yet(shown, language), (page.key, language)
    assert "行き違い" in form_texts.text(magazine, "left", "body", "ja")


def test_own_texts_are_shown_and_escaped(staff, magazine):
    url = f"/magazines/{magazine.pk}/display/leave_confirm/"
    answer = staff.post(
        url,
        {
            "title": f"  解除します\n{NASTY}",
            "body": "一行目\r\n\r\n二行目",
            "warning": "",
            "button": "",
            "title_en": "Leave us",
        },
    )
    assert answer.status_code == 302
    magazine.refresh_from_db()
    assert set(magazine.texts["leave_confirm"]) == {"title", "title_en", "body"}
    page = (
        Client()
        .post(path_of(links.leave_url(magazine.pk)), {"email": "a@yamate.example.jp"})
        .content.decode()
    )
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "一行目</p>" in page
    assert "まだ完了していません" in page  # left empty: the standard
    english = Client().post(
        path_of(links.leave_url(magazine.pk)) + "?lang=en", {"email": "a@yamate.example.jp"}
    )
    assert "Leave us" in english.content.decode()
    entry = AuditEntry.objects.get(action="magazine.texts")
    assert entry.detail["version"] == form_texts.form_version(magazine)


def test_back_to_the_standard(staff, magazine):
    """Saved empty, as the standard text itself, or by the button."""
    url = f"/magazines/{magazine.pk}/display/left/"
    standard = form_texts.standard("left", "title", "ja")
    for values in ({"title": ""}, {"title": standard}, {"title": "別の見出し", "standard": "1"}):
        staff.post(url, {"title": "別の見出し"})
        magazine.refresh_from_db()
        assert form_texts.text(magazine, "left", "title", "ja") == "別の見出し"
        staff.post(url, values)
        magazine.refresh_from_db()
        assert magazine.texts == {}


def test_opt_8_an_unclear_confirmation_is_warned_of(staff, magazine):
    """Whoever takes the warning out of a confirmation text reads what may happen, at once and in the list."""
    url = f"/magazines/{magazine.pk}/display/leave_confirm/"
    said = {
        "title": "配信解除",
        "warning": "ご確認ください",
        "body": "ボタンを押してください。",
        "button": "解除",
    }
    page = staff.post(url, said, follow=True).content.decode()
    assert "まだ完了していない" in page
    assert "読み取れません" in staff.get(f"/magazines/{magazine.pk}/display/").content.decode()
    staff.post(url, said | {"body": "まだ完了していません。"})
    assert "読み取れません" not in staff.get(f"/magazines/{magazine.pk}/display/").content.decode()


def test_too_long_and_hostile_texts(magazine):
    with pytest.raises(ValidationError) as problem:
        form_texts.clean("left", {"title": "あ" * 101, "body": "い" * 2001})
    assert set(problem.value.message_dict) == {"title", "body"}
    kept = form_texts.clean("left", {"title": "a\0b\r\nc", "body": "x\0\ud800y", "other": "no"})
    assert kept == {"title": "ab c", "body": "xy"}


def test_consent_names_the_wording_that_was_seen(magazine):
    """OPT-10: other words, another version; a change elsewhere keeps it."""
    now = timezone.now()
    first = form_texts.form_version(magazine)
    changed = form_texts.save_texts(magazine, "left", {"title": "さようなら"}, user=None, now=now)
    assert form_texts.form_version(changed) == first
    changed = form_texts.save_texts(magazine, "register", {"consent": "同意します"}, user=None, now=now)
    assert form_texts.form_version(changed) != first


# ---- design


@pytest.mark.parametrize(
    "accent",
    [
        "red",
        "#fff",
        "#12345g",
        "#1f5fbf;}",
        "url(//x.example)",
        "#ffff00",
        "#1f5fbf</style>",
        "expression(1)",
        "\0",
        "#１２３４５６",
    ],
)
def test_only_readable_colours_get_into_the_style_sheet(magazine, accent):
    """Strict CSP: the sheet is made of checked values, whatever stands in the database."""
    with pytest.raises(ValidationError):
        form_design.clean({"accent": accent})
    magazine.design = {"accent": accent, "width": "100vw;}", "heading": NASTY}
    if not re.fullmatch("#[0-9a-f]{6}", accent):
        assert form_design.design_of(magazine).accent == form_design.ACCENT
    assert form_design.design_of(magazine).width == "normal"


def test_a_pale_colour_is_refused_with_a_darker_one():
    with pytest.raises(ValidationError, match="#") as problem:
        form_design.clean({"accent": "#FFCC00"})
    darker = re.search("#[0-9a-f]{6}", problem.value.message_dict["accent"][0])[0]
    assert form_design.contrast(darker) >= 4.5
    assert form_design.clean({"accent": darker}).accent == darker


def test_the_design_is_a_style_sheet_of_its_own(staff, magazine):
    answer = staff.post(
        f"/magazines/{magazine.pk}/display/design/",
        {"accent": "#8a1538", "width": "narrow", "heading": NASTY},
    )
    assert answer.status_code == 302
    page = Client().get(path_of(links.register_url(magazine.pk))).content.decode()
    assert "<style" not in page
    assert "&lt;script&gt;" in page
    sheet = Client().get(re.search(r'href="(/mm/[^"]+style.css\?v=\w+)"', page)[1])
    assert sheet["Content-Type"] == "text/css; charset=utf-8"
    assert "--accent:#8a1538" in sheet.content.decode()
    assert "max-width:32rem" in sheet.content.decode()
    staff.post(f"/magazines/{magazine.pk}/display/design/", {"accent": "#8a1538", "standard": "1"})
    magazine.refresh_from_db()
    assert form_design.design_of(magazine) == Design()


# ---- previews


@pytest.mark.parametrize("page", [page.key for page in form_texts.PAGES])
def test_every_page_has_a_preview(staff, magazine, page):
    make_item(magazine, NASTY[:50])
    url = f"/magazines/{magazine.pk}/display/{page}/preview/"
    for answer in (staff.get(url), staff.get(url + "?lang=en"), staff.post(url, {"title": NASTY})):
        assert answer.status_code == 200
        assert answer["Content-Security-Policy"].endswith("; sandbox")
        assert "form-action 'none'" in answer["Content-Security-Policy"]
        assert "<script>alert" not in answer.content.decode()
    assert "&lt;script&gt;" in answer.content.decode()  # what is not saved yet
    magazine.refresh_from_db()
    assert magazine.texts == {}


def test_a_design_can_be_looked_at_before_it_is_saved(staff, magazine):
    url = f"/magazines/{magazine.pk}/display/register/preview/"
    page = staff.post(
        url, {"design": "1", "accent": "#8a1538", "width": "wide", "heading": "通信"}
    ).content.decode()
    assert "--accent:#8a1538" in page
    assert "max-width:60rem" in page
    refused = staff.post(url, {"design": "1", "accent": "#ffff00"})
    assert refused["Content-Type"].startswith("text/plain")
    magazine.refresh_from_db()
    assert magazine.design == {}


def test_the_list_shows_the_page_that_was_asked_for(staff, magazine):
    base = f"/magazines/{magazine.pk}/display/"
    assert f'src="{base}left/preview/"' in staff.get(base + "?page=left").content.decode()
    assert f'src="{base}register/preview/"' in staff.get(base + "?page=<b>").content.decode()


# ---- who may


def test_who_may_change_and_who_may_look(client, magazine):
    """SYS-1: viewers look; an archived magazine stays as it is; unknown pages and magazines are 404."""
    client.force_login(make_user("yui", role="viewer"))
    base = f"/magazines/{magazine.pk}"
    for path in (f"{base}/forms/", f"{base}/display/", f"{base}/display/left/preview/"):
        assert client.get(path).status_code == 200
    assert client.get(f"{base}/display/left/").status_code == 403
    assert client.post(f"{base}/display/left/", {"title": "x"}).status_code == 403
    assert client.post(f"{base}/display/design/", {"accent": "#8a1538"}).status_code == 403
    client.force_login(make_user("misaki"))
    assert client.get(f"{base}/display/nothing/").status_code == 404
    assert client.get(f"{base}/display/nothing/preview/").status_code == 404
    assert client.get("/magazines/999999/forms/").status_code == 404
    magazine.archived_at = timezone.now()
    magazine.save()
    assert client.post(f"{base}/display/left/", {"title": "x"}).status_code == 404
    assert client.get(f"{base}/forms/").status_code == 200


def test_the_forms_page_gives_what_is_needed(staff, magazine):
    """MAG-13: addresses, QR codes, both snippets with everything escaped."""
    magazine.name, magazine.empty_mail = 'DX "通信" <b>', True
    magazine.save()
    item = make_item(magazine, '規模 "<b>"', "choice", choices=["1-99名", '"><script>'], required=True)
    page = staff.get(f"/magazines/{magazine.pk}/forms/")
    text = page.content.decode()
    assert links.register_url(magazine.pk) in text
    assert links.leave_url(magazine.pk) in text
    assert links.empty_mail_address(magazine.pk) in text
    assert text.count('class="qr"') == 2
    snippet = page.context["form_html"]
    assert f'name="item_{item.key}"' in snippet
    assert "<script>" not in snippet
    assert "?embed=1" in page.context["frame_html"]
    assert "DX &quot;通信&quot; &lt;b&gt;" in page.context["frame_html"]


def test_the_snippets_form_works_from_another_site(magazine):
    """It leads to the confirmation page with what was entered."""
    item = make_item(magazine, "規模", "choice", choices=["1-99名", "100名以上"])
    page = Client(enforce_csrf_checks=True).post(
        path_of(links.register_url(magazine.pk)),
        {"email": "a@yamate.example.jp", "last_name": "髙﨑", f"item_{item.key}": "100名以上"},
        headers={"Origin": "https://www.example.jp"},
    )
    assert "まだ完了していません" in page.content.decode()
    assert "100名以上" in page.content.decode()
    assert not ReaderRequest.objects.exists()

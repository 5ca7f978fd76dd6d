"""NAV-3: one search box for leads, jobs, templates and pages, under old and new names."""

import pytest

from settings.models import Role
from smp.lib.finder import find_pages, normalise
from tests.factories import make_job, make_lead, make_template, make_user


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return user


def found(client, text):
    response = client.get("/search/", {"q": text})
    assert response.status_code == 200
    return {
        str(kind["label"]): [result.title for result in kind["results"]] for kind in response.context["found"]
    }


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("システム一覧", "システム設定一覧"),
        ("システム設定一覧", "システム設定一覧"),
        ("しすてむ設定", "システム設定一覧"),
        ("ｼｽﾃﾑ設定", "システム設定一覧"),
        ("ユーザー", "ユーザ"),
        ("ユーザ", "ユーザ"),
        ("ﾕｰｻﾞｰ", "ユーザ"),
        ("users", "ユーザ"),
        ("Ｕｓｅｒｓ", "ユーザ"),
        ("監査ログ", "操作履歴"),
        ("送信者指定方法", "送信ウィザード"),
        ("配信履歴", "ウィザード利用履歴"),
    ],
)
def test_pages_under_old_and_new_names(client, misaki, text, page):
    """NAV-3"""
    assert page in found(client, text)["画面"]


def test_synonyms_stand_for_each_other(misaki):
    """NAV-3: セミナー = キャンペーン, whichever of them a page is called."""
    from smp.lib.navigation import PAGES, Page, register_page

    page = Page("settings", "キャンペーン一覧", "users")
    register_page(page)
    try:
        assert "キャンペーン一覧" in [result.title for result in find_pages(misaki, "セミナー")]
    finally:
        PAGES.remove(page)


def test_pages_one_may_not_open_are_not_found(client, db):
    """SYS-1"""
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert "画面" not in found(client, "システム設定一覧")
    assert found(client, "重複メール") == {}


def test_system_settings_are_found(client, misaki):
    assert found(client, "重複メール")["システム設定一覧"] == ["メールウィザードで重複メールを送信しない"]


@pytest.mark.parametrize(
    "text",
    [
        "髙橋",
        "𠮷男",
        "髙橋𠮷男",
        "髙橋 𠮷男",
        "髙橋　𠮷男",
        "タカハシ",
        "たかはし",
        "ﾀｶﾊｼ",
        "山手製作所",
        "Yoshio@Yamate.example.jp",
        "ｙｏｓｈｉｏ＠ｙａｍａｔｅ．ｅｘａｍｐｌｅ．ｊｐ",
        "yoshio",
    ],
)
def test_leads_by_name_kana_company_and_address(client, misaki, text):
    """NAV-3"""
    make_lead(last_name_kana="タカハシ", first_name_kana="ヨシオ", company="株式会社山手製作所")
    make_lead("other@example.jp", last_name="田中", first_name="結衣")
    assert found(client, text)["リード(申込者)"] == ["髙橋 𠮷男"]


def test_leads_by_id(client, misaki):
    """NAV-3"""
    lead = make_lead()
    for text in (str(lead.pk), f"#{lead.pk}", f" {lead.pk} "):
        assert found(client, text)["リード(申込者)"] == ["髙橋 𠮷男"]


def test_deleted_leads_are_not_found(client, misaki):
    from django.utils import timezone

    make_lead(deleted_at=timezone.now())
    assert found(client, "髙橋") == {}


def test_jobs_and_templates_by_name_and_id(client, misaki):
    """NAV-3"""
    template = make_template("工場見学会のご案内")
    job = make_job(template, state="done")
    make_job(template, state="draft")
    assert found(client, "工場見学")["ウィザード利用履歴"] == ["工場見学会のご案内"]
    assert found(client, "工場見学")["メールテンプレート"] == ["工場見学会のご案内"]
    assert found(client, f"#{job.pk}")["ウィザード利用履歴"] == ["工場見学会のご案内"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0",
        "%",
        "_",
        "'",
        "\\",
        "(",
        "😀",
        "9" * 500,
        "٣٣",
        "²",
        "<script>alert(1)</script>",
        "a" * 5000,
    ],
)
def test_hostile_questions(client, misaki, text):
    html = client.get("/search/", {"q": text}).content.decode()
    assert "<script>alert" not in html


def test_suggestions_are_the_results_alone(client, misaki):
    html = client.get("/search/", {"q": "ユーザー"}, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in html
    assert 'href="/settings/users/"' in html


def test_normalise():
    assert normalise("ユーザー 一覧") == normalise("ゆーざ一覧") == normalise("ﾕｰｻﾞ一覧")
    assert normalise("リード(申込者)") == normalise("リード申込者")

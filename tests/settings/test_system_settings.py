"""「システム設定一覧」, and EXC-3's setting among them."""

import json

import pytest
from django.core.exceptions import ValidationError

from settings.models import AuditEntry, SystemSetting
from settings.system_settings import get_setting, set_setting
from tests.factories import make_user

KEY = "skip_duplicate_addresses"
WARNING = (
    "システム全体に影響する設定ですので、他の管理者にメール配信予定がないか確認して設定変更してください。"
    "メール送信後は速やかに値を1に戻してください。"
)


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return user


def test_list_shows_label_value_default_and_last_change(client, misaki):
    html = client.get("/settings/system/").content.decode()
    assert "メールウィザードで重複メールを送信しない" in html
    assert "有効 (1)" in html
    set_setting("page_size", 77, user=misaki)
    html = client.get("/settings/system/").content.decode()
    assert "77" in html
    assert "佐藤 美咲" in html


def test_duplicates_setting_warns_and_asks_twice(client, misaki):
    """EXC-3: the warning is shown, asked again, and until it is back the tab reminds."""
    url = f"/settings/system/{KEY}/"
    assert get_setting(KEY) is True
    assert WARNING in client.get(url).content.decode()
    asked = client.post(url, {"value": "0", "seen": "true"})
    assert asked.status_code == 200
    assert WARNING in asked.content.decode()
    assert get_setting(KEY) is True
    confirmed = client.post(url, {"value": "0", "seen": "true", "confirmed": "1"})
    assert confirmed.status_code == 302
    assert get_setting(KEY) is False
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.user, entry.detail) == (
        "setting.change",
        misaki,
        {"changes": {KEY: [True, False]}},
    )


def test_reminder_on_the_mail_tab(client, misaki):
    """EXC-3"""
    from mail.registered_settings import duplicates_reminder

    assert duplicates_reminder() is None
    set_setting(KEY, False, user=misaki)
    assert "1に戻してください" in str(duplicates_reminder())
    set_setting(KEY, True, user=misaki)
    assert duplicates_reminder() is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("page_size", "9", "10以上の値を設定してください。"),
        ("page_size", "501", "500以下の値を設定してください。"),
        ("page_size", "99999999999999999999999", "500以下の値を設定してください。"),
        ("page_size", "abc", "整数を入力してください。"),
        ("page_size", "", "このフィールドは必須です。"),
        ("consent_retention_months", "0", "1以上の値を設定してください。"),
        ("consent_retention_months", "37", "36以下の値を設定してください。"),
        ("legal_name", "株" * 201, "200文字以内"),
        ("legal_name", "a\0b", "文字"),
        (KEY, "2", "選択"),
    ],
)
def test_wrong_values_are_refused_beside_the_field(client, misaki, key, value, message):
    """Boundaries; LAW-2 for the months."""
    before = get_setting(key)
    response = client.post(f"/settings/system/{key}/", {"value": value, "seen": json.dumps(before)})
    assert response.status_code == 200
    assert message in " ".join(response.context["form"].errors["value"])
    assert not SystemSetting.objects.filter(key=key).exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("page_size", 10),
        ("page_size", 500),
        ("consent_retention_months", 1),
        ("consent_retention_months", 36),
        ("legal_name", "株" * 200),
        ("legal_address", "東京都千代田区\n丸の内1-1-1"),
    ],
)
def test_values_at_the_boundary_are_taken(client, misaki, key, value):
    """LAW-2: 1 to 36 months."""
    response = client.post(
        f"/settings/system/{key}/",
        {"value": str(value).replace("\n", "\r\n"), "seen": json.dumps(get_setting(key))},
    )
    assert response.status_code == 302
    assert get_setting(key) == value


def test_two_administrators_at_once(client, misaki):
    """The second is told what the first has set."""
    set_setting("page_size", 20, user=misaki)
    response = client.post("/settings/system/page_size/", {"value": "100", "seen": "50"})
    assert "他の管理者" in " ".join(response.context["form"].errors["value"])
    assert get_setting("page_size") == 20


def test_commands_get_the_same_checks(misaki):
    for value in ("20", 20.5, True, None):
        with pytest.raises(ValidationError):
            set_setting("page_size", value, user=None)
    with pytest.raises(KeyError):
        set_setting("no_such_setting", 1, user=None)


def test_same_value_is_no_change(misaki):
    assert set_setting("page_size", 50, user=misaki) is False
    assert not AuditEntry.objects.exists()


def test_unknown_setting_is_not_found(client, misaki):
    assert client.get("/settings/system/nothing/").status_code == 404


def test_a_setting_with_choices_offers_them(client, misaki):
    """APP-3: 「リードマージ時の重複検索キー」."""
    url = "/settings/system/merge_key/"
    html = client.get(url).content.decode()
    assert "リードマージ時の重複検索キー" in html and html.count('type="radio"') == 4
    assert client.post(url, {"value": "everything", "seen": '"email"'}).status_code in {200, 422}
    assert client.post(url, {"value": "name_phone", "seen": '"email"'}).status_code == 302
    assert "氏名と電話番号" in client.get("/settings/system/").content.decode()

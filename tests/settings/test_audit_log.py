"""操作履歴: SYS-2, CSV-3."""

import csv
import io

import pytest
from django.utils import timezone, translation

from settings import audit
from settings.audit_labels import detail_lines
from settings.models import AuditEntry
from settings.system_settings import set_setting
from tests.factories import make_user


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return user


def shown(response):
    return [line["entry"].action for line in response.context["lines"]]


def test_entries_are_read_in_words(client, misaki):
    """SYS-2"""
    set_setting("skip_duplicate_addresses", False, user=misaki, ip="203.0.113.9")
    kenta = make_user("kenta")
    audit.record(
        "user.edit",
        user=misaki,
        target=kenta,
        detail={"changes": {"role": ["viewer", "privileged"], "is_active": [True, False]}},
    )
    response = client.get("/settings/audit/")
    html = response.content.decode()
    assert "システム設定変更" in html
    assert "メールウィザードで重複メールを送信しない" in html
    assert "有効 (1) → 無効 (0)" in html
    assert "閲覧者 → 特権管理者" in html
    assert f'href="/settings/users/{kenta.pk}/"' in html
    assert 'href="/settings/system/skip_duplicate_addresses/"' in html
    assert "203.0.113.9" in html


def test_filters(client, misaki):
    """SYS-2: who, action, target, period."""
    kenta = make_user("kenta")
    audit.record("user.edit", user=misaki, target=kenta)
    audit.record("user.password", user=kenta, target=misaki)
    old = audit.record("setting.change", user=None)
    AuditEntry.objects.filter(pk=old.pk).update(at="2026-01-01T15:00:00Z")  # 2 January in Japan
    assert shown(client.get("/settings/audit/")) == ["setting.change", "user.password", "user.edit"]
    assert shown(client.get("/settings/audit/", {"user": kenta.pk})) == ["user.password"]
    assert shown(client.get("/settings/audit/", {"action": "user.edit"})) == ["user.edit"]
    assert shown(client.get("/settings/audit/", {"target": "鈴木"})) == ["user.edit"]
    assert shown(client.get("/settings/audit/", {"since": "2026-01-02", "until": "2026-01-02"})) == [
        "setting.change"
    ]
    assert shown(client.get("/settings/audit/", {"until": "2026-01-01"})) == []
    today = timezone.localdate().isoformat()
    assert shown(client.get("/settings/audit/", {"since": today})) == ["user.password", "user.edit"]


@pytest.mark.parametrize(
    "query",
    [
        "user=abc",
        "user=99999999999999999999",
        "since=nonsense",
        "target=%00",
        "page=-1",
        "action=x",
        "target=" + "x" * 500,
    ],
)
def test_hostile_filters(client, misaki, query):
    assert client.get(f"/settings/audit/?{query}").status_code == 200


def test_export_is_safe_and_audited(client, misaki):
    """SYS-2, CSV-3"""
    audit.record("user.edit", user=misaki, target_label="=HYPERLINK(1)", detail={"reason": "@x"})
    assert client.get("/settings/audit/csv/").status_code == 405
    response = client.post("/settings/audit/csv/?action=user.edit")
    rows = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig"))))
    assert rows[0][:4] == ["日時", "実行者", "操作", "対象の種類"]
    assert [row[5] for row in rows[1:]] == ["'=HYPERLINK(1)"]
    entry = AuditEntry.objects.get(action="audit.export")
    assert entry.detail == {"filter": "action=user.edit", "rows": 1}


def test_same_queries_for_one_and_three(client, misaki, django_assert_num_queries):
    audit.record("user.edit", user=misaki, target=misaki)
    client.get("/settings/audit/")
    with django_assert_num_queries(6):
        client.get("/settings/audit/")
    audit.record("user.edit", user=misaki, target=misaki)
    audit.record("setting.change", user=None)
    with django_assert_num_queries(6):
        client.get("/settings/audit/")


def test_details_of_any_shape_are_shown(client, misaki):
    audit.record(
        "job.strange",
        user=None,
        detail={"a": [1, 2], "b": {"c": [None]}, "d": "<b>" * 200, "changes": {"x": "y", "z": [1]}},
    )
    html = client.get("/settings/audit/").content.decode()
    assert "job.strange" in html
    assert "<b><b>" not in html


def test_details_are_read_in_the_words_of_the_screens(db):
    """SYS-2: no codes, no ISO times, no English where a Japanese administrator reads."""
    entry = AuditEntry(
        action="lead.flag",
        target_type="lead",
        detail={
            "rule": "by_search",
            "reason": "at_once",
            "changes": {"email_valid": [True, False], "unsubscribed_at": [None, "2026-11-03T16:00:00+09:00"]},
        },
    )
    with translation.override("ja"):
        assert detail_lines(entry) == [
            ("送信者指定方法", "検索条件指定"),
            ("理由", "すぐに無効にするエラーコード"),
            ("E-mailアドレスの有効フラグ", "有効 → 無効"),
            ("配信停止日時", "– → 2026-11-03 16:00:00"),
        ]

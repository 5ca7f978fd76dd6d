"""The entries of the tab 「メールマガジン」 (NAV-1). Every part registers its own entry here, one block each."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from smp.lib.navigation import Inside, Page, Tab, register_inside, register_page, register_tab


def name_of(magazine_id: int) -> str:
    """What the menu inside a magazine is headed by; empty for one that does not exist."""
    from mail.models import Magazine

    return Magazine.objects.filter(pk=magazine_id).values_list("name", flat=True).first() or ""


def register() -> None:
    """From MailConfig.ready()."""
    send, look, prepare = _("Send"), _("Look"), _("Prepare")
    register_tab(Tab("magazines", _("Mail magazines"), 35))
    register_inside("magazine_id", Inside(name_of, "magazine"))
    register_page(
        Page(
            "magazines",
            _("Magazine list"),
            "magazines",
            position=10,
            aliases=("メルマガ", "Y-mail", "ワイメール"),
            url_names=("magazine_new",),
        )
    )
    register_page(
        Page(
            "magazines",
            _("Free items"),
            "reader_items",
            prepare,
            position=72,
            within="magazine_id",
            start="magazines",
            aliases=("自由項目", "項目設定", "読者項目", "新しい自由項目を追加"),
            url_names=("reader_item_new", "reader_item_edit", "reader_item_retire"),
        )
    )
    register_page(
        Page(
            "magazines", _("Readers"), "readers", position=15, within="magazine_id", start="magazines",
            aliases=("読者リスト", "購読者", "一括削除", "不達情報をリセットする", "エラー停止", "配信停止", "配信可能"),
            url_names=(
                "reader", "reader_new", "reader_edit", "reader_remove", "readers_bulk", "readers_bulk_check",
                "readers_bulk_do",
            ),
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", _("Basic settings"), "magazine_settings", prepare, "may_edit", position=74,
            within="magazine_id", start="magazines", url_names=("magazine_archive",),
            aliases=("メールマガジン基本設定", "エラーメール・配信停止", "詳細設定", "フッター", "しきい値", "エラー停止"),
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", pgettext_lazy("page", "Blacklist"), "blacklist", prepare, "may_edit", position=80,
            within="magazine_id", start="magazines", aliases=("ブラックリスト機能",), url_names=("blacklist_release",),
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", _("Take back an outage"), "outages", prepare, "may_edit", position=85,
            within="magazine_id", start="magazines", aliases=("大規模障害", "障害", "一斉エラー停止"),
        )
    )  # fmt: skip
    # A story's pages belong to the list of its kind: mail/views/magazines/story.py says so (request.menu_page).
    of_stories = (
        "story",
        "story_new",
        "story_edit",
        "story_test_send",
        "story_turns",
        "story_timing",
        "story_change",
    )
    register_page(
        Page(
            "magazines", pgettext_lazy("story", "Step mail"), "story_steps", send, position=30,
            aliases=("ストーリー", "シナリオ"), url_names=of_stories, within="magazine_id", start="magazines",
        )
    )  # fmt: skip
    register_page(
        Page("magazines", _("Loop mail"), "story_loops", send, position=31, aliases=("誕生日メール",), within="magazine_id", start="magazines")
    )  # fmt: skip
    register_page(
        Page(
            "magazines", _("Extra issues"), "story_extras", send, position=32, aliases=("記事", "即時配信", "予約配信"),
            url_names=("extra_confirm", "story_expected"), within="magazine_id", start="magazines",
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", _("Delivery history"), "magazine_history", look, position=40, aliases=("配信開始時刻",),
            url_names=("magazine_job", "magazine_job_stopped"), within="magazine_id", start="magazines",
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", pgettext_lazy("menu", "Import"), "reader_imports", level="may_edit", position=20,
            within="magazine_id", start="magazines",
            aliases=("読者の一括インポート", "一括インポート", "読者登録", "CSV"),
            url_names=("reader_import", "reader_import_undo"),
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", pgettext_lazy("magazine", "Forms"), "magazine_forms", prepare, position=70,
            within="magazine_id", start="magazines",
            aliases=("登録フォーム", "解除フォーム", "空メール登録", "埋め込み", "ダブルオプトイン", "QRコード"),
        )
    )  # fmt: skip
    register_page(
        Page(
            "magazines", _("Default display settings"), "magazine_display", prepare, position=76,
            within="magazine_id", start="magazines", aliases=("デフォルト表示設定", "確認画面", "完了画面", "文言"),
            url_names=("magazine_texts", "magazine_preview", "magazine_design"),
        )
    )  # fmt: skip

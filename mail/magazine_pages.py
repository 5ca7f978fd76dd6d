"""The entries of the tab 「メールマガジン」 (NAV-1). Every part registers its own entry here, one block each."""

from django.utils.translation import gettext_lazy as _

from smp.lib.navigation import Page, Tab, register_page, register_tab


def register() -> None:
    """From MailConfig.ready()."""
    register_tab(Tab("magazines", _("Mail magazines"), 35))
    register_page(
        Page(
            "magazines",
            _("Magazine list"),
            "magazines",
            position=10,
            aliases=("メルマガ", "Y-mail", "ワイメール"),
        )
    )
    register_page(
        Page(
            "magazines",
            _("Free items"),
            "reader_items",
            _("Prepare"),
            position=72,
            within="magazine_id",
            start="magazines",
            aliases=("自由項目", "項目設定", "読者項目", "新しい自由項目を追加"),
            url_names=("reader_item_new", "reader_item_edit", "reader_item_retire"),
        )
    )

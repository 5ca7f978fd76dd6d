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

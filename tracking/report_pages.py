"""The menu of reports (NAV-1)."""

from django.utils.translation import gettext_lazy as _

from smp.lib.mode import BOTH
from smp.lib.navigation import Page, register_page


def register() -> None:
    """From TrackingConfig.ready()."""
    register_page(
        Page(
            "mail", _("Comparison of mailings"), "job_comparison", _("Look"), aliases=("開封率", "クリック率", "効果測定"),
            url_names=("hit_rules",), position=25, modes=BOTH,
        )
    )  # fmt: skip

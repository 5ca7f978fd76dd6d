from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from smp.lib.navigation import Page, register_page


class SmpConfig(AppConfig):
    name = "smp"

    def ready(self) -> None:
        if settings.DEMO_INBOX_FOLDER:
            register_page(
                Page(
                    "mail", _("Demo inbox"), "inbox", group=_("Look"), aliases=("inbox", "受信箱"),
                    url_names=("inbox_mail",), position=90,
                )
            )  # fmt: skip

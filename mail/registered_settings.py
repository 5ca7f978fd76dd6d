"""The mail part of 「システム設定一覧」. Read them with `settings.system_settings.get_setting`."""

from django.utils.translation import gettext_lazy as _

from settings.system_settings import Setting, register_setting

SKIP_DUPLICATES = "skip_duplicate_addresses"


def register_mail_settings() -> None:
    register_setting(
        Setting(
            SKIP_DUPLICATES,
            _("The mail wizard does not send to duplicate addresses"),
            bool,
            True,
            help=_(
                "On: of the leads that share an address only the newest is mailed. Off: each of them is mailed."
            ),
            warning=_(
                "This setting affects the whole system: check first that no other administrator has a mailing reserved. "
                "Set the value back to 1 promptly after your mailing."
            ),
        )
    )

"""The mail part of 「システム設定一覧」. Read them with `settings.system_settings.get_setting`."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from settings.system_settings import Setting, get_setting, register_setting

SKIP_DUPLICATES = "skip_duplicate_addresses"


def register_mail_settings() -> None:
    """From AppConfig.ready()."""
    sending, identity = _("Sending mail"), _("Sender's identity (shown in advertising mail)")
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
            section=sending,
        )
    )
    register_setting(
        Setting(
            "attachments_limit_mb", _("Attachments of a template, together (MB)"), int, 5, minimum=1, maximum=20, section=sending,
            help=_("Files grow by a third on their way, and many Japanese mail servers refuse mails over 10 MB."),
        )
    )  # fmt: skip
    register_setting(
        Setting(
            "legal_name", _("Organisation"), str, "", maximum=200, section=identity,
            help=_("The name of the company or organisation that sends, as readers of the mail shall see it."),
        )
    )  # fmt: skip
    register_setting(
        Setting("legal_address", _("Postal address"), "text", "", maximum=400, section=identity,
                help=_("Postal code, prefecture, city and street."))
    )  # fmt: skip
    register_setting(
        Setting("legal_contact", _("Contact for questions and complaints"), "text", "", maximum=400, section=identity,
                help=_("An e-mail address, a phone number or a URL."))
    )  # fmt: skip


def duplicates_reminder() -> str | Promise | None:
    """EXC-3: as long as the setting is off, every page of the mail tab says so."""
    if get_setting(SKIP_DUPLICATES):
        return None
    return _(
        "“The mail wizard does not send to duplicate addresses” is disabled (0): leads that share an address each get the mail. "
        "Set it back to 1 after your mails are sent."
    )

"""The step mails' part of 「システム設定一覧」."""

from django.utils.translation import gettext_lazy as _

from settings.system_settings import Setting, register_setting

BEFORE_KNOWN = "step_mail_before_known"
LATE_HOURS = "step_mail_late_hours"


def register_step_settings() -> None:
    """From AppConfig.ready()."""
    section = _("Step mail")
    register_setting(
        Setting(
            BEFORE_KNOWN,
            _("Step mails from tracking before the lead (applicant) was registered"),
            bool,
            False,
            help=_(
                "When a visitor becomes known, the pages seen before are linked to the lead at once. On: each of those views "
                "starts the step mails of its page, so the same mail may be sent several times. Off: none does."
            ),
            section=section,
        )
    )
    register_setting(
        Setting(
            LATE_HOURS,
            _("How late a step mail may be sent (hours)"),
            int,
            72,
            minimum=0,
            maximum=8760,
            help=_(
                "After an outage, or when a stopped step mail goes on, what is overdue is sent at once. What is overdue by more than "
                "this is not sent any more. 0: always sent."
            ),
            section=section,
        )
    )

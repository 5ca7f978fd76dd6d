"""ERR-3: how often and how long a mail is tried again. Two system settings."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from settings.system_settings import Setting, get_setting, register_setting

JITTER = 0.1  # of the interval, both ways: a thousand mails deferred together shall not come back together

INTERVAL = Setting(
    key="retry_interval_minutes",
    label=_("Interval between attempts (minutes)"),
    type=int,
    default=30,
    minimum=1,
    maximum=1440,
    help=_("How long a mail waits that the receiving server could not take at the moment."),
    section=_("Sending mail"),
)
PERIOD = Setting(
    key="retry_period_hours",
    label=_("Retry period (hours)"),
    type=int,
    default=24,
    minimum=1,
    maximum=168,
    help=_("After this time without success the mail ends as an error with code 41606."),
    section=_("Sending mail"),
)


@dataclass(frozen=True)
class RetryPlan:
    interval_minutes: int
    period_minutes: int


def register_retry_settings() -> None:
    """From AppConfig.ready()."""
    for setting in (INTERVAL, PERIOD):
        register_setting(setting)


def retry_plan() -> RetryPlan:
    return RetryPlan(int(get_setting(INTERVAL.key)), int(get_setting(PERIOD.key)) * 60)

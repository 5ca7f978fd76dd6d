"""What 設定 › 配信速度 shows in the demo: a rule of one's own for a receiver that is always busy, and two source IPs."""

import socket
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from settings.models import DomainRule, SourceIp, User
from smp.demo.zones import BUSY, DOMAIN, SECOND_SOURCE

TOKYO = ZoneInfo("Asia/Tokyo")
WARM_DAYS = 9


def make_speed(user: User, *, now: datetime) -> None:
    """The busy receiver is reached by its MX, past the demo's relay: so it is a site of its own, which slows down."""
    DomainRule.objects.create(
        name="取引先(混雑する受信サーバー)", domains=[BUSY], connections=1, mails_per_connection=5, mails_per_minute=60,
        route="mx", updated_by=user,
    )  # fmt: skip
    SourceIp.objects.create(address="127.0.0.1", hostname=f"mx.{DOMAIN}", note="これまでの送信元")
    SourceIp.objects.create(
        address=SECOND_SOURCE,
        hostname=f"mx2.{DOMAIN}",
        enabled=_is_here(SECOND_SOURCE),
        warmup_started_on=now.astimezone(TOKYO).date() - timedelta(days=WARM_DAYS),
        note="新しい送信元(ウォームアップ中)",
    )


def _is_here(address: str) -> bool:
    """Linux answers to all of 127.0.0.0/8, other systems to 127.0.0.1 alone."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True

"""How long views are kept: setting 「トラッキングデータの保存期間」, for known and for anonymous visitors. 0: for ever."""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from settings.system_settings import Setting, get_setting, register_setting

KNOWN_DAYS, ANONYMOUS_DAYS = "tracking_known_days", "tracking_anonymous_days"
BATCH = 5000
BATCHES = 20  # at one go; the rest has its turn at the next

_VIEWS = """
DELETE FROM tracking_pageview WHERE id IN
  (SELECT id FROM tracking_pageview WHERE at < %s AND (lead_id IS NOT NULL) = %s LIMIT %s)"""
# A browser goes when none of its views is left and it was not seen since; what was told of it goes along.
_VISITORS = """
SELECT v.id FROM tracking_visitor v WHERE v.last_seen_at < %s AND (v.lead_id IS NOT NULL) = %s
   AND NOT EXISTS (SELECT FROM tracking_pageview p WHERE p.visitor_id = v.id) LIMIT %s FOR UPDATE OF v SKIP LOCKED"""
_TOLD = "DELETE FROM tracking_identification WHERE visitor_id = ANY(%s)"
_GONE = "DELETE FROM tracking_visitor WHERE id = ANY(%s)"


def register_retention_settings() -> None:
    """From AppConfig.ready()."""
    for key, label, days, text in (
        (KNOWN_DAYS, _("Retention of tracking data: known leads (days)"), 730,
         _("Page views of leads older than this are deleted. 0: they are kept.")),
        (ANONYMOUS_DAYS, _("Retention of tracking data: anonymous visitors (days)"), 180,
         _("Page views that could not be matched to a lead within this time are deleted. 0: they are kept.")),
    ):  # fmt: skip
        register_setting(
            Setting(key, label, int, days, help=text, minimum=0, maximum=3650, section=_("Tracking"))
        )


def forget_old(now: datetime) -> int:
    """Deletes what is older than the settings say, in small transactions; returns how many views went. Opens and clicks belong
    to the history of mails and stay."""
    gone = 0
    for known, key in ((False, ANONYMOUS_DAYS), (True, KNOWN_DAYS)):
        days = int(get_setting(key))
        if days > 0:
            before = now - timedelta(days=days)
            gone += _in_batches(_VIEWS, before, known)
            _forget_visitors(before, known)
    return gone


def _in_batches(statement: str, before: datetime, known: bool) -> int:
    gone = 0
    for _batch in range(BATCHES):
        with connection.cursor() as cursor:
            cursor.execute(statement, [before, known, BATCH])
            gone += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return gone


def _forget_visitors(before: datetime, known: bool) -> None:
    for _batch in range(BATCHES):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_VISITORS, [before, known, BATCH])
            ids = [row[0] for row in cursor.fetchall()]
            cursor.execute(_TOLD, [ids])
            cursor.execute(_GONE, [ids])
        if len(ids) < BATCH:
            break

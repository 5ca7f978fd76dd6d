"""FLAG-1 and FLAG-2 for mail: failed deliveries in a row, counted from the ledger, never added up.

A pure function of the rows, so late results fall into their place, and counting twice changes nothing.

Counted: エラー of wizard, single and automatic mails to the lead's present address (since `email_since`), from the newest
backwards to the last 正常, placed by the time the mail was sent (`sent_at`; a mail refused before its data, by when
it was refused). 結果不明, excluded and open rows are neither: they end nothing and count nothing.
Not the lead's failures: mails that could not be made (no code), no DNS (41605), what is our own fault or the mail's
(ERR-5: `counts_against_lead` of the cause), a sender the server refused (`failed_address` is our own envelope domain),
a single or automatic mail to another address than the lead's, a relay that is away (which is no result at all).
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.conf import settings
from django.db import connection

from leads.flags import record_failures
from mail.bounces.cause import counts_against_lead
from mail.models.delivery import Cause
from mail.smtp.replies import NO_ROUTE

_IN_A_ROW = """
SELECT l.id, count(bad.id)
  FROM leads_lead l
  LEFT JOIN LATERAL (
        SELECT max(COALESCE(d.sent_at, d.result_at)) AS at
          FROM mail_delivery d
         WHERE d.lead_id = l.id AND d.state = 'sent' AND d.kind <> 'test') good ON true
  LEFT JOIN mail_delivery bad
         ON bad.lead_id = l.id AND bad.state = 'error' AND bad.kind <> 'test'
        AND bad.code IS NOT NULL AND bad.code <> %(no_route)s
        AND right(bad.failed_address, length(%(own_domain)s)) <> %(own_domain)s
        AND (bad.kind NOT IN ('single', 'automatic') OR lower(bad.address) = l.email_norm)
        AND bad.cause <> ALL(%(not_the_leads)s)
        AND COALESCE(bad.sent_at, bad.result_at) >= l.email_since
        AND (good.at IS NULL OR COALESCE(bad.sent_at, bad.result_at) > good.at)
 WHERE l.id = ANY(%(leads)s)
 GROUP BY l.id
"""


def recount(lead_ids: Iterable[int], *, now: datetime, switch_off: Collection[int] = ()) -> dict[int, int]:
    """Counts the failures in a row of these leads, one statement for all, and hands them to the flag's owner.

    `switch_off`: leads whose newest result has one of FLAG-2's codes. Returns {lead id: failures in a row}."""
    leads = sorted(set(lead_ids))
    if not leads:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            _IN_A_ROW,
            {
                "leads": leads,
                "no_route": NO_ROUTE,
                "own_domain": f"@{settings.BOUNCE_DOMAIN}",
                "not_the_leads": [cause.value for cause in Cause if not counts_against_lead(cause)],
            },
        )
        counts: dict[int, int] = dict(cursor.fetchall())
    record_failures(counts, switch_off=set(switch_off), now=now)
    return counts

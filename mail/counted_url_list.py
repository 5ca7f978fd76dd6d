"""What 「クリックカウントURL一覧」 asks: the rows of a mode, and which mailings count them. Nothing here changes anything."""

from collections.abc import Iterable

from django.db import connection
from django.db.models import Q, QuerySet

from mail.click_count import counted_urls
from mail.models import SendJob
from mail.models.counting import CountedUrl
from mail.models.send_job import JobState
from mail.modes import usable_in


def listed_urls(
    campaign_id: int | None, *, url: str = "", name: str = "", archived: bool = False
) -> QuerySet[CountedUrl]:
    """Those of the mode (APP-1) whose ターゲットURL and URL名 hold these words; as SMP does, capitals matter."""
    found = counted_urls(campaign_id, archived=archived)
    if url:
        found = found.filter(url__contains=url)
    if name:
        found = found.filter(name__contains=name)
    return found.select_related("created_by")


# By URL, as everything about counted links (TRK-5). One that was gone from the template at the start was not counted.
_JOBS = """
SELECT u.id, count(DISTINCT j.id)
  FROM mail_sendjob j
 CROSS JOIN LATERAL jsonb_array_elements(j.counted_urls) chosen
  JOIN mail_countedurl u ON u.url = chosen->>'url' AND u.campaign_id IS NOT DISTINCT FROM j.campaign_id
 WHERE j.count_clicks AND j.magazine_id IS NULL AND j.state NOT IN ('draft', 'deleted') AND jsonb_typeof(j.counted_urls) = 'array'
   AND u.id = ANY(%(ids)s) AND NOT coalesce(j.links_changed->'gone' ? u.url, false)
 GROUP BY u.id
"""


def job_numbers(urls: Iterable[CountedUrl]) -> dict[int, int]:
    """{id: mailings of the wizard that count it}, one query."""
    ids = [one.pk for one in urls]
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_JOBS, {"ids": ids})
        return dict(cursor.fetchall())


def jobs_counting(one: CountedUrl, jobs: QuerySet[SendJob]) -> QuerySet[SendJob]:
    """Those of `jobs` that `job_numbers` counts for this URL."""
    counting = jobs.filter(
        Q(links_changed=None) | ~Q(links_changed__gone__contains=[one.url]),
        count_clicks=True,
        counted_urls__contains=[{"url": one.url}],
    )
    return usable_in(one.campaign_id, counting).exclude(state__in=[JobState.DRAFT, JobState.DELETED])

"""「タイムライン」: what happened with one lead, in one order. Nothing here changes anything.

Each source is asked once and gives no more than a page; the entries are merged here. Inside a campaign only what belongs
to it: no page views, no mails, applications and step mails of others, and of a consent no source.
"""

from collections.abc import Collection

from tracking.timeline_entries import Asked, Entry, Place
from tracking.timeline_sources import SOURCES

# What does not belong to any campaign.
BLUE_ONLY = frozenset({"view", "identified"})
KINDS = tuple(SOURCES)


def kinds_in(campaign_id: int | None) -> list[str]:
    """The kinds of entries there are in a mode."""
    return [kind for kind in KINDS if campaign_id is None or kind not in BLUE_ONLY]


def timeline(
    lead_id: int,
    *,
    campaign_id: int | None,
    limit: int,
    before: Place | None = None,
    kinds: Collection[str] = KINDS,
    machines: bool = True,
) -> tuple[list[Entry], bool]:
    """At most `limit` entries older than `before`, the newest first, and whether there are more. Without `machines`,
    hits and views judged to be a machine's are left out. The number of queries does not depend on the rows."""
    asked = Asked(lead_id, campaign_id, limit, before, machines)
    entries: list[Entry] = []
    for order, kind in enumerate(KINDS):
        if kind in kinds and kind in kinds_in(campaign_id):
            entries += SOURCES[kind].entries(asked, order)
    if before is not None:
        entries = [entry for entry in entries if entry.place < before]
    entries.sort(key=lambda entry: entry.place, reverse=True)
    return entries[:limit], len(entries) > limit

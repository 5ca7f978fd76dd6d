"""The opens and clicks of one mail, on its page in 個別メール送信履歴."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from mail.models import CountedUrl, Delivery
from mail.modes import shown_in
from settings.permissions import both_modes, needs_view
from smp.lib.mode import campaign_of
from tracking.evidence_words import evidence_words
from tracking.models import MailHit, Verdict
from tracking.views.reports import rules_url

SHOWN = 200
BIGGEST_ID = 2**63 - 1


@both_modes
@needs_view
@require_GET
def delivery_hits(request: HttpRequest, delivery_id: int) -> HttpResponse:
    """The part that the page of a mail loads by itself; opened alone it is a page. Three statements."""
    delivery = get_object_or_404(
        shown_in(campaign_of(request), Delivery.objects.all()), pk=min(delivery_id, BIGGEST_ID)
    )
    found = list(MailHit.objects.filter(delivery_id=delivery.pk).order_by("-at", "-pk")[: SHOWN + 1])
    urls = CountedUrl.objects.in_bulk({hit.url_id for hit in found if hit.url_id})
    rows: list[dict[str, Any]] = [
        {
            "hit": hit,
            "link": urls.get(hit.url_id or 0),
            "machine": hit.verdict == Verdict.MACHINE,
            "evidence": evidence_words(hit.evidence),
        }
        for hit in found[:SHOWN]
    ]
    context = {
        "delivery": delivery,
        "rows": rows,
        "more": len(found) > SHOWN,
        "shown": SHOWN,
        "now": timezone.now(),
        "rules_url": rules_url(),
    }
    alone = not request.headers.get("HX-Request")
    return render(
        request, "tracking/delivery_hits_page.html" if alone else "tracking/delivery_hits.html", context
    )

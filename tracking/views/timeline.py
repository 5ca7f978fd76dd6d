"""「タイムライン」: the page with everything that happened with a lead, and its panel on the lead's page."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from leads.models import Lead
from leads.panels import Panel, register_panel
from leads.scope import narrow_to
from settings.permissions import both_modes, needs_view
from smp.lib.mode import BOTH, campaign_of
from tracking.evidence_words import evidence_words
from tracking.timeline import kinds_in, timeline
from tracking.timeline_entries import Entry, place_of
from tracking.timeline_sources import SOURCES

BIGGEST_ID = 2**63 - 1
PANEL, PAGE = 10, 50


@both_modes
@needs_view
@require_GET
def lead_timeline(request: HttpRequest, lead_id: int) -> HttpResponse:
    campaign_id = campaign_of(request)
    lead = get_object_or_404(narrow_to(Lead.objects.all(), campaign_id), pk=min(lead_id, BIGGEST_ID))
    possible = kinds_in(campaign_id)
    chosen = [kind for kind in request.GET.getlist("kind") if kind in possible]
    machines = request.GET.get("machines", "1") != "0"
    before = place_of(request.GET.get("before", ""))
    entries, more = timeline(
        lead.pk,
        campaign_id=campaign_id,
        limit=PAGE,
        before=before,
        kinds=chosen or possible,
        machines=machines,
    )
    context = {
        "lead": lead,
        "entries": _lines(entries),
        "older": entries[-1].place if more else None,
        "before": before,
        "kinds": [(kind, SOURCES[kind].label, kind in chosen) for kind in sorted(possible, key=_place)],
        "machines": machines,
        "narrowed": bool(chosen) or not machines,
    }
    return render(request, "tracking/lead_timeline.html", context)


def _place(kind: str) -> int:
    """Of a kind's tick box: what a mail sets off stands together."""
    first = ("mail", "open", "click", "view", "application", "step", "consent", "identified")
    return first.index(kind) if kind in first else len(first)


def _lines(entries: list[Entry]) -> list[dict[str, Any]]:
    return [
        {"entry": entry, "evidence": evidence_words(entry.evidence) if entry.machine else []}
        for entry in entries
    ]


def _panel(request: HttpRequest, lead: Lead) -> dict[str, Any]:
    entries, more = timeline(lead.pk, campaign_id=campaign_of(request), limit=PANEL)
    return {"entries": _lines(entries), "more": more}


def register() -> None:
    """From TrackingConfig.ready()."""
    register_panel(
        Panel("timeline", _("Timeline"), "tracking/lead_panel.html", _panel, position=15, modes=BOTH)
    )

"""The lead page's panels. Each app registers its own in AppConfig.ready(), so that leads/ need not know mail/."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.safestring import SafeString

from leads.models import Lead
from smp.lib.mode import BLUE, mode_of


@dataclass(frozen=True)
class Panel:
    """One card. `template` draws all of it (a section) from what `context(request, lead)` returns, `lead` and `panel`.
    Panels stand in the order of `position`: below 50 above the basic data, from 50 on after them."""

    key: str
    label: str | Promise
    template: str
    context: Callable[[HttpRequest, Lead], dict[str, Any]]
    position: int = 50
    modes: Collection[str] = BLUE  # smp.lib.mode: in a campaign a panel shows that campaign's part


PANELS: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    PANELS[panel.key] = panel


def panels_of(request: HttpRequest, lead: Lead) -> tuple[list[SafeString], list[SafeString]]:
    """The cards above the basic data, and those after them, drawn."""
    above: list[SafeString] = []
    below: list[SafeString] = []
    shown = [panel for panel in PANELS.values() if mode_of(request) in panel.modes]
    for panel in sorted(shown, key=lambda panel: (panel.position, panel.key)):
        values = {**panel.context(request, lead), "lead": lead, "panel": panel}
        (above if panel.position < 50 else below).append(render_to_string(panel.template, values, request))
    return above, below

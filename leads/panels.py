"""The lead page's panels. Each app registers its own in AppConfig.ready(), so that leads/ need not know mail/."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.functional import Promise

from leads.models import Lead


@dataclass(frozen=True)
class Panel:
    """One card. `template` is included with what `context(request, lead)` returns, beside `lead` and `panel`.
    Panels stand in the order of `position`: below 50 above the basic data, from 50 on after them."""

    key: str
    label: str | Promise
    template: str
    context: Callable[[HttpRequest, Lead], dict[str, Any]]
    position: int = 50


PANELS: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    PANELS[panel.key] = panel


def panels_of(request: HttpRequest, lead: Lead) -> list[dict[str, Any]]:
    """[{panel, …context}] in order."""
    chosen = sorted(PANELS.values(), key=lambda panel: (panel.position, panel.key))
    return [{"panel": panel, **panel.context(request, lead)} for panel in chosen]

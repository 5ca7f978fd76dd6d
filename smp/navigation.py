"""What the frame of every page needs: tabs, the tab's menu, where we are."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from smp.lib.mode import campaign_of
from smp.lib.navigation import INSIDE, NOTICES, TABS, Page, visible_pages


def navigation(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    match = request.resolver_match
    if user is None or not user.is_authenticated or match is None:
        return {"tabs": [], "menu": []}
    pages = visible_pages(user, campaign_of(request))
    # Pages of several entries (a story is a step mail, a loop mail or an extra issue) say which one they belong to.
    here = getattr(request, "menu_page", match.view_name)
    # Pages about a thing that their address does not name (a start of a magazine under /mail/jobs/) name it themselves.
    inside = match.kwargs | getattr(request, "menu_inside", {})
    current = next((page for page in pages if here == page.url_name or here in page.url_names), None)
    tabs = []
    for tab in sorted(TABS.values(), key=lambda tab: tab.position):
        first = next((page for page in pages if page.tab == tab.key and not page.within), None)
        if first:
            tabs.append(
                {
                    "label": tab.label,
                    "url": reverse(first.url_name),
                    "current": current is not None and current.tab == tab.key,
                }
            )
    return {
        "tabs": tabs,
        "menu": _menu(pages, current, inside),
        "current_page": current,
        "current_tab": TABS.get(current.tab) if current else None,
        "notices": [text for notice in NOTICES.get(current.tab, []) if (text := notice())] if current else [],
    }


def _menu(pages: list[Page], current: Page | None, inside: dict[str, Any]) -> list[dict[str, Any]]:
    """The pages of the current tab under their group's heading, groups in the order they first appear; those of one thing
    (a magazine) below its name, when this page is about it (`inside`: what its address names)."""
    if current is None:
        return []
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for page in pages:
        if page.tab == current.tab and (not page.within or page.within in inside):
            group = groups.setdefault((page.within, str(page.group)), {"label": page.group, "pages": []})
            group["pages"].append(
                {"label": page.label, "url": _url(page, inside), "current": page is current}
            )
    first = next((group for (within, _label), group in groups.items() if within), None)
    if first:
        first["inside"] = _named(current, inside)
    return list(groups.values())


def _named(current: Page | None, inside: dict[str, Any]) -> dict[str, Any] | None:
    """The thing this page is about, with its name and first page."""
    if current is None or current.within not in inside or current.within not in INSIDE:
        return None
    named, id_ = INSIDE[current.within], inside[current.within]
    label = named.label(id_)
    return {"label": label, "url": reverse(named.url_name, kwargs={current.within: id_})} if label else None


def _url(page: Page, inside: dict[str, Any]) -> str:
    return reverse(page.url_name, kwargs={page.within: inside[page.within]} if page.within else None)

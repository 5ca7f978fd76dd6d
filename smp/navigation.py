"""What the frame of every page needs: tabs, the tab's menu, where we are."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from smp.lib.navigation import PAGES, TABS, Page


def navigation(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    match = request.resolver_match
    if user is None or not user.is_authenticated or match is None:
        return {"tabs": [], "menu": []}
    pages = [page for page in PAGES if page.level == "may_view" or getattr(user, page.level)]
    here = match.view_name
    current = next((page for page in pages if here == page.url_name or here in page.url_names), None)
    tabs = []
    for tab in sorted(TABS.values(), key=lambda tab: tab.position):
        first = next((page for page in pages if page.tab == tab.key), None)
        if first:
            tabs.append({"label": tab.label, "url": reverse(first.url_name), "current": current is not None and current.tab == tab.key})
    return {"tabs": tabs, "menu": _menu(pages, current), "current_page": current}


def _menu(pages: list[Page], current: Page | None) -> list[dict[str, Any]]:
    if current is None:
        return []
    groups: list[dict[str, Any]] = []
    for page in pages:
        if page.tab != current.tab:
            continue
        entry = {"label": page.label, "url": reverse(page.url_name), "current": page is current}
        if not groups or str(groups[-1]["label"]) != str(page.group):
            groups.append({"label": page.group, "pages": []})
        groups[-1]["pages"].append(entry)
    return groups

"""Tabs, side menus and the pages the search box knows (NAV-1, NAV-3). Apps register theirs in AppConfig.ready()."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise

from smp.lib.mode import ALL, BLUE, CAMPAIGN

Text = str | Promise


@dataclass(frozen=True)
class Page:
    """One entry of a tab's side menu."""

    tab: str  # "leads", "mail", "settings" …: the key of its tab
    label: Text
    url_name: str
    group: Text = ""  # 送る · 見る · 用意する
    level: str = "may_view"  # or may_edit, may_administer (settings/permissions.py)
    aliases: tuple[str, ...] = field(default=())  # other names people search for (システム一覧 …)
    url_names: tuple[str, ...] = field(default=())  # further views that belong to this entry
    position: int = 50  # within its group; pages of several apps may share one
    modes: Collection[str] = BLUE  # smp.lib.mode: where the page exists
    # The page is about one thing, and in the menu only inside of it: the id in its address ("magazine_id"). The search box
    # leads to `start` instead.
    within: str = ""
    start: str = ""
    everyone: bool = False  # campaign administrators see it outside of their campaigns too


@dataclass(frozen=True)
class Inside:
    """What the menu says of the thing its pages are about."""

    label: Callable[[int], Text]  # its id → its name; empty when there is none
    url_name: str  # its first page, which takes the id under the name `within`


@dataclass(frozen=True)
class Tab:
    key: str
    label: Text
    position: int


TABS: dict[str, Tab] = {}
PAGES: list[Page] = []
INSIDE: dict[str, Inside] = {}  # Page.within → how the menu names that thing
# tab key → functions that answer with a sentence to stand on each page of the tab, or nothing
NOTICES: dict[str, list[Callable[[], Text | None]]] = {}


def register_tab(tab: Tab) -> None:
    TABS[tab.key] = tab


def register_page(page: Page) -> None:
    if page not in PAGES:
        PAGES.append(page)


def register_inside(within: str, inside: Inside) -> None:
    INSIDE[within] = inside


def register_notice(tab: str, notice: Callable[[], Text | None]) -> None:
    """A reminder on every page of a tab, as long as `notice()` answers with a sentence."""
    notices = NOTICES.setdefault(tab, [])
    if notice not in notices:
        notices.append(notice)


def visible(user: object, thing: Any, campaign_id: int | None) -> bool:
    """Whether a page, card, finder … with `level`, `modes` and `everyone` is for this user in this mode (None: blue)."""
    if (ALL if campaign_id is None else CAMPAIGN) not in thing.modes:
        return False
    if campaign_id is None and not thing.everyone and getattr(user, "only_own_campaigns", False):
        return False
    return thing.level == "may_view" or bool(getattr(user, thing.level, False))


def visible_pages(user: object, campaign_id: int | None = None) -> list[Page]:
    """The pages this user's role may open in this mode, in the order of the menu."""
    pages = [page for page in PAGES if visible(user, page, campaign_id)]
    return sorted(pages, key=lambda page: page.position)

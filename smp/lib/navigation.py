"""Tabs, side menus and the pages the search box knows (NAV-1, NAV-3). Apps register theirs in AppConfig.ready()."""

from collections.abc import Callable
from dataclasses import dataclass, field

from django.utils.functional import Promise

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


@dataclass(frozen=True)
class Tab:
    key: str
    label: Text
    position: int


TABS: dict[str, Tab] = {}
PAGES: list[Page] = []
# tab key → functions that answer with a sentence to stand on each page of the tab, or nothing
NOTICES: dict[str, list[Callable[[], Text | None]]] = {}


def register_tab(tab: Tab) -> None:
    TABS[tab.key] = tab


def register_page(page: Page) -> None:
    if page not in PAGES:
        PAGES.append(page)


def register_notice(tab: str, notice: Callable[[], Text | None]) -> None:
    """A reminder on every page of a tab, as long as `notice()` answers with a sentence."""
    notices = NOTICES.setdefault(tab, [])
    if notice not in notices:
        notices.append(notice)


def visible_pages(user: object) -> list[Page]:
    """The pages this user's role may open, in the order of the menu."""
    pages = [page for page in PAGES if page.level == "may_view" or getattr(user, page.level, False)]
    return sorted(pages, key=lambda page: page.position)

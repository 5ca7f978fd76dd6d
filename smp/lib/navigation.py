"""Tabs, side menus and the pages the search box knows (NAV-1, NAV-3). Apps register theirs in AppConfig.ready()."""

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


@dataclass(frozen=True)
class Tab:
    key: str
    label: Text
    position: int


TABS: dict[str, Tab] = {}
PAGES: list[Page] = []


def register_tab(tab: Tab) -> None:
    TABS[tab.key] = tab


def register_page(page: Page) -> None:
    if page not in PAGES:
        PAGES.append(page)

"""NAV-3: the one search box. Apps register what they can find; pages are found here, under old and new names."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise

from smp.lib.mode import BLUE
from smp.lib.navigation import TABS, Page, visible, visible_pages

Text = str | Promise

LIMIT = 8  # results of one kind
LONGEST = 200  # characters of a question


@dataclass(frozen=True)
class Result:
    title: str
    url: str
    note: str = ""


@dataclass(frozen=True)
class Finder:
    """`search(user, text, campaign_id)` answers with at most LIMIT results, best first; `text` is trimmed, never empty;
    `campaign_id` is that of the mode, None for all campaigns."""

    key: str
    label: Text
    search: Callable[[object, str, int | None], Iterable[Result]]
    position: int = 50
    level: str = "may_view"
    more: str = ""  # URL name of a list that shows all of them for ?q=
    modes: Collection[str] = BLUE
    everyone: bool = False


FINDERS: dict[str, Finder] = {}
ALIASES: dict[str, set[str]] = {}  # URL name → further names of the page
# Words that mean the same (NAV-3); compared after `normalise`.
SYNONYMS: list[tuple[str, str]] = []

_TO_HIRAGANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}


def register_finder(finder: Finder) -> None:
    FINDERS[finder.key] = finder


def register_aliases(url_name: str, *names: str) -> None:
    ALIASES.setdefault(url_name, set()).update(names)


def register_synonyms(first: str, second: str) -> None:
    pair = (normalise(first), normalise(second))
    if pair not in SYNONYMS:
        SYNONYMS.append(pair)


def normalise(text: str) -> str:
    """What two spellings have in common: NFKC, lower case, hiragana for katakana, no long-vowel mark (ユーザー = ユーザ),
    no spaces, dots or brackets."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_TO_HIRAGANA)
    return re.sub(r"[\sー・()「」\[\].,、。/_-]", "", folded)


def clean_question(text: str) -> str:
    return text.replace("\0", "").strip()[:LONGEST].strip()


def find(user: object, text: str, campaign_id: int | None = None) -> list[tuple[Finder, list[Result]]]:
    """What each finder knows, in the order of their positions; kinds with no result are left out."""
    text = clean_question(text)
    if not text:
        return []
    finders = [finder for finder in FINDERS.values() if visible(user, finder, campaign_id)]
    found = []
    for finder in sorted(finders, key=lambda finder: finder.position):
        if results := list(finder.search(user, text, campaign_id))[:LIMIT]:
            found.append((finder, results))
    return found


def find_pages(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    """Pages of the menus by label (in every language) and alias: equal first, then beginning, then containing."""
    wanted = _spellings(normalise(text))
    if not any(wanted):
        return []
    ranked = []
    for page in visible_pages(user, campaign_id):
        names = [normalise(name) for name in _names(page)]
        rank = min((_rank(name, question) for name in names for question in wanted if question), default=3)
        if rank < 3:
            tab = TABS.get(page.tab)
            ranked.append(
                (
                    rank,
                    Result(
                        str(page.label), reverse(page.start or page.url_name), str(tab.label) if tab else ""
                    ),
                )
            )
    return [result for _rank_, result in sorted(ranked, key=lambda pair: pair[0])]


def _rank(name: str, question: str) -> int:
    if name == question:
        return 0
    if name.startswith(question):
        return 1
    return 2 if question in name else 3


def _names(page: Page) -> Iterable[str]:
    for language, _label in settings.LANGUAGES:
        with translation.override(language):
            yield str(page.label)
    yield from page.aliases
    yield from ALIASES.get(page.url_name, ())


def _spellings(question: str) -> set[str]:
    """The question, and with each synonym put for the other."""
    found = {question}
    for first, second in SYNONYMS:
        for before, after in ((first, second), (second, first)):
            if before in question:
                found.add(question.replace(before, after))
    return found

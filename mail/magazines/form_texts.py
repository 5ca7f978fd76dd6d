"""「デフォルト表示設定」 (OPT-8): the texts of a magazine's public pages, as they come with the product or as it was given its own.

`Magazine.texts` holds only what differs: {page: {part: Japanese, part + "_en": English}}. All of it is plain text; the
templates escape it. A text of its own in Japanese only leaves the English page as it comes with the product.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from mail.magazines.form_words import STANDARD
from mail.magazines.locks import hold
from mail.mail_kinds import Text
from mail.models import Magazine
from settings import audit
from settings.models import User

LANGUAGES = ("ja", "en")
LINE_MAX, TEXT_MAX = 100, 2000
# Parts of a page. Title, warning and button are one line.
TITLE, WARNING, BODY, CONSENT, BUTTON = "title", "warning", "body", "consent", "button"
PART_LABELS: dict[str, Text] = {
    TITLE: pgettext_lazy("of a page", "Title"),
    WARNING: gettext_lazy("In big letters"),
    BODY: pgettext_lazy("of a page", "Text"),
    CONSENT: gettext_lazy("Sentence of consent"),
    BUTTON: gettext_lazy("Button"),
}
LINES = frozenset({TITLE, WARNING, BUTTON})


@dataclass(frozen=True)
class FormPage:
    """`confirms`: nothing has happened yet when it is shown, and it must say so (OPT-8)."""

    key: str
    label: Text
    help: Text
    confirms: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(STANDARD[self.key])


PAGES: tuple[FormPage, ...] = (
    FormPage("register", gettext_lazy("Registration form"), gettext_lazy("Where an address is entered.")),
    FormPage("register_confirm", gettext_lazy("Confirmation page of the registration"),
             gettext_lazy("Shown before a registration is sent."), confirms=True),
    FormPage("register_sent", gettext_lazy("After the form: a mail was sent"),
             gettext_lazy("With double opt-in."), confirms=True),
    FormPage("register_accepted", gettext_lazy("After the form: registered"),
             gettext_lazy("Without double opt-in.")),
    FormPage("prove", gettext_lazy("Page of the link in the confirmation mail"),
             gettext_lazy("With the button that completes the registration."), confirms=True),
    FormPage("registered", gettext_lazy("Registration completed"),
             gettext_lazy("After the button of the confirmation mail's page.")),
    FormPage("closed", gettext_lazy("Registration closed"),
             gettext_lazy("Instead of the form while registrations are not accepted.")),
    FormPage("leave", gettext_lazy("Form for leaving"), gettext_lazy("Where an address is entered.")),
    FormPage("leave_confirm", gettext_lazy("Confirmation page of leaving"),
             gettext_lazy("Shown before leaving counts."), confirms=True),
    FormPage("opt_out", gettext_lazy("Opt-out page of a mail"),
             gettext_lazy("Behind the opt-out URL: this magazine only, or all mails."), confirms=True),
    FormPage("one_click", gettext_lazy("One-click page"),
             gettext_lazy("When the one-click address of a mail is opened."), confirms=True),
    FormPage("left", gettext_lazy("Leaving completed"),
             gettext_lazy("After all ways of leaving. Mails that were handed over before may still arrive: say so.")),
)  # fmt: skip
_BY_KEY = {page.key: page for page in PAGES}
_NOT_YET = {
    "ja": re.compile(r"まだ|未完了|完了していません|完了ではありません|完了しておりません"),
    "en": re.compile(r"\byet\b|\bnot (?:done|complete|finished|registered|unsubscribed)", re.IGNORECASE),
}


def page_of(key: str) -> FormPage | None:
    return _BY_KEY.get(key)


def standard(page: str, part: str, language: str) -> str:
    """The text that comes with the product."""
    with translation.override(language if language in LANGUAGES else "ja"):
        return str(STANDARD[page][part])


def text(magazine: Magazine, page: str, part: str, language: str) -> str:
    """The magazine's own text, or the standard one."""
    return own_text(magazine, page, part, language) or standard(page, part, language)


def own_text(magazine: Magazine, page: str, part: str, language: str) -> str:
    """ "" where it is the standard one."""
    return str(magazine.texts.get(page, {}).get(stored_as(part, language), ""))


def stored_as(part: str, language: str) -> str:
    return part if language == "ja" else f"{part}_{language}"


def texts(magazine: Magazine, page: str, language: str) -> dict[str, str]:
    """All parts of a page: {part: text}."""
    return {part: text(magazine, page, part, language) for part in STANDARD[page]}


def clean(page: str, values: dict[str, str]) -> dict[str, str]:
    """The values of a page's form, {part or part_en: text}, as they are stored: without what is empty or the standard text.
    ValidationError by name."""
    problems, kept = {}, {}
    for part in STANDARD[page]:
        for language in LANGUAGES:
            name = stored_as(part, language)
            one = _tidy(values.get(name, ""), line=part in LINES)
            most = LINE_MAX if part in LINES else TEXT_MAX
            if len(one) > most:
                problems[name] = _("At most %(most)s characters.") % {"most": most}
            elif one and one != standard(page, part, language):
                kept[name] = one
    if problems:
        raise ValidationError(problems)
    return kept


def _tidy(text: str, *, line: bool) -> str:
    text = (
        text.replace("\0", "")
        .encode("utf-8", "ignore")
        .decode("utf-8")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    return " ".join(text.split()) if line else text.strip()


def save_texts(
    magazine: Magazine,
    page: str,
    values: dict[str, str],
    *,
    user: User | None,
    now: datetime,
    ip: str | None = None,
) -> Magazine:
    """Stores a page's texts; empty ones, or no values at all, are the standard text again. ValidationError by name. The
    audit log keeps every wording and its version (OPT-10: consent names the version that was seen)."""
    kept = clean(page, values)
    with transaction.atomic():
        magazine = hold(magazine.pk, alone=True)
        before = magazine.texts.get(page, {})
        if kept == before:
            return magazine
        magazine.texts = {key: value for key, value in magazine.texts.items() if key != page}
        if kept:
            magazine.texts[page] = kept
        magazine.updated_at = now
        magazine.save(update_fields=["texts", "updated_at"])
        changes = {
            f"{page}.{name}": [before.get(name, ""), kept.get(name, "")]
            for name in sorted(before.keys() | kept.keys())
            if before.get(name) != kept.get(name)
        }
        detail = {"page": page, "changes": changes, "version": form_version(magazine)}
        audit.record("magazine.texts", user=user, target=magazine, detail=detail, ip=ip)
    return magazine


def form_version(magazine: Magazine, language: str = "ja") -> str:
    """Names what somebody reads before they register (OPT-10): other words, another version."""
    seen = [texts(magazine, page, language) for page in ("register", "register_confirm", "prove")]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:8]


def unclear(magazine: Magazine) -> list[tuple[FormPage, str]]:
    """OPT-8: (page, language) of own texts that no longer say that it is not done yet."""
    return [
        (page, language)
        for page in PAGES
        if page.confirms and page.key in magazine.texts
        for language in LANGUAGES
        if not says_not_yet(texts(magazine, page.key, language), language)
    ]


def says_not_yet(shown: dict[str, str], language: str) -> bool:
    return any(_NOT_YET[language].search(shown.get(part, "")) for part in (TITLE, WARNING, BODY))

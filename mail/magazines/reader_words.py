"""Causes and sources in a reader's history, in words: for the reader's page and for 「なぜ届いた・届かなかったのか」."""

import re

from django.utils.translation import gettext as _

from mail.models import ReaderChange

# Where somebody registered or left by themselves, as ReaderChange.source and the consent of the lead keep it.
LEAVE_FORM, OPT_OUT_PAGE, EMPTY_MAIL = "leave form", "opt-out page of the magazine", "empty mail"
_FORM = re.compile(r"form (\w+) \((\w+)\)")


def form_source(version: str, language: str) -> str:
    """OPT-10: the wording of the form that was seen."""
    return f"form {version} ({language})"


def source_in_words(source: str) -> str:
    """「登録フォーム(文面 cb25f986, ja)」; any other source as it is."""
    if found := _FORM.fullmatch(source):
        return _("Registration form (wording %(version)s, %(language)s)") % {
            "version": found[1], "language": found[2],
        }  # fmt: skip
    known = {
        LEAVE_FORM: _("Form for leaving"),
        OPT_OUT_PAGE: _("Opt-out page of the magazine"),
        EMPTY_MAIL: _("Empty mail"),
    }
    return known.get(source, source)


def cause_of(change: ReaderChange) -> str:
    """How it came about: the way, and of an error stop the cause with its numbers."""
    words = str(change.get_way_display())
    if change.group and "failures" in change.detail:
        limit = change.detail.get("threshold")
        return _("%(way)s: %(cause)s, %(count)s times (threshold %(limit)s)") % {
            "way": words, "cause": change.get_group_display(), "count": change.detail["failures"],
            "limit": "–" if limit is None else limit,
        }  # fmt: skip
    return f"{words}: {change.get_group_display()}" if change.group else words

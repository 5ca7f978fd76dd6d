"""Causes in a reader's history, in words: for the reader's page and for 「なぜ届いた・届かなかったのか」."""

from django.utils.translation import gettext as _

from mail.models import ReaderChange


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

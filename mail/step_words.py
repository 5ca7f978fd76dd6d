"""How a step mail is said on the screens: its wait, its origin, and the whole of it in plain sentences (STEP-1..6)."""

from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from leads.models import DmPermission
from mail.models import StepMail, StepOrigin
from mail.recipients.explain_steps import wait_text
from mail.url_patterns import check_pattern

HOUR, DAY = 60, 24 * 60


def split_wait(minutes: int) -> tuple[int, int, int]:
    """Days, hours and minutes, as 「送信タイミング」 asks for them."""
    return minutes // DAY, minutes % DAY // HOUR, minutes % HOUR


def span_text(minutes: int) -> str:
    """3日 · 1日 2時間 30分: the parts that are not zero."""
    return wait_text(timedelta(minutes=minutes))


def timing_text(step: StepMail) -> str:
    """For a column: 起点から3日後."""
    if not step.wait_minutes:
        return _("right after the origin")
    return _("%(span)s after the origin") % {"span": span_text(step.wait_minutes)}


def after_text(step: StepMail) -> str:
    """In a sentence: 申込から3日後."""
    span = {"span": span_text(step.wait_minutes)}
    if step.origin == StepOrigin.APPLICATION:
        return (
            _("%(span)s after the application") % span
            if step.wait_minutes
            else _("right after the application")
        )
    return (
        _("%(span)s after the view of the page") % span
        if step.wait_minutes
        else _("right after the view of the page")
    )


def origin_text(step: StepMail) -> str:
    """For a column: 申込, or the page's URL."""
    return _("Application (origin)") if step.origin == StepOrigin.APPLICATION else step.url_pattern


def main_sentence(step: StepMail) -> str:
    """Whom it is sent to, what and when. `template`, `search` and `campaign` loaded: no query."""
    names = {
        "search": step.search.name if step.search else "–",
        "template": step.template.name if step.template else "–",
        "after": after_text(step),
    }
    if step.origin == StepOrigin.APPLICATION:
        return _(
            "Whoever applies for “%(campaign)s”, and matches the search condition “%(search)s” then and when the mail is due, is "
            "sent “%(template)s” %(after)s."
        ) % (names | {"campaign": step.campaign.name if step.campaign else "–"})
    return _(
        "Whoever views %(pattern)s, and matches the search condition “%(search)s” then and when the mail is due, is sent "
        "“%(template)s” %(after)s."
    ) % (names | {"pattern": step.url_pattern or "–"})


def other_sentences(step: StepMail) -> list[str]:
    """What else holds: whose DM許可, people who received it before, counting."""
    said = []
    if DmPermission.UNWANTED in step.dm_permissions:
        said.append(_("People who do not want mail get it too (business notice)."))
    else:
        said.append(_("Only people whose DM permission is “Wanted” get it."))
    if step.include_sent:
        said.append(_("Who already received this template gets it again, once for every origin."))
    else:
        said.append(_("Who already received this template in any way does not get it again."))
    if step.count_clicks or step.count_opens:
        urls = len(step.counted_urls or [])
        counted = (
            [ngettext("clicks on %(n)s URL", "clicks on %(n)s URLs", urls) % {"n": urls}] if urls else []
        )
        counted += [_("opens")] if step.count_opens else []
        if counted:
            said.append(_("Counted: %(what)s.") % {"what": "・".join(counted)})
    return said


def pattern_sentence(pattern: str) -> str:
    """What a URL pattern means, as a sentence; ValidationError for one that is none."""
    text = check_pattern(pattern)
    scheme, colon, rest = text.partition("://")
    page, mark, query = (rest if colon else text).partition("?")
    if page.endswith("/*") and "*" not in page[:-2]:
        meant = _("%(page)s and every page below it.") % {"page": page[:-2]}
    elif "*" in page:
        meant = _("Every page like %(page)s, where * stands for anything.") % {"page": page}
    else:
        meant = _("Just the page %(page)s.") % {"page": page.rstrip("/")}
    said = [meant]
    if mark and query:
        said.append(_("What stands behind ? must be %(query)s.") % {"query": query})
    else:
        said.append(_("Whatever stands behind ? in its address does not matter."))
    if colon:
        said.append(_("Only with %(scheme)s://.") % {"scheme": scheme.lower()})
    return " ".join(said)

"""What a change of a story does, in sentences, from the numbers of mail/stories/stories.py (MAG-8: nobody is skipped or flooded
without having been told). Pure."""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail.models.story import Story, StoryKind
from mail.stories.stories import Outlook


def sentences(story: Story, change: str, look: Outlook) -> list[str]:
    """`change`: start, pause, go_on, delete, up, down, timing."""
    if story.kind == StoryKind.EXTRA:
        return [_("The issue is not sent. What was sent already stays in the delivery history.")]
    if story.kind == StoryKind.LOOP:
        return _of_loop(change, look)
    return _of_step(change, look)


def _of_loop(change: str, look: Outlook) -> list[str]:
    if change == "pause":
        return [
            _("It does not start any more until it goes on. Starts of the time between are not made up for.")
        ]
    if change == "delete":
        return [_("It never starts again. What was sent already stays in the delivery history.")]
    if look.next_at is None:
        return [_("There is no day on which it would start.")]
    said = [
        _("It starts next on %(at)s, and who gets it is decided then.") % {"at": moment_text(look.next_at)}
    ]
    if change == "go_on":
        said.append(_("Starts of the time it was paused are not made up for."))
    return said


def _of_step(change: str, look: Outlook) -> list[str]:
    said = []
    if change == "pause":
        said.append(
            ngettext(
                "%(n)s reader waits for this story. They wait until it goes on, and with it for all stories that follow.",
                "%(n)s readers wait for this story. They wait until it goes on, and with it for all stories that follow.",
                look.waits,
            )
            % {"n": look.waits}
        )
        return said
    if change == "delete":
        said.append(
            ngettext(
                "%(n)s reader who waits for this story does not get it and goes on with the next one.",
                "%(n)s readers who wait for this story do not get it and go on with the next one.",
                look.waited,
            )
            % {"n": look.waited}
        )
        said.append(_("What was sent already stays in the delivery history."))
    else:
        said += _who_waits(look)
    if look.later:
        said.append(_readers_later(look.later))
    if look.sooner:
        said.append(_readers_sooner(look.sooner))
    if look.ended:
        said.append(
            ngettext(
                "For %(n)s reader the series is over by it.",
                "For %(n)s readers the series is over by it.",
                look.ended,
            )
            % {"n": look.ended}
        )
    if look.held:
        said.append(
            ngettext(
                "%(n)s reader waits for a story that is paused.",
                "%(n)s readers wait for a story that is paused.",
                look.held,
            )
            % {"n": look.held}
        )
    return said


def _who_waits(look: Outlook) -> list[str]:
    if not look.waits:
        return [_("Nobody waits for it now. Readers get it when their turn comes.")]
    said = [
        ngettext(
            "%(n)s reader waits for this story then.", "%(n)s readers wait for this story then.", look.waits
        )
        % {"n": look.waits}
    ]
    if look.first_at and look.last_at:
        times = {"first": moment_text(look.first_at), "last": moment_text(look.last_at)}
        if look.first_at == look.last_at:
            said.append(_("It is sent on %(first)s.") % times)
        else:
            said.append(_("It is sent from %(first)s to %(last)s.") % times)
    if look.at_once:
        said.append(
            ngettext(
                "%(n)s of them gets it within minutes, because the time has come.",
                "%(n)s of them get it within minutes, because their time has come.",
                look.at_once,
            )
            % {"n": look.at_once}
        )
    return said


def _readers_later(number: int) -> str:
    return ngettext(
        "%(n)s reader gets the next mail later than before.",
        "%(n)s readers get their next mail later than before.",
        number,
    ) % {"n": number}


def _readers_sooner(number: int) -> str:
    return ngettext(
        "%(n)s reader gets the next mail sooner than before.",
        "%(n)s readers get their next mail sooner than before.",
        number,
    ) % {"n": number}


def moment_text(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{date_format(local, 'Y-m-d')} {local:%H:%M}"

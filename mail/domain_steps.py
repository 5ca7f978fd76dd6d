"""What to do next with a sending domain: one sentence, and where there is one, the button that does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from mail.check_items import OK, UNKNOWN, WARNING, WRONG, CheckItem
from mail.models.sending_domain import DkimKey, KeyState, SendingDomain
from mail.sending_domains import stay_rule

ROTATE_AFTER = timedelta(days=180)  # M3AAWG: twice a year at least


@dataclass(frozen=True)
class Step:
    """`action`: check, make, activate or revoke, "" where the work is elsewhere (in DNS); `key` what it is about."""

    text: str
    action: str = ""
    key: DkimKey | None = None


@dataclass(frozen=True)
class KeyLine:
    """One key as the page shows it: its state, what DNS has, and what may be done with it."""

    key: DkimKey
    item: CheckItem | None
    text: str
    actions: tuple[str, ...]  # activate, revoke, delete


def next_step(
    domain: SendingDomain, keys: Sequence[DkimKey], items: Sequence[CheckItem], *, now: datetime
) -> Step:
    """The most urgent one: first a key that signs, then what is wrong, then the upkeep."""
    by_selector = {item.key.removeprefix("dkim:"): item for item in items if item.key.startswith("dkim:")}
    active = [key for key in keys if key.state == KeyState.ACTIVE]
    waiting = [key for key in keys if key.state == KeyState.WAITING]
    for key in waiting:
        return _with_waiting(key, by_selector.get(key.selector))
    if not active:
        return Step(_("Make a key: without one, mails leave unsigned."), "make")
    if not items or domain.checked_at is None:
        return Step(_("Press “Check now”: DNS was not asked yet."), "check")
    for state in (WRONG, WARNING):
        for item in items:
            if item.state == state and item.group == "domain" and not item.key.endswith("_alignment"):
                return Step(f"{item.title}: {item.text}")
    stay = stay_rule()
    for key in keys:
        until = stay(key)
        if until is not None and until <= now:
            return Step(
                _("The old key %(selector)s was published long enough. Revoke it.")
                % {"selector": key.selector},
                "revoke",
                key,
            )
    for key in active:
        if key.activated_at is not None and key.activated_at < now - ROTATE_AFTER:
            return Step(
                _("The key %(selector)s has signed for half a year. Make a new one and change over.")
                % {"selector": key.selector},
                "make",
                key,
            )
    if any(item.state == UNKNOWN and item.group == "domain" for item in items):
        return Step(_("DNS did not answer everything. Check again later."), "check")
    return Step(_("All is well with this domain. Nothing to do."))


def _with_waiting(key: DkimKey, item: CheckItem | None) -> Step:
    if item is not None and item.state == OK:
        return Step(
            _("The record of key %(selector)s is published. Sign with it now.") % {"selector": key.selector},
            "activate",
            key,
        )
    if item is None:
        return Step(
            _("Publish the record of key %(selector)s below, then press “Check now”.")
            % {"selector": key.selector},
            "check",
            key,
        )
    return Step(f"DKIM {key.selector}: {item.text}", "check", key)


def key_lines(keys: Sequence[DkimKey], items: Sequence[CheckItem], *, now: datetime) -> list[KeyLine]:
    by_selector = {item.key.removeprefix("dkim:"): item for item in items if item.key.startswith("dkim:")}
    stay = stay_rule()
    lines = []
    for key in keys:
        item = by_selector.get(key.selector)
        actions: tuple[str, ...] = ()
        if key.state == KeyState.WAITING:
            actions = ("activate", "delete")
            text = item.text if item else _("Publish its record, then check.")
        elif key.state == KeyState.ACTIVE:
            text = item.text if item else _("Signs; not checked yet.")
        elif key.state == KeyState.RETIRING:
            until = stay(key)
            actions = ("revoke",)
            text = _("Leave its record as it is until %(until)s, then revoke it.") % {
                "until": timezone.localtime(until).date().isoformat() if until else ""
            }
        else:
            actions = ("delete",)
            text = item.text if item else _("Replace its record by the one with an empty p=, or remove it.")
        lines.append(KeyLine(key, item, text, actions))
    return lines


def rotation_stage(keys: Sequence[DkimKey], items: Sequence[CheckItem], *, now: datetime) -> int:
    """Where the change of keys stands: 1 make, 2 publish, 3 sign, 4 keep the old one, 5 revoke it; 0 = none is on its way."""
    ready = {item.key.removeprefix("dkim:") for item in items if item.code == "dkim_ready"}
    waiting = [key for key in keys if key.state == KeyState.WAITING]
    if waiting:
        return 3 if any(key.selector in ready for key in waiting) else 2
    if any(key.state == KeyState.RETIRING for key in keys):
        stay = stay_rule()
        over = [until <= now for key in keys if (until := stay(key)) is not None]
        return 5 if any(over) else 4
    return 0 if any(key.state == KeyState.ACTIVE for key in keys) else 1

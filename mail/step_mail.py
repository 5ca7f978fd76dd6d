"""「ステップメール」 (STEP-1..6): its life, and what may be changed when. Every change of state is here.

    draft → active ⇄ stopped, any of them → deleted

What may be changed: everything of a draft. Of one that was started its name, condition, template, DM許可, 送信済 and counting:
whatever is decided from then on goes by the new choice, also for those who wait already. The wait and the page's URL change
for origins from then on only: who waits keeps the time. Counted URLs are looked for by URL in whatever template there is. While it is in operation a change that could not be started is
refused, so that nothing breaks in the night.

What this module does not do: start waits (mail/step_waits.py) or decide them (mail/step_due.py).
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Count
from django.utils.translation import gettext as _

from leads.models import DmPermission, SavedSearch
from leads.search import validate_condition
from mail.alignment import Alignment
from mail.models import Delivery, MailTemplate, StepMail, StepOrigin, StepState, StepWait, WaitState
from mail.models.delivery import OPEN, DeliveryState
from mail.models.template import Purpose
from mail.problems import Problem, alignment_of, alignment_problems
from mail.recipients.reasons import Reason
from mail.send_jobs import Refused, of_other_mode, other_search_text, other_template_text, unwanted_text
from mail.template_check import check_template
from mail.url_patterns import check_pattern
from settings import audit
from settings.models import User

WAIT_MAX = 366 * 24 * 60  # minutes
NAME_MAX = 100
_COUNTING = ("count_clicks", "count_opens", "counted_urls")
CHANGEABLE = {
    "name", "url_pattern", "search", "template", "wait_minutes", "dm_permissions", "unwanted_confirmed", "include_sent",
    *_COUNTING,
}  # fmt: skip
STARTED = (StepState.ACTIVE, StepState.STOPPED)


@dataclass
class StepCounts:
    """Of one step mail, from its waits and deliveries. What was decided = open + sent + error + unknown + excluded."""

    waiting: int = 0
    open: int = 0  # decided and on its way
    sent: int = 0
    error: int = 0
    unknown: int = 0
    excluded: int = 0  # decided, or stopped on the way, with a reason: a delivery
    stopped: int = 0  # never came to a decision: a wait without delivery
    by_reason: dict[str, int] = field(default_factory=dict)  # of excluded and stopped together
    excluded_by_reason: dict[str, int] = field(default_factory=dict)
    stopped_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def not_sent(self) -> int:
        return self.excluded + self.stopped


# ---- setting up ------------------------------------------------------------------------------------------------------


def create_draft(
    *,
    user: User | None,
    name: str = "",
    campaign_id: int | None = None,
    token: uuid.UUID | None = None,
    **values: Any,
) -> StepMail:
    """A step mail of a mode, not in operation. The mode says what starts it (STEP-3). One token makes one row, however
    often it is posted. Refused("other_mode") as for mailings; ValidationError by field for a name, wait or URL."""
    cleaned = _cleaned(values | {"name": name}, campaign_id)
    origin = StepOrigin.PAGE_VIEW if campaign_id is None else StepOrigin.APPLICATION
    step, _created = StepMail.objects.get_or_create(
        token=token or uuid.uuid4(),
        defaults={"campaign_id": campaign_id, "origin": origin, "created_by": user, **cleaned},
    )
    return step


def change_draft(step: StepMail, **values: Any) -> StepMail:
    """Refused("only_draft") for one that was started: `change` it. With another template the choice of counted URLs is made
    again (TRK-1)."""
    cleaned = _cleaned(values, step.campaign_id)
    if "template" in cleaned and cleaned["template"] != step.template and step.counted_urls is not None:
        cleaned = {"counted_urls": None, "count_opens": False} | cleaned
    if not StepMail.objects.filter(pk=step.pk, state=StepState.DRAFT).update(**cleaned):
        raise Refused("only_draft", _("This step mail was already started. Change it on its own page."))
    step.refresh_from_db()
    return step


def change(
    step: StepMail, *, user: User | None, now: datetime, ip: str | None = None, **values: Any
) -> StepMail:
    """Changes one that was started (see above what for whom). While in operation Refused when it could not go on like that."""
    cleaned = _cleaned(values, step.campaign_id)
    aligned = _alignment(cleaned.get("template") or step.template, now=now)
    with transaction.atomic():
        current = _locked(step, STARTED, _("Only a step mail that was started can be changed here."))
        changes = _changes(current, cleaned)
        for name, value in cleaned.items():
            setattr(current, name, value)
        if current.state == StepState.ACTIVE:
            _refuse_problems(current, now=now, aligned=aligned)
            current.trouble = ""
        current.save()
        if changes:
            _record("step_mail.change", current, user=user, ip=ip, detail={"changes": changes})
    step.refresh_from_db()
    return step


def problems(step: StepMail, *, now: datetime, aligned: Alignment | None = None) -> list[Problem]:
    """What stands between this step mail and its mails, worst first: for its pages, the start, and the moment a mail is due.
    Inside a transaction hand over `aligned`: asking DNS takes seconds."""
    found: list[Problem] = []
    if not step.name.strip():
        found.append(Problem("no_name", _("Enter a name.")))
    found += _search_problems(step)
    if step.origin == StepOrigin.PAGE_VIEW:
        try:
            check_pattern(step.url_pattern)
        except ValidationError as error:
            found.append(Problem("url_pattern", " ".join(error.messages)))
    if step.template is None:
        return [*found, Problem("no_template", _("Choose a template."))]
    if step.template.archived_at:
        found.append(Problem("archived", _("The template was archived. Choose another one, or restore it.")))
    if of_other_mode(step.template, step.campaign_id):
        found.append(Problem("other_mode", other_template_text()))
    for problem in check_template(step.template):
        text = f"{problem.label}: {problem.text}"
        found.append(Problem(f"template_{problem.field}", text, problem.severity))
    found += alignment_problems(step.template, aligned, now=now)
    if step.count_clicks and step.counted_urls is None and step.state == StepState.DRAFT:
        text = _("Choose which URLs are counted, or do not count clicks.")
        found.append(Problem("no_url_choice", text))
    if not step.dm_permissions:
        found.append(Problem("no_dm_permission", _("Tick at least one value of DM permission.")))
    if DmPermission.UNWANTED in step.dm_permissions:
        if step.template.purpose == Purpose.ADVERTISING:
            found.append(Problem("unwanted_advertising", unwanted_text()))
        elif not step.unwanted_confirmed:
            found.append(
                Problem(
                    "unwanted_not_confirmed", _("Confirm that people who do not want mail will be mailed.")
                )
            )
    return sorted(found, key=lambda problem: problem.severity != "error")


def _search_problems(step: StepMail) -> list[Problem]:
    """STEP-2."""
    search = step.search
    if search is None:
        return [Problem("no_condition", _("Choose a search condition."))]
    if search.campaign_id != step.campaign_id:
        return [Problem("other_mode", other_search_text())]
    if not search.shared:
        return [Problem("not_shared", not_shared_text())]
    try:
        validate_condition(search.condition, campaign_id=step.campaign_id)
    except ValidationError as error:  # it names something that is gone
        return [Problem("condition", " ".join(error.messages))]
    return []


def not_shared_text() -> str:
    return _(
        "Step mails use only search conditions that were saved with “Save the search condition (all users may use it)”."
    )


# ---- from the start on -----------------------------------------------------------------------------------------------


def start(step: StepMail, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """Puts it into operation: origins from now on count. True the first time; False when it was started before (as RSV-5).
    Refused when something is wrong (the first error of `problems`)."""
    aligned = _alignment(step.template, now=now)
    with transaction.atomic():
        current = _locked(step, tuple(StepState), "")
        if current.state in STARTED:
            step.refresh_from_db()
            return False
        if current.state != StepState.DRAFT:
            raise Refused("wrong_state", _("This step mail was deleted."))
        _put_into_operation(current, now=now, aligned=aligned)
        _record("step_mail.start", current, user=user, ip=ip, detail=_choices(current))
    step.refresh_from_db()
    return True


def stop(step: StepMail, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """From now on no origin counts, and nothing is decided. Who waits goes on waiting; what was decided goes out."""
    with transaction.atomic():
        current = _locked(step, (StepState.ACTIVE,), _("Only a step mail in operation can be stopped."))
        current.state, current.trouble = StepState.STOPPED, ""
        current.save()
        _record("step_mail.stop", current, user=user, ip=ip)
    step.refresh_from_db()


def go_on(step: StepMail, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """In operation again, checked like the start. Who waited is decided when the time comes, or at once if it has come; what is
    overdue by more than the system setting allows is not sent (too_late). Origins of the time between do not count."""
    aligned = _alignment(step.template, now=now)
    with transaction.atomic():
        current = _locked(step, (StepState.STOPPED,), _("Only a stopped step mail can go on."))
        _put_into_operation(current, now=now, aligned=aligned)
        _record("step_mail.go_on", current, user=user, ip=ip)
    step.refresh_from_db()


def discard(step: StepMail, *, user: User | None, now: datetime, ip: str | None = None) -> None:
    """Throws a draft away. Refused for one that was started meanwhile."""
    _delete(step, (StepState.DRAFT,), user=user, now=now, ip=ip)


def delete(step: StepMail, *, user: User | None, now: datetime, ip: str | None = None) -> int:
    """Ends it for good: who waits is not mailed, nor is what was decided but not handed over (step_deleted; mails in a
    worker's hands are refused at the intent). Its history stays; a draft has none and is gone. Returns how many mails
    are not sent. Deleted before: 0."""
    return _delete(step, tuple(StepState), user=user, now=now, ip=ip)


def _delete(
    step: StepMail, states: tuple[StepState, ...], *, user: User | None, now: datetime, ip: str | None
) -> int:
    with transaction.atomic():
        current = _locked(step, states, _("This step mail was already started. Change it on its own page."))
        if current.state == StepState.DELETED:
            step.refresh_from_db()
            return 0
        draft = current.state == StepState.DRAFT
        detail = _choices(current)
        waits = current.waits.filter(state=WaitState.WAITING).update(
            state=WaitState.STOPPED, reason=Reason.STEP_DELETED, decided_at=now
        )
        # After the waits: whoever was just deciding them has committed by now.
        not_sent = waits + _exclude_queued(current.pk, now=now)
        _record("step_mail.delete", current, user=user, ip=ip, detail={**detail, "not_sent": not_sent})
        if draft:
            current.delete()
            step.state = StepState.DELETED
            return 0
        # The condition may be deleted from now on; the audit log knows its name.
        current.state, current.trouble, current.search = StepState.DELETED, "", None
        current.save()
    step.refresh_from_db()
    return not_sent


def _exclude_queued(step_id: int, *, now: datetime) -> int:
    """As 緊急停止 does it. A mail that its lead took already (ADDR-4) is finished."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE mail_delivery
               SET state = 'excluded', reason = 'step_deleted', decided_at = %(now)s, next_at = NULL
             WHERE step_mail_id = %(step)s AND state IN ('queued', 'deferred') AND accepted = '{}'
            """,
            {"step": step_id, "now": now},
        )
        return int(cursor.rowcount)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def counts(steps: Iterable[StepMail]) -> dict[int, StepCounts]:
    """For each, in two queries."""
    found = {step.pk: StepCounts() for step in steps}
    waits = (
        StepWait.objects.filter(step_mail__in=found).order_by().values_list("step_mail", "state", "reason")
    )
    for step_id, state, reason, number in waits.annotate(n=Count("*")):
        if state == WaitState.WAITING:
            found[step_id].waiting += number
        elif state == WaitState.STOPPED:
            found[step_id].stopped += number
            found[step_id].stopped_by_reason[reason] = number
            _add_reason(found[step_id], reason, number)
    rows = Delivery.objects.filter(step_mail_id__in=found).order_by()
    for step_id, state, reason, number in rows.values_list("step_mail_id", "state", "reason").annotate(
        n=Count("*")
    ):
        name = "open" if state in OPEN else str(state)
        setattr(found[step_id], name, getattr(found[step_id], name) + number)
        if state == DeliveryState.EXCLUDED:
            found[step_id].excluded_by_reason[reason] = number
            _add_reason(found[step_id], reason, number)
    return found


def _add_reason(counted: StepCounts, reason: str, number: int) -> None:
    counted.by_reason[reason] = counted.by_reason.get(reason, 0) + number


# ---- helpers ---------------------------------------------------------------------------------------------------------


def _cleaned(values: dict[str, Any], campaign_id: int | None) -> dict[str, Any]:
    if unknown := set(values) - CHANGEABLE:
        raise TypeError(f"not changeable: {sorted(unknown)}")
    cleaned = dict(values)
    template: MailTemplate | None = cleaned.get("template")
    search: SavedSearch | None = cleaned.get("search")
    if template is not None and of_other_mode(template, campaign_id):
        raise Refused("other_mode", other_template_text())
    if search is not None and search.campaign_id != campaign_id:
        raise Refused("other_mode", other_search_text())
    if search is not None and not search.shared:
        raise Refused("not_shared", not_shared_text())
    if "name" in cleaned:
        cleaned["name"] = " ".join(str(cleaned["name"]).replace("\0", "").split())
        if len(cleaned["name"]) > NAME_MAX:
            raise ValidationError(
                {"name": _("The name can have at most %(limit)s characters.") % {"limit": NAME_MAX}}
            )
    if "wait_minutes" in cleaned and not 0 <= cleaned["wait_minutes"] <= WAIT_MAX:
        raise ValidationError({"wait_minutes": _("The wait is at most %(days)s days.") % {"days": 366}})
    if cleaned.get("url_pattern"):
        try:
            cleaned["url_pattern"] = check_pattern(cleaned["url_pattern"])
        except ValidationError as error:
            raise ValidationError({"url_pattern": error.messages}) from error
    return cleaned


def _locked(step: StepMail, states: tuple[StepState, ...], message: str) -> StepMail:
    """Applications that start a wait at this moment are let through first, or see the change (mail/step_waits.py)."""
    current = (
        StepMail.objects.select_for_update(of=("self",), no_key=True)
        .select_related("template", "search")
        .filter(pk=step.pk)
        .first()
    )
    if current is None:
        raise Refused("wrong_state", _("This step mail was deleted."))
    if current.state not in states:
        raise Refused("wrong_state", message)
    return current


def _alignment(template: MailTemplate | None, *, now: datetime) -> Alignment | None:
    """Before the row is locked: it may ask DNS."""
    return None if template is None else alignment_of(template.from_address, now=now)


def _refuse_problems(step: StepMail, *, now: datetime, aligned: Alignment | None) -> None:
    for problem in problems(step, now=now, aligned=aligned):
        if problem.severity == "error":
            raise Refused(problem.code, problem.text)


def _put_into_operation(step: StepMail, *, now: datetime, aligned: Alignment | None) -> None:
    _refuse_problems(step, now=now, aligned=aligned)
    step.state, step.active_since, step.trouble = StepState.ACTIVE, now, ""
    step.save()


def _shown(value: Any) -> Any:
    """For the log; of counted URLs their names."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [one["name"] for one in value]
    return value.name if isinstance(value, (MailTemplate, SavedSearch)) else value


def _changes(step: StepMail, values: dict[str, Any]) -> dict[str, list[Any]]:
    before = {name: getattr(step, name) for name in values}
    return {name: [_shown(before[name]), _shown(new)] for name, new in values.items() if before[name] != new}


def _choices(step: StepMail) -> dict[str, Any]:
    """What was chosen, for the audit log (OPT-4: also that people who do not want mail are mailed)."""
    chosen = {
        "template": _shown(step.template),
        "search": _shown(step.search),
        "wait_minutes": step.wait_minutes,
        "dm_permissions": list(step.dm_permissions),
        "include_sent": step.include_sent,
    }
    return chosen | ({"url_pattern": step.url_pattern} if step.url_pattern else {})


def _record(
    action: str, step: StepMail, *, user: User | None, ip: str | None, detail: dict[str, Any] | None = None
) -> None:
    audit.record(action, user=user, target=step, detail=detail, ip=ip, campaign_id=step.campaign_id)

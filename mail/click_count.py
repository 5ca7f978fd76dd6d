"""What a mailing counts (TRK-1, TRK-2, TRK-5), and the register of counted URLs, 「クリックカウントURL一覧」 (TRK-6).

    choose(job, urls={url: name}, opens=True)                 # the wizard's page 「クリックカウントURL指定」
    content, changes = with_counting(content, job, …)         # at the start: what is counted of the template of that moment

A choice is made of URLs, as they are written, and looked for **by URL** in the content that is really sent: order does not
matter, what is gone is not counted, and what is new is not counted unless it was chosen. A URL of the register never
changes and is never deleted, because links in mails carry its id. The only module that writes CountedUrl.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mail.counted_links import FoundUrl, find_urls, why_not, why_not_text
from mail.models.counting import CountedUrl, Counting
from mail.models.send_job import JobState, SendJob
from mail.models.step_mail import StepMail, StepState
from mail.models.template import MailForm, MailTemplate
from mail.modes import usable_in
from mail.refused import Refused
from settings import audit
from settings.models import User

NAME_MAX = 200
Changes = dict[str, Any]  # {"gone": [urls], "new": [urls]}, with "opens_lost": True when only text is left


class Choice(NamedTuple):
    urls: dict[str, str]  # {URL as written: name}
    opens: bool


# ---- choosing -------------------------------------------------------------------------------------------------------


def default_choice(template: MailTemplate) -> Choice:
    """Everything that can be counted, under the names of the register or else the mail's own words. One query."""
    found = countable_in(template)
    registered = dict(
        usable_in(template.campaign_id, CountedUrl.objects.filter(digest__in=_digests(found))).values_list(
            "url", "name"
        )
    )
    names = {url: registered.get(url) or _one_line(one.label) or url for url, one in found.items()}
    return Choice(
        {url: name[:NAME_MAX] for url, name in names.items()},
        template.form != MailForm.TEXT,
    )


def choose(
    counting: SendJob | StepMail,
    *,
    urls: Mapping[str, str],
    opens: bool,
    user: User | None = None,
    ip: str | None = None,
) -> None:
    """Keeps the choice of a draft. `urls`: {URL as it stands in the template: its name}; the names become those of the
    register. ValidationError for opens of a text mail (TRK-2), a URL that is not there or cannot be counted, or a name that is
    missing; Refused("only_draft") once it was confirmed or started."""
    template = counting.template
    if template is None:
        raise ValidationError(_("Choose a template."))
    found = countable_in(template)
    if opens and template.form == MailForm.TEXT:
        raise ValidationError(_("Opens of a text mail cannot be measured."))
    if missing := [url for url in urls if url not in found]:
        raise ValidationError(
            _("The template does not hold this URL, or it cannot be counted: %(url)s")
            % {"url": missing[0][:200]}
        )
    names = {url: _checked_name(name) for url, name in urls.items()}
    values: dict[str, Any] = {
        "count_clicks": True,
        "count_opens": opens,
        "counted_urls": [{"url": url, "name": name} for url, name in names.items()],
    }
    if isinstance(counting, SendJob):
        values["known_urls"] = list(found)
        drafts: QuerySet[Any] = SendJob.objects.filter(pk=counting.pk, state=JobState.DRAFT)
    else:
        drafts = StepMail.objects.filter(pk=counting.pk, state=StepState.DRAFT)
    with transaction.atomic():
        if not drafts.update(**values):
            raise Refused(
                "only_draft", _("This mailing was already confirmed; it cannot be changed any more.")
            )
        _rename(names, campaign_id=counting.campaign_id, user=user, ip=ip)
    for name, value in values.items():
        setattr(counting, name, value)


def countable_in(template: MailTemplate) -> dict[str, FoundUrl]:
    """{URL as written: what was found}, in the order of the mail, of a template as it is now."""
    return _countable(
        {"form": template.form, "text_body": template.text_body, "html_body": template.html_body}
    )


def still_fits(counting: SendJob, template: MailTemplate) -> bool:
    """Whether the choice of a draft says something about this template as well: the same URLs, opens only of HTML."""
    known = counting.known_urls if counting.known_urls is not None else _chosen(counting)
    return set(known) == set(countable_in(template)) and not (
        counting.count_opens and template.form == MailForm.TEXT
    )


def _countable(content: Mapping[str, Any]) -> dict[str, FoundUrl]:
    cleaned = {name: str(content[name]).replace("\0", "") for name in ("form", "text_body", "html_body")}
    return {one.url: one for one in find_urls(cleaned) if one.countable}


def _chosen(counting: Counting) -> dict[str, str]:
    return {str(one["url"]): str(one["name"]) for one in counting.counted_urls or []}


# ---- at the start ---------------------------------------------------------------------------------------------------


def with_counting(
    content: Mapping[str, Any], counting: SendJob | StepMail, *, campaign_id: int | None, user: User | None
) -> tuple[dict[str, Any], Changes | None]:
    """The content of a snapshot (`mail.message.snapshot_content`) with what is counted of it, and what changed since it
    was chosen; None when nothing is counted. One query, three where URLs are new to the register.

    Call it before a long transaction as well, so that the rows it makes keep nobody waiting there.
    """
    if not counting.count_clicks:
        return dict(content), None
    found = _countable(content)
    chosen = _chosen(counting)
    wanted = {url: name for url, name in chosen.items() if url in found}
    ids = _registered(wanted, campaign_id=campaign_id, user=user)
    text_only = content["form"] == MailForm.TEXT
    counted = dict(content)
    if ids:
        counted["counted"] = {url: ids[url] for url in wanted}
    if counting.count_opens and not text_only:
        counted["opens"] = True
    return counted, _changes(counting, found, text_only=text_only)


def changes_since(counting: SendJob | StepMail) -> Changes | None:
    """TRK-5, before the start (of a step mail: of what is decided from now on): what of the choice would change if the template
    were sent as it is now. None when nothing is counted. Of a step mail "new" are all that were not chosen."""
    template = counting.template
    if not counting.count_clicks or template is None:
        return None
    return _changes(counting, countable_in(template), text_only=template.form == MailForm.TEXT)


def _changes(counting: Counting, found: Mapping[str, FoundUrl], *, text_only: bool) -> Changes:
    chosen = _chosen(counting)
    known = getattr(counting, "known_urls", None)
    before = set(known) | set(chosen) if known is not None else set(chosen)
    changes: Changes = {
        "gone": [url for url in chosen if url not in found],
        "new": [url for url in found if url not in before],
    }
    if counting.count_opens and text_only:
        changes["opens_lost"] = True
    return changes


def _registered(names: Mapping[str, str], *, campaign_id: int | None, user: User | None) -> dict[str, int]:
    """{url: id} in the register of the mode; rows that are missing are made. Safe with several processes at once."""
    if not names:
        return {}
    found = _ids(names, campaign_id)
    if missing := [url for url in names if url not in found]:
        CountedUrl.objects.bulk_create(
            [
                CountedUrl(
                    campaign_id=campaign_id, url=url, digest=digest_of(url), name=names[url], created_by=user
                )
                for url in sorted(
                    missing, key=digest_of
                )  # in one order everywhere: two never wait for each other
            ],
            ignore_conflicts=True,
        )
        found |= _ids(missing, campaign_id)
    return found


def _ids(urls: Iterable[str], campaign_id: int | None) -> dict[str, int]:
    rows = usable_in(campaign_id, CountedUrl.objects.filter(digest__in=_digests(urls)))
    return dict(rows.values_list("url", "id"))


def digest_of(url: str) -> str:
    """What the register finds a URL by."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def _digests(urls: Iterable[str]) -> list[str]:
    return [digest_of(url) for url in urls]


# ---- the register ---------------------------------------------------------------------------------------------------


def counted_urls(campaign_id: int | None, *, archived: bool = False) -> QuerySet[CountedUrl]:
    """The register of a mode, newest first: what is in use, or what was archived."""
    return usable_in(campaign_id, CountedUrl.objects.filter(archived_at__isnull=not archived))


def save_counted_url(
    stored: CountedUrl | None,
    *,
    campaign_id: int | None,
    url: str,
    name: str,
    memo: str = "",
    user: User | None = None,
    ip: str | None = None,
) -> CountedUrl:
    """Registers a URL, or changes the name and memo of one. ValidationError for a URL that cannot be counted, is there
    already, or is another one than the stored: it never changes (TRK-6)."""
    name = _checked_name(name)
    if stored is None:
        return _add(url.strip(), name, memo, campaign_id=campaign_id, user=user, ip=ip)
    with transaction.atomic():
        row = usable_in(campaign_id, CountedUrl.objects.select_for_update()).get(pk=stored.pk)
        if url != row.url:
            raise ValidationError(
                _("A registered URL cannot be changed: links in mails already sent lead to it.")
            )
        changes = {
            field: [getattr(row, field), value]
            for field, value in (("name", name), ("memo", memo))
            if getattr(row, field) != value
        }
        if changes:
            row.name, row.memo = name, memo
            row.save(update_fields=["name", "memo"])
            _record("counted_url.change", row, user=user, ip=ip, detail={"changes": changes})
    return row


def _add(
    url: str, name: str, memo: str, *, campaign_id: int | None, user: User | None, ip: str | None
) -> CountedUrl:
    if reason := why_not(url):
        raise ValidationError(why_not_text(reason))
    with transaction.atomic():
        row, created = usable_in(campaign_id, CountedUrl.objects.all()).get_or_create(
            digest=digest_of(url),
            defaults={"campaign_id": campaign_id, "url": url, "name": name, "memo": memo, "created_by": user},
        )
        if not created:
            raise ValidationError(_("This URL is registered already, as “%(name)s”.") % {"name": row.name})
        _record("counted_url.add", row, user=user, ip=ip)
    return row


def archive_counted_url(
    stored: CountedUrl, *, user: User | None, now: datetime, ip: str | None = None
) -> None:
    """Takes it off the list. Its links keep working, and mailings may count it as before."""
    _archive(stored, now, "counted_url.archive", user=user, ip=ip)


def restore_counted_url(stored: CountedUrl, *, user: User | None, ip: str | None = None) -> None:
    _archive(stored, None, "counted_url.restore", user=user, ip=ip)


def _archive(
    stored: CountedUrl, at: datetime | None, action: str, *, user: User | None, ip: str | None
) -> None:
    with transaction.atomic():
        same = CountedUrl.objects.filter(pk=stored.pk, archived_at__isnull=at is not None)
        if same.update(archived_at=at):
            _record(action, stored, user=user, ip=ip)
    stored.archived_at = at


def _rename(names: Mapping[str, str], *, campaign_id: int | None, user: User | None, ip: str | None) -> None:
    """What somebody called a URL on the wizard's page is its name from now on."""
    rows = usable_in(campaign_id, CountedUrl.objects.select_for_update().filter(digest__in=_digests(names)))
    for row in rows.order_by("pk"):
        before, row.name = row.name, names[row.url]
        if row.name != before:
            row.save(update_fields=["name"])
            changes = {"name": [before, row.name]}
            _record("counted_url.change", row, user=user, ip=ip, detail={"changes": changes})


def _record(
    action: str, row: CountedUrl, *, user: User | None, ip: str | None, detail: dict[str, Any] | None = None
) -> None:
    audit.record(
        action,
        user=user,
        target=row,
        target_label=row.name,
        detail={"url": row.url[:500]} | (detail or {}),
        ip=ip,
        campaign_id=row.campaign_id,
    )


def _checked_name(name: str) -> str:
    name = _one_line(name.replace("\0", ""))
    if not name:
        raise ValidationError(_("Enter a name for every URL that is counted."))
    if len(name) > NAME_MAX:
        raise ValidationError(_("A URL's name has at most %(limit)s characters.") % {"limit": NAME_MAX})
    return name


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""The merge fields: which names exist and what they are for a lead. The language itself is mail/merging.py.

Every field has a Japanese name and English ones. Users' own columns appear under their label when it can be written
as a merge field, otherwise as 項目_<id>. Apps above mail add theirs with `register_merge_field` in AppConfig.ready().
"""

import difflib
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.models import Lead, LeadColumn
from mail.links import opt_out_url
from mail.merging import TemplateError, check_source, is_merge_name

Text = str | Promise
Values = Callable[..., Mapping[int, str]]  # (leads, now) or, of_campaign, (leads, now, campaign_id)

ADDRESS = "メールアドレス"
OPT_OUT = "配信停止URL"


@dataclass(frozen=True)
class MergeField:
    """One merge field. `values(leads, now)` gives {lead id: text} for all of them at once: never a query per lead.

    With `of_campaign` it is asked `values(leads, now, campaign_id)`: the campaign in whose mode the mail is sent, None for
    all campaigns (then the lead's newest application is meant).
    """

    name: str
    label: Text  # what it is, for the picker
    group: Text
    values: Values
    aliases: tuple[str, ...] = ()
    of_campaign: bool = False
    in_test: Callable[[], str] | None = None  # TEST-5: what a test mail says instead of anybody's value

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


_FIELDS: dict[str, MergeField] = {}


def register_merge_field(field: MergeField) -> None:
    """Adds a field, or replaces the one of that name. ValueError for a name that cannot be written."""
    for name in field.names:
        if not is_merge_name(name):
            raise ValueError(f"{name!r} is no merge field name")
    _FIELDS[field.name] = field


class OfMagazine(Protocol):
    """(magazine_id, taken names) → the fields that this magazine's mails have besides."""

    def __call__(self, magazine_id: int, *, taken: set[str]) -> list[MergeField]: ...


_OF_MAGAZINE: list[OfMagazine] = []


def register_magazine_fields(fields: OfMagazine) -> None:
    """Filled by mail/magazines/merge_values.py."""
    if fields not in _OF_MAGAZINE:
        _OF_MAGAZINE.append(fields)


def merge_fields(magazine_id: int | None = None) -> list[MergeField]:
    """All fields in the picker's order, the users' own columns last. One query. `magazine_id`: of a magazine's mails, which
    know its free items too, first; a name of theirs goes before a column's."""
    taken = {name for field in _FIELDS.values() for name in field.names}
    own = [] if magazine_id is None else [
        field for fields in _OF_MAGAZINE for field in fields(magazine_id, taken=taken)
    ]  # fmt: skip
    taken |= {name for field in own for name in field.names}
    return [*own, *_FIELDS.values(), *(_column_field(column, taken) for column in LeadColumn.objects.all())]


def values_for(
    leads: Iterable[Lead],
    *,
    now: datetime,
    names: Iterable[str] | None = None,
    campaign_id: int | None = None,
    magazine_id: int | None = None,
) -> dict[int, dict[str, str]]:
    """{lead id: {name: text}} for every lead and every name asked for, empty where the lead has no value.

    `names`: what the template uses (`Skeleton.names`), Japanese or English; None = all names of all fields.
    Names that do not exist are left out. Number of queries: one, if `names` holds any that may be a column's, plus
    what registered fields need for all leads.
    """
    leads = list(leads)
    asked = None if names is None else list(names)
    by_name = {name: field for field in _FIELDS.values() for name in field.names}
    if asked is None or not by_name.keys() >= set(asked):
        by_name = {name: field for field in merge_fields(magazine_id) for name in field.names}
    wanted = by_name.keys() if asked is None else [name for name in asked if name in by_name]
    columns: dict[str, Mapping[int, str]] = {}
    merged: dict[int, dict[str, str]] = {lead.id: {} for lead in leads}
    for name in wanted:
        field = by_name[name]
        if field.name not in columns:
            columns[field.name] = (
                field.values(leads, now, campaign_id) if field.of_campaign else field.values(leads, now)
            )
        column = columns[field.name]
        for lead_id, of_lead in merged.items():
            of_lead[name] = column.get(lead_id, "")
    return merged


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """{name as written: the field's own name}, for registered fields; users' own columns are left out."""
    by_name = {name: field.name for field in _FIELDS.values() for name in field.names}
    return {name: by_name[name] for name in names if name in by_name}


def test_values(names: Iterable[str]) -> dict[str, str]:
    """What test mails say, whoever's data they show, for those of the names that have such a value."""
    in_test = {name: field.in_test for field in _FIELDS.values() if field.in_test for name in field.names}
    return {name: in_test[name]() for name in names if name in in_test}


test_values.__test__ = False  # type: ignore[attr-defined]  # the name is the field's, not pytest's


def check_names(source: str, known: Iterable[str]) -> list[str]:
    """The names `source` uses. TemplateError (with the line) for what cannot be merged or is not in `known`."""
    known = set(known)
    references = check_source(source)
    for reference in references:
        if reference.name in known:
            continue
        nearest = nearest_name(reference.name, known)
        if nearest:
            text = _('There is no merge field "%(name)s". Did you mean "%(nearest)s"?') % {
                "name": reference.name, "nearest": nearest,
            }  # fmt: skip
        else:
            text = _('There is no merge field "%(name)s".') % {"name": reference.name}
        raise TemplateError(reference.line, text, reference.name)
    return list(dict.fromkeys(reference.name for reference in references))


def known_names(magazine_id: int | None = None) -> list[str]:
    """Every name that may be merged (in the mails of a magazine). One query, two for a magazine."""
    return [name for field in merge_fields(magazine_id) for name in field.names]


# What people coming from other products write.
_SYNONYMS = {
    "名前": "氏名", "お名前": "氏名", "苗字": "姓", "名字": "姓", "会社": "会社名", "企業名": "会社名", "部署": "部署名", "メール": ADDRESS,
    "アドレス": ADDRESS, "Eメール": ADDRESS, "mail": "email", "TEL": "電話番号", "tel": "phone", "配信停止": OPT_OUT, "解除URL": OPT_OUT,
    "unsubscribe": "unsubscribe_url", "name": "full_name", "日付": "今日",
}  # fmt: skip


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or ""."""
    known = list(known)
    folded = unicodedata.normalize("NFKC", name)
    for candidate in (folded, folded.lower(), _SYNONYMS.get(folded, ""), _SYNONYMS.get(folded.lower(), "")):
        if candidate in known:
            return candidate
    return next(iter(difflib.get_close_matches(folded, known, n=1, cutoff=0.5)), "")


def _of_lead(read: Callable[[Lead], str]) -> Values:
    return lambda leads, now: {lead.id: read(lead) for lead in leads}  # .id: .pk costs several times as much


def _date_text(day: date, language: str) -> str:
    return f"{day.year}年{day.month}月{day.day}日" if language == "ja" else day.isoformat()


def _registered_on(leads: Sequence[Lead], now: datetime) -> dict[int, str]:
    return {lead.id: _date_text(timezone.localtime(lead.created_at).date(), lead.language) for lead in leads}


def _today(leads: Sequence[Lead], now: datetime) -> dict[int, str]:
    day = timezone.localtime(now).date()
    return {lead.id: _date_text(day, lead.language) for lead in leads}


def _column_field(column: LeadColumn, taken: set[str]) -> MergeField:
    own_name = is_merge_name(column.label) and column.label not in taken
    number = f"項目_{column.pk}"
    return MergeField(
        name=column.label if own_name else number,
        label=column.label,
        group=gettext_lazy("Your own columns"),
        values=_of_lead(lambda lead: _column_text(column, lead)),
        aliases=(number,) if own_name else (),
    )


def _column_text(column: LeadColumn, lead: Lead) -> str:
    value = lead.extra.get(column.key)
    if value is None:
        return ""
    if column.type == LeadColumn.Type.DATE:
        try:
            return _date_text(date.fromisoformat(str(value)), lead.language)
        except ValueError:
            return str(value)  # stored before the column became a date: shown as it stands
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _register_own() -> None:
    person, work, other = (
        gettext_lazy("Person"),
        gettext_lazy("Company and address"),
        gettext_lazy("Mail and lead"),
    )
    for name, label, group, read, aliases in (
        ("姓", gettext_lazy("Last name"), person, lambda lead: lead.last_name, ("last_name",)),
        ("名", gettext_lazy("First name"), person, lambda lead: lead.first_name, ("first_name",)),
        ("氏名", gettext_lazy("Full name"), person, lambda lead: lead.full_name, ("full_name",)),
        (
            "セイ",
            gettext_lazy("Last name (kana)"),
            person,
            lambda lead: lead.last_name_kana,
            ("last_name_kana",),
        ),
        (
            "メイ",
            gettext_lazy("First name (kana)"),
            person,
            lambda lead: lead.first_name_kana,
            ("first_name_kana",),
        ),
        (ADDRESS, gettext_lazy("E-mail address"), person, lambda lead: lead.email, ("email",)),
        ("会社名", gettext_lazy("Company"), work, lambda lead: lead.company, ("company",)),
        ("部署名", gettext_lazy("Department"), work, lambda lead: lead.department, ("department",)),
        ("役職", gettext_lazy("Job title"), work, lambda lead: lead.job_title, ("job_title",)),
        ("郵便番号", gettext_lazy("Postal code"), work, lambda lead: lead.postal_code, ("postal_code",)),
        ("都道府県", gettext_lazy("Prefecture"), work, lambda lead: lead.prefecture, ("prefecture",)),
        ("住所", gettext_lazy("Address"), work, lambda lead: lead.address, ("address",)),
        ("電話番号", gettext_lazy("Phone"), work, lambda lead: lead.phone, ("phone",)),
        (
            OPT_OUT,
            gettext_lazy("Opt-out URL of this lead"),
            other,
            lambda lead: opt_out_url(lead.id),
            ("unsubscribe_url",),
        ),
        ("リードID", gettext_lazy("Lead ID"), other, lambda lead: str(lead.id), ("lead_id",)),
    ):
        register_merge_field(MergeField(name, label, group, _of_lead(read), aliases))
    register_merge_field(
        MergeField("登録日", gettext_lazy("Day of registration"), other, _registered_on, ("registered_on",))
    )
    register_merge_field(MergeField("今日", gettext_lazy("Day of sending"), other, _today, ("today",)))


_register_own()

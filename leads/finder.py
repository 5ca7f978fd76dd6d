"""NAV-3: leads by name, kana, address, company or ID."""

from django.db.models import Q, Value
from django.db.models.functions import Concat
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from leads.address import normalise_email
from leads.models import Lead
from smp.lib.finder import LIMIT, Finder, Result, kana_spellings, register_aliases, register_finder

MAX_ID = 2**63 - 1


def register() -> None:
    register_finder(Finder("leads", _("Leads"), find_leads, position=20))
    register_aliases("leads", "リード一覧", "申込者一覧", "リード(申込者)", "顧客一覧", "来場者一覧")
    register_aliases("imports", "インポート", "CSV取り込み", "CSV一括更新", "CSV一括登録", "アップロード")
    register_aliases("compound_search", "詳細検索", "リード検索", "検索条件")


def find_leads(user: object, text: str) -> list[Result]:
    """One query. An ID finds exactly that lead, an address those that begin with it; names and companies by any part."""
    number = text.lstrip("#＃")
    if "@" in text:
        condition = Q(email_norm__startswith=normalise_email(text))
    else:
        condition = Q()
        for spelling in kana_spellings("".join(text.split())):
            condition |= Q(full__icontains=spelling) | Q(full_kana__icontains=spelling)
        condition |= Q(company__icontains=text) | Q(email_norm__startswith=normalise_email(text))
    if number.isdecimal() and int(number) <= MAX_ID:
        condition |= Q(pk=int(number))
    found = (
        Lead.objects.existing()
        .annotate(
            full=Concat("last_name", "first_name", Value("")),
            full_kana=Concat("last_name_kana", "first_name_kana", Value("")),
        )
        .filter(condition)
        .order_by("-pk")[:LIMIT]
    )
    return [
        Result(str(lead), reverse("lead", args=[lead.pk]), " · ".join(part for part in (f"#{lead.pk}", lead.company, lead.email) if part))
        for lead in found
    ]

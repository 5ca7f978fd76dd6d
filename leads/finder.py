"""NAV-3: leads by name, kana, address, company or ID."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from leads.lead_list import simple_search
from leads.scope import leads_in
from smp.lib.finder import LIMIT, Finder, Result, register_aliases, register_finder
from smp.lib.mode import BOTH


def register() -> None:
    register_finder(Finder("leads", _("Leads"), find_leads, position=20, more="leads", modes=BOTH))
    register_aliases("leads", "リード一覧", "申込者一覧", "リード(申込者)", "顧客一覧", "来場者一覧")
    register_aliases("imports", "インポート", "CSV取り込み", "CSV一括更新", "CSV一括登録", "アップロード")
    register_aliases("compound_search", "詳細検索", "リード検索", "検索条件")


def find_leads(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    """One query, the newest first: what 簡易検索 of the list finds, inside a campaign among its applicants."""
    return [
        Result(
            str(lead),
            reverse("lead", args=[lead.pk]),
            " · ".join(part for part in (f"#{lead.pk}", lead.company, lead.email) if part),
        )
        for lead in simple_search(leads_in(campaign_id), text).order_by("-pk")[:LIMIT]
    ]

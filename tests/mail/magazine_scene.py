"""A magazine, its readers, free items and stories, in one call each, written straight to the tables."""

from datetime import time
from typing import Any

from leads.models import Lead
from mail.models import Magazine, MailTemplate, Reader, ReaderItem, Story
from tests.factories import LEGAL_FOOTER, make_lead


def make_magazine(name: str = "週刊 製造業DX", **values: Any) -> Magazine:
    """With LAW-1's lines in its footer; its stories then need none."""
    values.setdefault("from_name", "SMPセミナー事務局")
    values.setdefault("from_address", "info@seminar.example.jp")
    values.setdefault("footer_text", LEGAL_FOOTER)
    return Magazine.objects.create(name=name, **values)


def make_reader(
    magazine: Magazine,
    email: str = "",
    *,
    lead: Lead | None = None,
    state: str = "deliverable",
    **values: Any,
) -> Reader:
    """A reader and, unless `lead` is given, the lead: as a registration makes it, with DM許可 希望しない."""
    if lead is None:
        email = email or f"reader{Reader.objects.count() + 1}@yamate.example.jp"
        lead = make_lead(email, dm_permission="unwanted")
    values.setdefault("way", "form")
    if "registered_at" in values:
        values.setdefault("state_at", values["registered_at"])
    return Reader.objects.create(magazine=magazine, lead=lead, state=state, **values)


def make_item(magazine: Magazine, label: str = "会社の規模", type: str = "text", **values: Any) -> ReaderItem:
    """A free item; the values of readers stand in Reader.values under item.key."""
    values.setdefault("position", magazine.items.count())
    if type == "choice":
        values.setdefault("choices", ["製造", "小売", "サービス"])
    return ReaderItem.objects.create(magazine=magazine, label=label, type=type, **values)


def make_story(magazine: Magazine, kind: str = "extra", **values: Any) -> Story:
    """A running story with a text of its own. Loops start on every 15th at 10:00 unless told otherwise; steps follow
    each other as they are made, one day after the registration."""
    number = Story.objects.filter(magazine=magazine).count() + 1
    name = values.pop("name", f"第{number}号 現場から始めるDX")
    template_values = {
        "subject": f"{name} {{{{ 姓 }}}}様",
        "form": "text",
        "text_body": "{{ 氏名 }} 様\n\n今週の記事をお届けします。\n\n配信停止はこちら: {{ 配信停止URL }}\n",
        "from_address": magazine.from_address,
        "from_name": magazine.from_name,
    } | values.pop("template_values", {})
    if "template" not in values:
        values["template"] = MailTemplate.objects.create(name=name, magazine=magazine, **template_values)
    values.setdefault("state", "running")
    if kind == "step":
        values.setdefault("position", Story.objects.filter(magazine=magazine, kind="step").count() + 1)
        values.setdefault("wait_days", 1)
    if kind == "loop":
        values.setdefault("rule", "monthly")
        values.setdefault("at_time", time(10))
        if values["rule"] == "monthly":
            values.setdefault("day_of_month", 15)
    return Story.objects.create(magazine=magazine, kind=kind, name=name, **values)

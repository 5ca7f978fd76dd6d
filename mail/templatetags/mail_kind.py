"""{% load mail_kind %}: {{ delivery.mail_kind|mail_kind_name }}"""

from django import template

from mail.mail_kinds import kind_label

register = template.Library()


@register.filter
def mail_kind_name(key: str) -> str:
    """申込完了; "" for a mail that is none of 「メール設定」."""
    return kind_label(key) if key else ""

"""For pages of attendees: {% load attendee %}."""

from django import template
from django.db.models import Model
from django.utils.safestring import SafeString

from campaigns import texts

register = template.Library()


@register.filter
def in_language(thing: Model | None, field: str) -> str:
    """`{{ campaign|in_language:"name" }}`: the English text where English is read and there is one."""
    return texts.text_in(thing, field) if thing else ""


@register.filter
def paragraphs(text: str) -> SafeString:
    """`{{ text|paragraphs }}`: plain text as paragraphs with safe links."""
    return texts.paragraphs(text)

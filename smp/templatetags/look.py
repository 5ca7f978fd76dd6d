"""Small pieces of the look that every template may use (a template builtin)."""

from typing import Any
from urllib.parse import urlencode

from django import template
from django.http import HttpRequest

register = template.Library()


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The current query string with these parameters changed; None removes one: `?{% query page=2 %}`."""
    request: HttpRequest = context["request"]
    parameters = request.GET.copy()
    for name, value in changes.items():
        if value is None or value == "":
            parameters.pop(name, None)
        else:
            parameters[name] = str(value)
    return parameters.urlencode() if hasattr(parameters, "urlencode") else urlencode(parameters)

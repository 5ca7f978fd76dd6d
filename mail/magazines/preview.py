"""A public page of a magazine with examples in it, for whoever writes its texts."""

from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from mail.forms.magazines.public import LeaveForm, RegisterForm, ScopeForm
from mail.magazines import form_texts
from mail.magazines.public_page import frame
from mail.models import Magazine

EXAMPLE = "reader@example.com"
_TEMPLATES = {
    "register": "register", "register_confirm": "confirm", "prove": "prove", "leave": "leave", "leave_confirm": "confirm",
    "opt_out": "opt_out", "one_click": "opt_out",
}  # fmt: skip


def preview(
    request: HttpRequest, magazine: Magazine, page: str, language: str, *, style: str, heading: str
) -> str:
    """The page as HTML, in the active language. `style`: of form_design.style_sheet, which checks each value."""
    context: dict[str, Any] = frame(magazine, page, language) | {
        "preview": True, "preview_style": style, "heading": heading or magazine.name, "action": "", "stamp": "",
        "trap": "trap", "checked": magazine.confirm_page, "address": EXAMPLE, "entries": [],
        "summary": [(_("E-mail address"), EXAMPLE)],
    }  # fmt: skip
    if page in {"register", "leave"}:
        context["form"] = (RegisterForm if page == "register" else LeaveForm)(magazine)
        button_of = page if magazine.confirm_page else f"{page}_confirm"
        context["button"] = form_texts.text(magazine, button_of, "button", language)
    if page == "opt_out":
        context["form"] = ScopeForm()
    return render_to_string(f"public/magazine/{_TEMPLATES.get(page, 'done')}.html", context, request=request)

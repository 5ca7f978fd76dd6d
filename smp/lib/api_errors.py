"""API-1: what a program is told when something is wrong: JSON with field, code and message, in the caller's language.

    {"errors": [{"field": "visitor.email", "code": "malformed", "message": "…"}]}

`code` is for programs and never changes; `message` is for people; `field` is the path in the request, "" for all of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import get_supported_language_variant
from django.utils.translation import gettext as _
from ninja import Schema
from pydantic import Field


class Fault(Schema):
    field: str = Field(description="Path in the request, empty when it is about all of it")
    code: str
    message: str


class Faults(Schema):
    errors: list[Fault]


class ApiProblem(Exception):
    """An answer other than success. `headers` go with it (Retry-After)."""

    def __init__(self, status: int, *faults: Fault, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.faults, self.headers = status, list(faults), dict(headers or {})


def problem(status: int, code: str, message: str, field: str = "", **more: Any) -> ApiProblem:
    return ApiProblem(status, Fault(field=field, code=code, message=message), **more)


def not_found(what: str, field: str = "") -> ApiProblem:
    return problem(404, "not_found", _("%(what)s: there is no such one.") % {"what": what}, field)


def from_validation(error: ValidationError, *, under: str = "") -> ApiProblem:
    """422 from Django's ValidationError: the same words as beside the fields of the screens."""
    faults = []
    if hasattr(error, "error_dict"):
        for name, errors in error.error_dict.items():
            for one in errors:
                faults.append(_fault(_path(under, _column(name)), one))
    else:
        faults = [_fault(under, one) for one in error.error_list]
    return ApiProblem(422, *faults)


def from_pydantic(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """Schema violations. pydantic speaks English only; what is common is said in Japanese, too."""
    faults = []
    for error in errors:
        place = [
            str(part) for part in error.get("loc", ()) if part not in {"body", "query", "path", "payload"}
        ]
        code = str(error.get("type", "invalid"))
        text = _WORDS[code]() if code in _WORDS else str(error.get("msg", ""))
        faults.append(Fault(field=".".join(place)[:200], code=code, message=text[:500]))
    return faults


_WORDS = {
    "missing": lambda: _("This field is required."),
    "extra_forbidden": lambda: _("There is no field of this name. Look at the description of the API."),
    "string_type": lambda: _("Give a text."),
    "string_too_long": lambda: _("The text is too long."),
    "string_too_short": lambda: _("The text is too short."),
    "string_unicode": lambda: _("The text contains characters that cannot be stored."),
    "int_type": lambda: _("Give a whole number."),
    "int_parsing": lambda: _("Give a whole number."),
    "bool_parsing": lambda: _("Give true or false."),
    "bool_type": lambda: _("Give true or false."),
    "literal_error": lambda: _("This value is not one of those possible."),
    "enum": lambda: _("This value is not one of those possible."),
    "dict_type": lambda: _("Give an object."),
    "model_attributes_type": lambda: _("Give an object."),
    "list_type": lambda: _("Give a list."),
    "moment": lambda: _("Give a date and time between 1970 and 2999, like 2026-11-22T10:00:00+09:00."),
    "greater_than_equal": lambda: _("The number is too small."),
    "less_than_equal": lambda: _("The number is too large."),
}


def language_of(request: HttpRequest) -> str:
    """From Accept-Language, Japanese by default."""
    for part in request.headers.get("Accept-Language", "")[:200].split(","):
        try:
            return get_supported_language_variant(part.split(";")[0].strip().lower())
        except LookupError:
            continue
    return "ja"


def _fault(field: str, error: ValidationError) -> Fault:
    return Fault(field=field, code=str(error.code or "invalid"), message=" ".join(error.messages))


def _path(under: str, name: str) -> str:
    return f"{under}.{name}" if under and name != "__all__" else under or ("" if name == "__all__" else name)


def _column(name: str) -> str:
    """leads/edit.py names the users' own columns extra_<id>."""
    if name == "extra":
        return "columns"
    return f"columns.{name.removeprefix('extra_')}" if name.startswith("extra_") else name

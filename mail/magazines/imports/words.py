"""What can be said of an import of readers, as codes with parameters; put into words when shown, like leads/imports/problems.py,
whose words hold here too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from leads.imports import problems
from leads.imports.problems import Code, Params

FILE: Mapping[Code, str | Promise] = {
    **problems.FILE,
    "archived": _("This magazine is archived."),
    "email_missing": _("The column “%(header)s” is needed: readers are found by their address. Add it."),
    "unknown_header": _(
        "Column %(column)s: the header “%(header)s” is unknown. Did you mean “%(nearest)s”? "
        "Correct it, delete the column, or add it as a free item of this magazine first."
    ),
    "unknown_header_alone": _(
        "Column %(column)s: the header “%(header)s” is unknown. Correct it, delete the column, or add it as a free item "
        "of this magazine first."
    ),
}

ROW: Mapping[Code, str | Promise] = {
    **problems.ROW,
    "address_blank": _("There is no address in this row. Enter one, or delete the row."),
    "same_address": _(
        "Row %(line)s has the same address (case and width of letters make no difference). Row %(line)s counts."
    ),
    "registered_at": _("“%(value)s” is not a date. Write it like 2026/11/21 or 2026/11/21 10:30."),
    "registered_in_future": _("“%(value)s” is in the future. Enter when the reader was registered."),
}

NOTE: Mapping[Code, str | Promise] = {
    **problems.NOTE,
    "ignored_state": _("State and failures cannot be set by a file. The column is ignored."),
}

# Why a row is in its group; what an administrator should know about it.
REASON: Mapping[Code, str | Promise] = {
    "stopped": _("Delivery has been stopped since %(at)s."),
    "error_stopped": _("Stopped by errors since %(at)s."),
    "removed": _("Left this magazine and is no longer in the list."),
    "stays_stopped": _("Stays stopped by errors; the blacklist is on."),
    "keeps_failures": _(
        "The failures are kept, so the next start of a delivery may stop this reader again. Reset them on the reader's page."
    ),
    "lead_unsubscribed": _("Has unsubscribed as a lead: becomes a reader, but is not mailed."),
    "lead_invalid": _("The address of the lead is not valid any more: becomes a reader, but is not mailed."),
    "lead_provisional": _("The lead is registered provisionally: becomes a reader, but is not mailed."),
    "elsewhere": _("Stopped in the magazine “%(name)s”."),
}


def file_problem_text(error: Mapping[str, Any]) -> str:
    """ReaderImport.error in the active language."""
    return str(str(FILE[error["code"]]) % error["params"])


def row_problem_text(code: Code, params: Params) -> str:
    if code in problems.ROW or code == "email":
        return problems.row_problem_text(code, params)
    return str(ROW[code]) % params


def note_texts(code: Code, params: Params) -> list[str]:
    if code == "email":
        return problems.note_texts(code, params)
    return [str(NOTE[code]) % params]


def reason_text(code: Code, params: Params, magazines: Mapping[int, str]) -> str:
    """`magazines`: {id: name} of those named in the params."""
    if "magazine" in params:
        params = params | {"name": magazines.get(params["magazine"], f"#{params['magazine']}")}
    if params.get("at"):
        params = params | {"at": f"{timezone.localtime(datetime.fromisoformat(params['at'])):%Y-%m-%d %H:%M}"}
    return str(REASON[code]) % params

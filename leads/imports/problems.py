"""What can be wrong with an import, as codes with parameters.

They are stored as codes and put into words when shown, because the admin who reads a result may use another language
than the one who uploaded the file, and because a million sentences would be a hundred megabytes.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from leads.address import check_email

Code = str
Params = dict[str, Any]
Found = tuple[int | None, Code, Params]  # the file's column (0 = first), None for the whole row

FILE: Mapping[Code, str | Promise] = {
    "empty": _("The file is empty. Choose a file with a header row and at least one row below it."),
    "no_rows": _("There are no rows below the header. Add at least one row."),
    "too_large": _("The file is larger than %(limit)s MB. Split it into several files."),
    "workbook": _(
        "This is an Excel workbook, not a CSV file. In Excel, choose “Save as” → “CSV UTF-8” and upload that file."
    ),
    "binary": _(
        "This is not a text file (byte %(byte)s of line %(line)s is NUL). In Excel, choose “Save as” → “CSV UTF-8”."
    ),
    "encoding": _(
        "Line %(line)s, byte %(byte)s can be read neither as UTF-8 nor as Shift_JIS (CP932). Save the file again as “CSV UTF-8”."
    ),
    "mixed_encoding": _(
        "The file mixes two character codes: line %(line)s, byte %(byte)s is not UTF-8, but line %(other)s is. "
        "Save all of it again as “CSV UTF-8”."
    ),
    "utf16": _(
        "The file says that it is UTF-16, but byte %(byte)s cannot be read as such. Save it again as “CSV UTF-8”."
    ),
    "long_line": _(
        "Line %(line)s is longer than %(limit)s characters. Check whether a quotation mark is missing."
    ),
    "open_quote": _(
        "A quotation mark opened in row %(line)s is never closed. Close it, or double it if it belongs to the text."
    ),
    "unknown_header": _(
        "Column %(column)s: the header “%(header)s” is unknown. Did you mean “%(nearest)s”? "
        "Correct it, delete the column, or add it as a lead column first."
    ),
    "unknown_header_alone": _(
        "Column %(column)s: the header “%(header)s” is unknown. Correct it, delete the column, or add it as a lead column first."
    ),
    "blank_header": _(
        "Column %(column)s has no header, but row %(line)s has a value in it. Give it a header or delete the column."
    ),
    "header_twice": _(
        "The header “%(header)s” (column %(column)s) means the same as column %(other)s. Delete one of them."
    ),
    "ambiguous_header": _(
        "Column %(column)s: a lead column of your own is also called “%(header)s”. Rename that lead column first."
    ),
    "too_many_columns": _("The header has %(count)s columns; %(limit)s are possible."),
    "key_missing": _(
        "The column “%(header)s” is needed to find the leads to overwrite. Add it, or choose another key."
    ),
    "nothing_to_write": _("The file has no column that could be written. Add at least one besides the key."),
    "no_campaign": _("There is no such campaign, or it is archived."),
    "too_many_rows": _("The file has more than %(limit)s rows. Split it into several files."),
    "unexpected": _(
        "An unexpected error stopped the import; nothing was imported. Tell your system administrator the number of this import."
    ),
}

ROW: Mapping[Code, str | Promise] = {
    "ragged": _(
        "The row has %(cells)s cells, the header %(columns)s. Check commas and quotation marks in this row."
    ),
    "control": _("It contains an invisible control character (U+%(code)s). Type the value again."),
    "too_long": _("It has %(length)s characters; at most %(limit)s are possible. Shorten it."),
    "choice": _("“%(value)s” is not one of: %(choices)s."),
    "not_blank": _(
        "It cannot be cleared. Enter one of: %(choices)s; or delete the column to keep the values."
    ),
    "number": _("“%(value)s” is not a number."),
    "date": _("“%(value)s” is not a date. Write it like 2026/11/21."),
    "lead_id": _("“%(value)s” is not a lead ID: enter the number shown on the lead's page."),
    "lead_id_add": _(
        "New leads get their ID from the system. Clear this cell, or choose “Overwrite existing leads”."
    ),
    "key_blank": _("The key is empty, so the lead to overwrite cannot be found."),
    "key_twice": _("The same key stands in %(count)s rows of this file. Leave only one of them."),
    "person_twice": _("The same person stands in %(count)s rows of this file. Leave only one of them."),
    "not_of_campaign": _(
        "This lead is no applicant of this campaign. Clear the ID: the lead is found by the address, and its values stay."
    ),
    "campaign_full": _("All seats are taken, and the campaign has no waiting list."),
    "lead_missing": _("There is no lead with this ID (it may have been deleted)."),
    "address_missing": _("No lead has this address. Add it as a new lead."),
    "not_applicant": _(
        "This is not an applicant of this campaign. New applicants come by proxy registration or CSV bulk application."
    ),
    "address_shared": _("%(count)s leads have this address. Use the lead ID as the key."),
    "unsubscribed": _(
        "This person has unsubscribed, so “Wanted” cannot be set. Only they themselves can ask for mail again."
    ),
}

NOTE: Mapping[Code, str | Promise] = {
    "line_break": _("The line break was replaced by a space."),
    "ignored": _("This column is not imported."),
    "ignored_flag": _(
        "The valid flag and the failures cannot be set by an import (they follow from sending). The column is ignored."
    ),
    "ignored_unsubscribed": _(
        "Unsubscribing is the person's own act; an import cannot set it. The column is ignored."
    ),
    "already_applied": _("Has applied already: no second application is made."),
    "waiting_list": _("All seats are taken: goes on the waiting list."),
    "kept_values": _(
        "A lead of this address is known outside of this campaign: it applies, its values stay."
    ),
    "item_numbers": _("The second row holds item numbers and was skipped."),
}


class FileProblem(Exception):
    """The whole file is refused. `code` is a key of FILE."""

    def __init__(self, code: Code, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def file_problem_text(error: Mapping[str, Any]) -> str:
    """LeadImport.error in the active language."""
    return str(str(FILE[error["code"]]) % error["params"])


def row_problem_text(code: Code, params: Params) -> str:
    if code == "email":
        return check_email(params["value"]).text
    if "choices" in params:
        params = params | {"choices": ", ".join(str(choice) for choice in params["choices"])}
    return str(ROW[code]) % params


def note_texts(code: Code, params: Params) -> list[str]:
    if code == "email":  # CHR-4: what was made half-width, what was probably meant
        return list(check_email(params["value"]).notes)
    return [str(NOTE[code]) % params]

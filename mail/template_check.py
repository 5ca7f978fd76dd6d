"""What stands between a template and its sending: merge errors, addresses (ADDR-1..3), the law (LAW-1), characters
(CHR-1), and what people regret later. The editor, the wizard and the job's start all ask here.

"error" refuses the sending, "warning" wants to be read first, "info" only explains.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from django.db.models import Sum
from django.utils.translation import gettext as _

from mail.address_fields import AddressFieldError, check_address_field
from mail.japanese import Unencodable, unencodable
from mail.merge_fields import OPT_OUT, check_names, known_names
from mail.merging import TemplateError, normalise_newlines
from mail.models.template import Charset, MailForm, MailTemplate, Purpose
from settings.system_settings import get_setting

ADDRESS_FIELDS = {  # field: several addresses?
    "to": True, "from_address": False, "cc": True, "bcc": True, "reply_to": True, "errors_to": False,
}  # fmt: skip
ATTACHMENT_MAX = 3_000_000  # bytes of one file

_OPT_OUT_NAMES = {OPT_OUT, "unsubscribe_url"}
_OPT_OUT_USE = re.compile(r"\{\{[-+]?\s*(?:" + "|".join(_OPT_OUT_NAMES) + r")\s*[-+]?\}\}")
_OPT_OUT_WORDS = re.compile(
    r"配信停止|配信の停止|配信解除|受信拒否|購読解除|登録解除|メール.{0,6}(?:不要|停止|解除)|unsubscribe|opt[- ]?out|stop receiving",
    re.IGNORECASE,
)
_POSTAL = re.compile(
    r"〒\s*\d{3}|住所|所在地|(?:北海道|東京都|京都府|大阪府|[一-龥]{2,3}県).{0,20}?[市区町村郡]|address\s*[:：]",
    re.IGNORECASE,
)
_CONTACT = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+|0\d{1,4}[-‐－ー(（]\d{1,4}[-‐－ー)）]\d{3,4}|\+81[- ]?\d|(?:お?問い?合わ?せ|連絡先|contact).{0,40}https?://",
    re.IGNORECASE | re.DOTALL,
)
_SENDER_WORDS = re.compile(
    r"送信者|発信者|発行元?|配信元|運営|主催|株式会社|有限会社|合同会社|\(株\)|㈱|社団法人|財団法人|協会|事務局|sender|Inc\.|Ltd|LLC|Corp",
    re.IGNORECASE,
)
_PLAIN_LINK = re.compile(r"http://(?:\{\{[^{}]*\}\}|[^\s\"'<>）」])+")
_WIDE_BRACES = re.compile(r"[{｛][{｛][^{}｛｝\n]{1,40}[}｝][}｝]")


@dataclass(frozen=True)
class Problem:
    """One finding. `line` counts from 1 in that field; None where a line says nothing."""

    field: str
    line: int | None
    text: str
    severity: str = "error"

    @property
    def label(self) -> str:
        """The field's name for people, in the active language."""
        if self.field == "attachments":
            return _("Attachments")
        return str(MailTemplate._meta.get_field(self.field).verbose_name)  # type: ignore[union-attr]


def check_template(template: MailTemplate, *, names: Iterable[str] | None = None) -> list[Problem]:
    """Everything found, errors first. Two queries. `names`: the merge fields known, if not those of every mail."""
    known = known_names() if names is None else names
    problems = [*check_content(template, known), *_attachments(template)]
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(problems, key=lambda problem: order[problem.severity])


def check_content(template: MailTemplate, names: Iterable[str]) -> list[Problem]:
    """The same for a template that is not saved yet, without its attachments. Pure; `names`: the merge fields known."""
    problems = [*writing_errors(template, names), *_emptiness(template)]
    if template.purpose == Purpose.ADVERTISING:
        problems += _law(template)
    if template.charset == Charset.ISO_2022_JP:
        problems += _characters(template)
    return problems + _links(template) + _wide_braces(template)


def writing_errors(template: MailTemplate, names: Iterable[str]) -> list[Problem]:
    """What the editor refuses to save: texts that cannot be merged and address fields that cannot be used."""
    names = list(names)
    values = {field: str(getattr(template, field)) for field in ADDRESS_FIELDS}
    problems = [*_merge_errors(template, names), *address_errors(values, names)]
    for field in ("to", "from_address"):
        if not values[field].strip():
            problems.append(Problem(field, None, _("Enter an address or a merge field.")))
    return problems


def address_errors(values: Mapping[str, str], names: Iterable[str]) -> list[Problem]:
    """ADDR-1 and ADDR-2 for {field: text}."""
    names = list(names)
    problems = []
    for field, text in values.items():
        try:
            check_address_field(text, several=ADDRESS_FIELDS[field], names=names)
        except AddressFieldError as error:
            problems.append(Problem(field, None, str(error)))
    return problems


def bodies(template: MailTemplate) -> list[str]:
    """The body fields that the template's form sends."""
    if template.form == MailForm.TEXT:
        return ["text_body"]
    return ["html_body"] if template.form == MailForm.HTML else ["text_body", "html_body"]


def unencodable_in(template: MailTemplate) -> dict[str, list[Unencodable]]:
    """CHR-1, for the check page: {field: characters ISO-2022-JP cannot carry, with their places}."""
    found = {
        field: unencodable(normalise_newlines(getattr(template, field)))
        for field in ("subject", "from_name", *bodies(template))
    }
    return {field: characters for field, characters in found.items() if characters}


def _merge_errors(template: MailTemplate, names: list[str]) -> list[Problem]:
    problems = []
    for field in ("subject", "from_name", *bodies(template)):
        try:
            check_names(getattr(template, field), names)
        except TemplateError as error:
            problems.append(Problem(field, error.line, str(error)))
    return problems


def _emptiness(template: MailTemplate) -> list[Problem]:
    problems = []
    if not template.subject.strip():
        problems.append(Problem("subject", None, _("Enter a subject.")))
    for field in bodies(template):
        if not visible_text(template, field).strip():
            problems.append(Problem(field, None, _("The text of this form is empty.")))
    return problems


def lacks_legal_notice(template: MailTemplate) -> bool:
    """LAW-1: some part of an advertising template does not say yet what the law asks for."""
    return template.purpose == Purpose.ADVERTISING and bool(_law(template))


def legal_problems(template: MailTemplate) -> list[Problem]:
    """LAW-1 alone: what this text would still have to say. Pure; also for a text that is no template (a magazine's footer)."""
    return _law(template)


def _law(template: MailTemplate) -> list[Problem]:
    """LAW-1, for every part a recipient may see: each missing piece is named."""
    problems = []
    for field in bodies(template):
        text = visible_text(template, field)
        name = template.from_name.strip()
        # The opt-out notice names who sends it; its own line is no evidence of a sender.
        if not (_SENDER_WORDS.search(text) or (name and "{{" not in name and name in text)):
            problems.append(
                Problem(field, None, _("Advertising needs the sender's name (company or organisation)."))
            )
        if not _POSTAL.search(text):
            problems.append(Problem(field, None, _("Advertising needs the sender's postal address.")))
        if not _CONTACT.search(text):
            problems.append(
                Problem(
                    field,
                    None,
                    _(
                        "Advertising needs a contact for questions and complaints (e-mail address, phone or URL)."
                    ),
                )
            )
        source = _markup(getattr(template, field)) if field == "html_body" else text
        if not _OPT_OUT_USE.search(source):
            problems.append(
                Problem(
                    field,
                    None,
                    _("Advertising needs the opt-out URL: insert %(field)s.")
                    % {"field": "{{ " + OPT_OUT + " }}"},
                )
            )
        if not _OPT_OUT_WORDS.search(_OPT_OUT_USE.sub("", text)):
            problems.append(
                Problem(
                    field,
                    None,
                    _(
                        "Advertising needs a notice that mail can be stopped (for example 「配信停止はこちら」)."
                    ),
                )
            )
    return problems


def _characters(template: MailTemplate) -> list[Problem]:
    problems = []
    for field, found in unencodable_in(template).items():
        lost = [item for item in found if not item.sent_as]
        respelt = [item for item in found if item.sent_as]
        if lost:
            text = _(
                "ISO-2022-JP cannot carry %(characters)s. Every mail of this template is sent as UTF-8 instead."
            )
            problems.append(Problem(field, lost[0].line, text % {"characters": _listed(lost)}, "warning"))
        if respelt:
            pairs = " ".join(dict.fromkeys(f"{item.character}→{item.sent_as}" for item in respelt))
            text = _("In ISO-2022-JP these characters are sent under their JIS code: %(pairs)s")
            problems.append(Problem(field, respelt[0].line, text % {"pairs": pairs}, "info"))
    return problems


def _listed(found: list[Unencodable]) -> str:
    places: dict[str, list[str]] = {}
    for item in found:
        places.setdefault(item.character, []).append(f"{item.line}:{item.column}")
    shown = [
        f"「{character}」({', '.join(where[:3])}{'…' if len(where) > 3 else ''})"
        for character, where in list(places.items())[:20]
    ]
    return " ".join(shown) + (" …" if len(places) > 20 else "")


def _links(template: MailTemplate) -> list[Problem]:
    problems = []
    for field in bodies(template):
        source = normalise_newlines(getattr(template, field))
        for number, line in enumerate(source.split("\n"), start=1):
            if link := _PLAIN_LINK.search(line):
                text = _("The link %(link)s is not encrypted; use https:// if the site has it.")
                problems.append(Problem(field, number, text % {"link": link.group()[:100]}, "warning"))
                break
    return problems


def _wide_braces(template: MailTemplate) -> list[Problem]:
    problems = []
    for field in ("subject", "from_name", *bodies(template)):
        source = normalise_newlines(getattr(template, field))
        for match in _WIDE_BRACES.finditer(source):
            if "｛" in match.group() or "｝" in match.group():
                line = source.count("\n", 0, match.start()) + 1
                text = _(
                    "“%(text)s” is written with full-width braces and would be sent as it stands. Use {{ and }}."
                )
                problems.append(Problem(field, line, text % {"text": match.group()}, "warning"))
                break
    return problems


def _attachments(template: MailTemplate) -> list[Problem]:
    if not template.pk:
        return []
    size = template.attachments.aggregate(size=Sum("size"))["size"] or 0
    limit = get_setting("attachments_limit_mb")
    if size <= limit * 1_000_000:
        return []
    text = _("The attachments are too large together: at most %(limit)s MB.") % {"limit": limit}
    return [Problem("attachments", None, text)]


def visible_text(template: MailTemplate, field: str) -> str:
    """What a reader sees of a body before merging: of HTML the text outside comments, styles and hidden elements."""
    source = re.sub(r"\{#.*?#\}", "", normalise_newlines(getattr(template, field)), flags=re.DOTALL)
    if field != "html_body":
        return source
    reader = _Visible()
    reader.feed(source)
    reader.close()
    return "".join(reader.text)


def _markup(source: str) -> str:
    """HTML without its comments and hidden elements, tags kept: the opt-out URL usually stands in an href."""
    reader = _Visible()
    reader.feed(re.sub(r"\{#.*?#\}", "", source, flags=re.DOTALL))
    reader.close()
    return "".join(reader.markup)


_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*(?:0(?:\.\d+)?|[1-5](?:\.\d+)?)\s*(?:px|pt|;|$)|opacity\s*:\s*0(?:\.0+)?\s*(?:;|$)|mso-hide\s*:\s*all",
    re.IGNORECASE,
)
_BREAKS = {"p", "div", "br", "tr", "td", "li", "h1", "h2", "h3", "h4", "hr", "table"}


class _Visible(HTMLParser):
    """LAW-1: a notice nobody can see is no notice."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.markup: list[str] = []
        self._hidden: list[str] = []  # open elements from the outermost hidden one inwards

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        hidden = tag in {"script", "style", "head", "title", "template", "noscript"} or "hidden" in values
        if self._hidden or hidden or _HIDDEN_STYLE.search(values.get("style") or ""):
            if tag not in _VOID:
                self._hidden.append(tag)
            return
        if tag in _BREAKS:
            self.text.append("\n")
        self.markup.append(self.get_starttag_text() or "")
        # A picture's words count: many footers are pictures with an alt text.
        if tag == "img":
            self.text.append(values.get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            while self._hidden and self._hidden.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text.append(data)
            self.markup.append(data)

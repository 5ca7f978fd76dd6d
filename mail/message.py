"""A template and a lead's values → the bytes of one mail. Pure but for `take_snapshot`.

    skeleton = Skeleton(snapshot.content)                      # once per job
    values = values_for(leads, now=now, names=skeleton.names)  # once per batch
    mail = skeleton.build(values[lead.pk], delivery_id=…, lead_id=…, sent_at=…)

RSV-4: the same content, values, ids and `sent_at` give the same bytes, so what was sent can be shown for ever. That holds for
counted mails too (TRK-1): the content of their snapshot has `"counted": {URL as written: CountedUrl id}` and `"opens": True`
(mail/click_count.py), and the links are made of these ids and the delivery's while it merges. That of a story has
`"magazine": id`: its 配信停止URL is the reader's (OPT-7).
Line ends are CRLF throughout and nothing else (SMTP smuggling); dot-stuffing is the SMTP client's work.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from mail import links
from mail.address_fields import envelope_form, split_addresses
from mail.counted_links import add_at_end, mark, rewrite
from mail.headers import mailboxes_field, one_line, raw_field, reads_back, text_field
from mail.japanese import as_iso_2022_jp
from mail.merge_fields import ADDRESS, OPT_OUT
from mail.merging import Merger, TemplateError
from mail.mime_parts import EMPTY_BODY, Body, Entity, attachment_part, clean_body, multipart, text_part
from mail.models.template import Charset, MailForm, MailTemplate, Purpose, TemplateSnapshot

TEST_PREFIX = "【テスト】"  # in the subject of test mails

_FIELDS = (
    "name", "subject", "form", "purpose", "charset", "to", "from_address", "from_name", "cc", "bcc", "reply_to",
    "errors_to", "text_body", "html_body",
)  # fmt: skip
_SEVERAL = ("to", "cc", "bcc", "reply_to")
_SINGLE = ("from_address", "errors_to")
_ADDRESS_NAMES = (ADDRESS, "email")
_OPT_OUT_NAMES = (OPT_OUT, "unsubscribe_url")
_OPEN_MARK = "_open"  # like counted_links.mark: no template can be saved with it
_OPEN_IMAGE = f'<img src="{{{{ {_OPEN_MARK} }}}}" alt="" width="1" height="1">'


class MergeProblem(ValueError):
    """This mail cannot be made for this lead (ADDR-3): `field` is the template's field, `value` what it became."""

    def __init__(self, field: str, value: str, reason: str = "") -> None:
        super().__init__(
            _("%(field)s became “%(value)s”, which is no usable value. %(reason)s")
            % {"field": field_label(field), "value": value, "reason": reason}
        )
        self.field = field
        self.value = value
        self.reason = reason


@dataclass(frozen=True)
class BuiltMail:
    """One mail, ready for SMTP. `recipients` are (to | cc | bcc, address), each address once, in envelope form."""

    sender: str  # the envelope's: always our own (ADDR-5)
    recipients: list[tuple[str, str]]
    data: bytes
    subject: str  # as sent
    charset: str  # utf-8, although the template says iso-2022-jp, when this lead's values need it (CHR-1)
    from_header: str  # the From address, for alignment checks
    errors_to: str  # "" = nobody else wants bounces
    headers: list[str]  # the names, in order
    text: str  # the merged parts, "" where the form has none
    html: str


def field_label(field: str) -> str:
    """A field's name for people, in the active language."""
    return str(MailTemplate._meta.get_field(field).verbose_name)  # type: ignore[union-attr]


def snapshot_content(template: MailTemplate) -> dict[str, Any]:
    """Everything of the template that a mail is made of, as JSON."""
    content: dict[str, Any] = {field: str(getattr(template, field)).replace("\0", "") for field in _FIELDS}
    content["attachments"] = [
        {
            "name": attachment.file_name,
            "type": attachment.content_type,
            "content": base64.b64encode(bytes(attachment.content)).decode("ascii"),
        }
        for attachment in (template.attachments.all() if template.pk else ())
    ]
    return content


def store_snapshot(content: dict[str, Any]) -> TemplateSnapshot:
    """The snapshot of this content; equal content is stored once, however many processes ask at the same time."""
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    snapshot, _created = TemplateSnapshot.objects.get_or_create(digest=digest, defaults={"content": content})
    return snapshot


def take_snapshot(template: MailTemplate) -> TemplateSnapshot:
    """RSV-1: the template as it is now."""
    return store_snapshot(snapshot_content(template))


def as_test(content: dict[str, Any]) -> dict[str, Any]:
    """The same mail as a test: marked in its subject, sent to the one address `build` is given, links to nobody."""
    return content | {"test": True, "subject": TEST_PREFIX + content["subject"], "cc": "", "bcc": ""}


def uncounted(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same mail with its links as they are written: for people of ours to look at, and for sending it to one person."""
    return {key: value for key, value in content.items() if key not in {"counted", "opens"}}


def with_address(values: Mapping[str, str], address: str | None) -> dict[str, str]:
    """Merge values with the address the mail goes to in the place of the lead's own."""
    return {**values, **dict.fromkeys(_ADDRESS_NAMES, address)} if address is not None else dict(values)


class Skeleton:
    """A snapshot's content, compiled. `names` are the merge fields it uses."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Raises TemplateError or AddressFieldError for a template that could not have been saved."""
        self.test = bool(content.get("test"))
        self.form = MailForm(content["form"])
        self.charset = Charset(content["charset"])
        self.advertising = content["purpose"] == Purpose.ADVERTISING
        self.magazine_id: int | None = content.get("magazine")
        self._by_machine = bool(content.get("by_machine"))  # RFC 3834: no auto-reply is wanted
        self._text = self.form != MailForm.HTML
        self._html = self.form != MailForm.TEXT
        sources = {"subject": content["subject"], "from_name": content["from_name"]}
        if self._text:
            sources["text_body"] = content["text_body"]
        if self._html:
            sources["html_body"] = content["html_body"]
        self._items: dict[str, list[str]] = {}  # address field → the parts of `sources` it is made of
        for field in (*_SEVERAL, *_SINGLE):
            items = split_addresses(content[field], several=field in _SEVERAL)
            self._items[field] = [f"{field}.{number}" for number in range(len(items))]
            sources.update(zip(self._items[field], items, strict=True))
        # Links of a test mail stay as they are: trying one out counts for nobody.
        self._counted: dict[str, int] = {} if self.test else dict(content.get("counted") or {})
        self._opens = bool(content.get("opens")) and self._html and not self.test
        self._marks = [(mark(url_id), url_id) for url_id in dict.fromkeys(self._counted.values())]
        counting = self._add_marks if self._counted or self._opens else None
        self._merger = Merger(sources, html_parts=frozenset({"html_body"}), add_marks=counting)
        self.names = self._merger.names
        self._attachments = [attachment_part(part) for part in content["attachments"]]
        # What is the same in every mail is made once; the caches only ever gain entries, so threads may share them.
        self._settled = {
            field for field, parts in self._items.items() if all(map(self._merger.is_fixed, parts))
        }
        if not self._merger.is_fixed("from_name"):
            self._settled.discard("from_address")
        self._addresses_once: dict[str, list[str]] = {}
        self._fields_once: dict[tuple[str, str], bytes] = {}
        self._bodies_once: dict[str, Body] = {}
        self._parts_once: dict[tuple[str, str], Entity] = {}
        self._date_once: tuple[datetime, object, bytes] | None = None

    def build(
        self,
        values: Mapping[str, str],
        *,
        delivery_id: int,
        lead_id: int | None,
        sent_at: datetime,
        address: str | None = None,
    ) -> BuiltMail:
        """The mail of one lead. `address` overrides the lead's address in `values` (a test mail needs it: where it
        goes). Raises MergeProblem when an address field or the sender came out unusable."""
        if self.test or self.magazine_id is not None:
            whose = links.NOBODY if self.test or lead_id is None else lead_id
            values = {**values, **dict.fromkeys(_OPT_OUT_NAMES, self._opt_out_url(whose))}
        if address is not None and not self.test:
            values = with_address(values, address)
        if self._marks or self._opens:
            values = {**values, **self._links(delivery_id)}
        addresses = self._addresses(values, address or "")
        subject = one_line(self._render("subject", values))
        from_name = one_line(self._render("from_name", values))
        text = self._body("text_body", values) if self._text else EMPTY_BODY
        html = self._body("html_body", values) if self._html else EMPTY_BODY
        charset = self.charset
        if (
            charset == Charset.ISO_2022_JP
            and as_iso_2022_jp("\n".join((subject, from_name, text.text, html.text))) is None
        ):
            charset = Charset.UTF_8
        message_id = links.message_id(delivery_id)
        entity, body = self._entity(text, html, charset, message_id[3:].partition("@")[0])
        block = [
            self._date(sent_at),
            self._mailboxes("From", "from_address", [(from_name, addresses["from_address"][0])], charset),
        ]
        names = ["Date", "From"]
        for name, field in (("Reply-To", "reply_to"), ("To", "to"), ("Cc", "cc")):
            if addresses[field]:
                block.append(self._mailboxes(name, field, [("", item) for item in addresses[field]], charset))
                names.append(name)
        block += [text_field("Subject", subject, charset), raw_field("Message-ID", message_id)]
        names += ["Subject", "Message-ID"]
        if self.advertising:  # RATE-6, RFC 8058
            lead = links.NOBODY if self.test or lead_id is None else lead_id
            block += [
                raw_field("List-Unsubscribe", f"<{links.one_click_url(lead, delivery_id)}>"),
                b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
            ]
            names += ["List-Unsubscribe", "List-Unsubscribe-Post"]
        if self._by_machine:
            block.append(b"Auto-Submitted: auto-generated\r\n")
            names.append("Auto-Submitted")
        names += ["MIME-Version", "Content-Type"]
        if self.form != MailForm.MULTIPART and not self._attachments:
            names.append("Content-Transfer-Encoding")
        header = b"".join([*block, b"MIME-Version: 1.0\r\n", entity])
        if not reads_back(header, [name.encode("ascii") + b":" for name in names]):
            raise ValueError("the header block does not read back as it was meant")
        return BuiltMail(
            sender=links.envelope_sender(delivery_id),
            recipients=_recipients(addresses),
            data=b"".join((header, b"\r\n", body)),
            subject=subject,
            charset=str(charset),
            from_header=addresses["from_address"][0],
            errors_to=next(iter(addresses["errors_to"]), ""),
            headers=names,
            text=text.text,
            html=html.text,
        )

    def _opt_out_url(self, lead_id: int) -> str:
        """OPT-7: of a magazine's mail it is the reader's. The one of List-Unsubscribe knows its delivery, and by it the magazine."""
        if self.magazine_id is not None:
            return links.reader_opt_out_url(self.magazine_id, lead_id)
        return links.opt_out_url(lead_id)

    def _add_marks(self, part: str, source: str) -> str:
        """TRK-1: a merge field of our own in the place of each counted URL, and the image by which opens are seen."""
        if part not in {"text_body", "html_body"}:
            return source
        source = rewrite(source, part, self._counted)
        return add_at_end(source, _OPEN_IMAGE) if self._opens and part == "html_body" else source

    def _links(self, delivery_id: int) -> dict[str, str]:
        made = {name: links.click_url(delivery_id, url_id) for name, url_id in self._marks}
        if self._opens:
            made[_OPEN_MARK] = links.open_url(delivery_id)
        return made

    def _render(self, part: str, values: Mapping[str, str]) -> str:
        try:
            return self._merger.render(part, values)
        except TemplateError as error:
            raise MergeProblem(part.partition(".")[0], "", str(error)) from error

    def _body(self, part: str, values: Mapping[str, str]) -> Body:
        body = self._bodies_once.get(part)
        if body is None:
            body = clean_body(self._render(part, values))
            if self._merger.is_fixed(part):
                self._bodies_once[part] = body
        return body

    def _date(self, sent_at: datetime) -> bytes:
        """The mails of a batch have one time: it is written once."""
        zone = timezone.get_current_timezone()
        once = self._date_once
        if once is None or once[0] != sent_at or once[1] is not zone:
            field = raw_field("Date", format_datetime(timezone.localtime(sent_at)))
            once = self._date_once = (sent_at, zone, field)
        return once[2]

    def _mailboxes(self, name: str, field: str, mailboxes: list[tuple[str, str]], charset: str) -> bytes:
        made = self._fields_once.get((name, charset))
        if made is None:
            made = mailboxes_field(name, mailboxes, charset)
            if field in self._settled and not (self.test and field == "to"):
                self._fields_once[name, charset] = made
        return made

    def _addresses(self, values: Mapping[str, str], test_address: str) -> dict[str, list[str]]:
        """{field: addresses in envelope form}. Merge fields that came out empty are dropped (ADDR-3)."""
        found: dict[str, list[str]] = {}
        for field, parts in self._items.items():
            once = self._addresses_once.get(field)
            if once is not None:
                found[field] = once
                continue
            test = self.test and field == "to"
            rendered = [test_address] if test else [self._render(part, values) for part in parts]
            found[field] = _usable(field, rendered)
            if field in self._settled and not test:
                self._addresses_once[field] = found[field]
        for field in ("from_address", "to"):
            if not found[field]:
                raise MergeProblem(field, "", _("There is no address."))
        return found

    def _entity(self, text: Body, html: Body, charset: str, boundary: str) -> Entity:
        if self.form == MailForm.MULTIPART:
            parts = [self._part("plain", text, charset), self._part("html", html, charset)]
            entity = multipart("alternative", f"=_a.{boundary}", parts)
        elif self.form == MailForm.HTML:
            entity = self._part("html", html, charset)
        else:
            entity = self._part("plain", text, charset)
        if self._attachments:
            entity = multipart("mixed", f"=_m.{boundary}", [entity, *self._attachments])
        return entity

    def _part(self, subtype: str, body: Body, charset: str) -> Entity:
        made = self._parts_once.get((subtype, charset))
        if made is None:
            made = text_part(subtype, body, charset)
            if self._merger.is_fixed("html_body" if subtype == "html" else "text_body"):
                self._parts_once[subtype, charset] = made
        return made


def _usable(field: str, rendered: list[str]) -> list[str]:
    """The addresses of one field in envelope form, each once. MergeProblem for what is none."""
    items: list[str] = []
    for value in rendered:
        if not value.strip():
            continue
        try:
            item = envelope_form(value)
        except ValueError as error:
            raise MergeProblem(field, value[:320], str(error)) from error
        if item not in items:
            items.append(item)
    return items


def _recipients(addresses: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    once: dict[str, str] = {}
    for kind in ("to", "cc", "bcc"):
        for address in addresses[kind]:
            once.setdefault(address, kind)
    return [(kind, address) for address, kind in once.items()]

"""A template and a lead's values → the bytes of one mail. Pure but for `take_snapshot`.

    skeleton = Skeleton(snapshot.content)                      # once per job
    values = values_for(leads, now=now, names=skeleton.names)  # once per batch
    mail = skeleton.build(values[lead.pk], delivery_id=…, lead_id=…, sent_at=…)

RSV-4: the same content, values, ids and `sent_at` give the same bytes, so what was sent can be shown for ever.
Line ends are CRLF throughout and nothing else (SMTP smuggling); dot-stuffing is the SMTP client's work.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from mail import links
from mail.address_fields import envelope_form, split_addresses
from mail.headers import field_names, file_name_parameters, mailboxes_field, one_line, raw_field, text_field
from mail.japanese import as_iso_2022_jp, compose_kana, without_controls
from mail.merge_fields import ADDRESS, OPT_OUT
from mail.merging import Merger, TemplateError, normalise_newlines
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
_MIME_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,60}")


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


class Skeleton:
    """A snapshot's content, compiled. `names` are the merge fields it uses."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Raises TemplateError or AddressFieldError for a template that could not have been saved."""
        self.test = bool(content.get("test"))
        self.form = MailForm(content["form"])
        self.charset = Charset(content["charset"])
        self.advertising = content["purpose"] == Purpose.ADVERTISING
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
        self._merger = Merger(sources, html_parts=frozenset({"html_body"}))
        self.names = self._merger.names
        self._attachments = [_attachment(part) for part in content["attachments"]]

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
        values = dict(values)
        if address is not None and not self.test:
            values.update(dict.fromkeys(_ADDRESS_NAMES, address))
        if self.test:
            values.update(dict.fromkeys(_OPT_OUT_NAMES, links.opt_out_url(links.NOBODY)))
        addresses = self._addresses(values, address or "")
        subject = one_line(self._render("subject", values))
        from_name = one_line(self._render("from_name", values))
        text = _body(self._render("text_body", values)) if self._text else ""
        html = _body(self._render("html_body", values)) if self._html else ""
        charset = self.charset
        if (
            charset == Charset.ISO_2022_JP
            and as_iso_2022_jp("\n".join((subject, from_name, text, html))) is None
        ):
            charset = Charset.UTF_8
        boundary = links.message_id(delivery_id)[3:].partition("@")[0]
        entity, body = self._entity(text, html, charset, boundary)
        block = [
            raw_field("Date", format_datetime(timezone.localtime(sent_at))),
            mailboxes_field("From", [(from_name, addresses["from_address"][0])], charset),
        ]
        for name, field in (("Reply-To", "reply_to"), ("To", "to"), ("Cc", "cc")):
            if addresses[field]:
                block.append(mailboxes_field(name, [("", item) for item in addresses[field]], charset))
        block.append(text_field("Subject", subject, charset))
        block.append(raw_field("Message-ID", links.message_id(delivery_id)))
        if self.advertising:  # RATE-6, RFC 8058
            lead = links.NOBODY if self.test or lead_id is None else lead_id
            block.append(raw_field("List-Unsubscribe", f"<{links.one_click_url(lead, delivery_id)}>"))
            block.append(raw_field("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        block.append(raw_field("MIME-Version", "1.0"))
        header = b"".join(block) + entity
        return BuiltMail(
            sender=links.envelope_sender(delivery_id),
            recipients=_recipients(addresses),
            data=header + b"\r\n" + body,
            subject=subject,
            charset=str(charset),
            from_header=addresses["from_address"][0],
            errors_to=next(iter(addresses["errors_to"]), ""),
            headers=self._checked_names(header, addresses),
            text=text,
            html=html,
        )

    def _render(self, part: str, values: Mapping[str, str]) -> str:
        try:
            return self._merger.render(part, values)
        except TemplateError as error:
            raise MergeProblem(part.partition(".")[0], "", str(error)) from error

    def _addresses(self, values: Mapping[str, str], test_address: str) -> dict[str, list[str]]:
        """{field: addresses in envelope form}. Merge fields that came out empty are dropped (ADDR-3)."""
        found: dict[str, list[str]] = {}
        for field, parts in self._items.items():
            found[field] = []
            rendered = [self._render(part, values) for part in parts]
            if self.test and field == "to":
                rendered = [test_address]
            for value in rendered:
                if not value.strip():
                    continue
                try:
                    item = envelope_form(value)
                except ValueError as error:
                    raise MergeProblem(field, value[:320], str(error)) from error
                if item not in found[field]:
                    found[field].append(item)
        for field in ("from_address", "to"):
            if not found[field]:
                raise MergeProblem(field, "", _("There is no address."))
        return found

    def _entity(self, text: str, html: str, charset: str, boundary: str) -> tuple[bytes, bytes]:
        """(header fields of the content, body), both with CRLF at their ends."""
        if self.form == MailForm.MULTIPART:
            parts = [_leaf("plain", text, charset), _leaf("html", html, charset)]
            entity = _multipart("alternative", f"=_a.{boundary}", parts)
        elif self.form == MailForm.HTML:
            entity = _leaf("html", html, charset)
        else:
            entity = _leaf("plain", text, charset)
        if self._attachments:
            entity = _multipart("mixed", f"=_m.{boundary}", [entity, *self._attachments])
        return entity

    def _checked_names(self, header: bytes, addresses: Mapping[str, list[str]]) -> list[str]:
        """The header's field names, read back from the bytes; ValueError unless they are exactly the intended ones."""
        names = ["Date", "From"]
        names += [
            name for name, field in (("Reply-To", "reply_to"), ("To", "to"), ("Cc", "cc")) if addresses[field]
        ]
        names += ["Subject", "Message-ID"]
        if self.advertising:
            names += ["List-Unsubscribe", "List-Unsubscribe-Post"]
        names += ["MIME-Version", "Content-Type"]
        if self.form != MailForm.MULTIPART and not self._attachments:
            names.append("Content-Transfer-Encoding")
        if field_names(header) != names:
            raise ValueError("the header block does not read back as it was meant")
        return names


def _recipients(addresses: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    once: dict[str, str] = {}
    for kind in ("to", "cc", "bcc"):
        for address in addresses[kind]:
            once.setdefault(address, kind)
    return [(kind, address) for address, kind in once.items()]


def _body(text: str) -> str:
    """A merged body with LF only, without control characters, ending with a line end."""
    text = without_controls(normalise_newlines(compose_kana(text)))
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)  # lone surrogates are no characters
    return text if text.endswith("\n") else text + "\n"


def _leaf(subtype: str, text: str, charset: str) -> tuple[bytes, bytes]:
    encoded = as_iso_2022_jp(text) if charset == Charset.ISO_2022_JP else None
    label = "ISO-2022-JP"
    if encoded is None:
        encoded, label = text.encode(), "UTF-8"
    if encoded.isascii() and max(map(len, encoded.split(b"\n"))) <= 998:
        # ISO-2022-JP's own form; its longest lines go the other way rather than being broken inside a sentence.
        way, body = "7bit", encoded
    elif encoded.isascii() and b"\x1b" not in encoded:
        way, body = "quoted-printable", _quoted_printable(encoded)
    else:
        way, body = _shorter(encoded)
    header = raw_field("Content-Type", f"text/{subtype}; charset={label}") + raw_field(
        "Content-Transfer-Encoding", way
    )
    return header, body.replace(b"\n", b"\r\n")


def _shorter(encoded: bytes) -> tuple[str, bytes]:
    """Quoted-printable for mostly ASCII text (readable as it is), base64 for Japanese."""
    others = len(encoded) - len(encoded.decode("ascii", "ignore"))
    if others * 6 < len(encoded) and b"\x1b" not in encoded:
        return "quoted-printable", _quoted_printable(encoded)
    return "base64", _base64_lines(encoded.replace(b"\n", b"\r\n"))


def _base64_lines(raw: bytes) -> bytes:
    """RFC 2045 6.8, in lines of 76 characters ending with LF. Several times as fast as base64.encodebytes."""
    encoded = binascii.b2a_base64(raw, newline=False)
    return b"".join([encoded[start : start + 76] + b"\n" for start in range(0, len(encoded), 76)])


def _quoted_printable(encoded: bytes) -> bytes:
    return binascii.b2a_qp(encoded, istext=True).replace(b"\r\n", b"\n")


def _multipart(subtype: str, boundary: str, parts: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    mark = b"--" + boundary.encode("ascii")
    body = b"".join(mark + b"\r\n" + header + b"\r\n" + content + b"\r\n" for header, content in parts)
    return raw_field(
        "Content-Type", f"multipart/{subtype};", f'boundary="{boundary}"'
    ), body + mark + b"--\r\n"


def _attachment(part: Mapping[str, str]) -> tuple[bytes, bytes]:
    typed, disposed = file_name_parameters(part["name"])
    kind = part["type"] if _MIME_TYPE.fullmatch(part["type"]) else "application/octet-stream"
    header = (
        raw_field("Content-Type", f"{kind};", *typed)
        + raw_field("Content-Disposition", "attachment;", *disposed)
        + raw_field("Content-Transfer-Encoding", "base64")
    )
    return header, _base64_lines(base64.b64decode(part["content"])).replace(b"\n", b"\r\n")

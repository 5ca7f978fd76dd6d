"""Returned mails as different servers write them, built here from what their documents and logs show."""

import base64
import quopri

US = "b.1234.abcdefgh@bounce.smp.example"
ORIGINAL = {
    "Return-Path": f"<{US}>",
    "Received": "from mail.smp.example (mail.smp.example [192.0.2.1]) by mx.example.jp with ESMTP id 4XyZ",
    "From": "SMP <info@smp.example>",
    "To": "taro@example.jp",
    "Subject": "News of November",
    "Message-ID": "<1234.abcdefgh@smp.example>",
    "Date": "Sun, 22 Nov 2026 10:00:00 +0900",
    "MIME-Version": "1.0",
    "Content-Type": "text/plain; charset=utf-8",
}


def original(to="taro@example.jp", **changes):
    headers = {**ORIGINAL, "To": to, **changes}
    return (
        "\n".join(f"{name}: {value}" for name, value in headers.items())
        + "\n\nHello, contact sales@smp.example\n"
    )


def mail(
    text,
    *,
    sender="MAILER-DAEMON@mx.example.jp (Mail Delivery System)",
    subject="Undelivered Mail Returned to Sender",
    to=US,
    charset="utf-8",
    encoding="8bit",
    **headers,
):
    """One text part, no MIME parts."""
    body = text.encode("utf-8" if charset == "utf-8" else charset, "replace")
    if encoding == "base64":
        body = base64.encodebytes(body)
    elif encoding == "quoted-printable":
        body = quopri.encodestring(body)
    lines = {
        "Return-Path": "<>",
        "From": sender,
        "To": to,
        "Subject": subject,
        "MIME-Version": "1.0",
        "Content-Type": f"text/plain; charset={charset}",
        "Content-Transfer-Encoding": encoding,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value).encode() + b"\n\n" + body


def dsn(
    text,
    status,
    *,
    returned=None,
    sender="MAILER-DAEMON@mx.example.jp (Mail Delivery System)",
    subject="Undelivered Mail Returned to Sender",
    to=US,
    mime="message/delivery-status",
    encoding="7bit",
    charset="utf-8",
    html=False,
    **headers,
):
    """A multipart/report. `status`: the fields of the report's second part."""
    fields = status.strip() + "\n"
    if encoding == "base64":
        fields = base64.encodebytes(fields.encode()).decode()
    elif encoding == "quoted-printable":
        fields = quopri.encodestring(fields.encode()).decode()
    lines = {
        "Return-Path": "<>",
        "From": sender,
        "To": to,
        "Subject": subject,
        "Auto-Submitted": "auto-replied",
        "MIME-Version": "1.0",
        "Content-Type": 'multipart/report; report-type=delivery-status; boundary="=_b1"',
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    kind = "text/html" if html else "text/plain"
    return (
        "\n".join(f"{name}: {value}" for name, value in lines.items() if value)
        + f"\n\n--=_b1\nContent-Type: {kind}; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n{text}\n"
        + f"--=_b1\nContent-Type: {mime}\nContent-Transfer-Encoding: {encoding}\n\n{fields}\n"
        + f"--=_b1\nContent-Type: message/rfc822\n\n{returned or original()}\n--=_b1--\n"
    ).encode(charset if charset != "us-ascii" else "utf-8", "replace")


def feedback(fields, *, returned=None, subject="FW: News of November"):
    return (
        f"From: fbl@provider.example\nTo: fbl@smp.example\nSubject: {subject}\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="=_f1"\n\n'
        "--=_f1\nContent-Type: text/plain\n\nThis is an email abuse report for an email message.\n"
        f"--=_f1\nContent-Type: message/feedback-report\n\n{fields}\n\n"
        f"--=_f1\nContent-Type: message/rfc822\n\n{returned or original()}\n--=_f1--\n"
    ).encode()


def fields(
    final,
    status="5.1.1",
    diagnostic="",
    *,
    action="failed",
    original_recipient="",
    mta="dns; mx.example.jp",
    more="",
):
    text = f"Reporting-MTA: {mta}\nArrival-Date: Sun, 22 Nov 2026 10:00:00 +0900\n\n"
    if original_recipient:
        text += f"Original-Recipient: {original_recipient}\n"
    text += f"Final-Recipient: {final}\nAction: {action}\nStatus: {status}\n"
    if diagnostic:
        text += f"Diagnostic-Code: {diagnostic}\n"
    return text + more


POSTFIX = """This is the mail system at host mx.example.jp.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system

"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

"""
QMAIL = """Hi. This is the qmail-send program at mx.example.jp.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

"""
HOTMAIL = "This is an automatically generated Delivery Status Notification.\n\nDelivery to the following recipients failed.\n\n"
COPY = "\n------ This is a copy of the message, including all the headers. ------\n\n"

# name: (mail, recipients, hard)
BOUNCES = {
    "postfix": (dsn(POSTFIX + "<taro@example.jp>: host mx.example.jp[192.0.2.5] said: 550 5.1.1\n    <taro@example.jp>: "
        "Recipient address rejected: User unknown in local recipient table (in\n    reply to RCPT TO command)",
        fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 <taro@example.jp>: Recipient address\n    rejected: User unknown in local recipient table",
               original_recipient="rfc822;taro@example.jp")), ["taro@example.jp"], True),
    "postfix alias": (dsn(POSTFIX + "<hanako@inside.example.jp> (expanded from <taro@example.jp>): unknown user: \"hanako\"",
        fields("rfc822; hanako@inside.example.jp", "5.1.1", 'x-unix; unknown user: "hanako"', original_recipient="rfc822;taro@example.jp")),
        ["taro@example.jp"], True),
    "postfix full": (dsn(POSTFIX + "<taro@example.jp>: host mx[192.0.2.5] said: 452 4.2.2 Mailbox full",
        fields("rfc822; taro@example.jp", "4.2.2", "smtp; 452 4.2.2 <taro@example.jp> Mailbox full")), ["taro@example.jp"], False),
    "postfix expired": (dsn(POSTFIX + "<taro@example.jp>: connect to mx.example.jp[192.0.2.5]:25: Connection timed out",
        fields("rfc822; taro@example.jp", "4.4.1", "X-Postfix; connect to mx.example.jp[192.0.2.5]:25: Connection\n    timed out")), ["taro@example.jp"], False),
    "postfix no host": (dsn(POSTFIX + "<taro@nowhere.invalid>: Host or domain name not found. Name service error for\n    name=nowhere.invalid type=AAAA: Host not found",
        fields("rfc822; taro@nowhere.invalid", "5.4.4", "X-Postfix; Host or domain name not found. Name service error\n    for name=nowhere.invalid type=AAAA: Host not found"),
        returned=original("taro@nowhere.invalid")), ["taro@nowhere.invalid"], True),
    "postfix null mx": (dsn(POSTFIX + "<taro@example.jp>: Domain example.jp does not accept mail (nullMX)",
        fields("rfc822; taro@example.jp", "5.1.0", "X-Postfix; Domain example.jp does not accept mail (nullMX)")), ["taro@example.jp"], True),
    "postfix two": (dsn(POSTFIX + "<taro@example.jp>: host mx said: 550 no such user\n\n<hanako@example.jp>: host mx said: 552 5.2.2 over quota",
        fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 no such user") + "\nFinal-Recipient: rfc822; hanako@example.jp\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 5.2.2 over quota\n"),
        ["hanako@example.jp", "taro@example.jp"], None),
    "postfix base64 status": (dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 User unknown"), encoding="base64"), ["taro@example.jp"], True),
    "postfix qp status": (dsn(POSTFIX, fields("rfc822; taro=x@example.jp", "5.1.1", "smtp; 550 5.1.1 User unknown"), encoding="quoted-printable"), ["taro=x@example.jp"], True),
    "postfix utf8": (dsn(POSTFIX, fields("utf-8; 太郎@example.jp", "5.1.1", "smtp; 550 5.1.1 User unknown"), mime="message/global-delivery-status"), ["太郎@example.jp"], True),
    "utf-8-addr-xtext": (dsn(POSTFIX, fields(r"utf-8; \x{592A}\x{90CE}@example.jp", "5.1.1"), mime="message/global-delivery-status"), ["太郎@example.jp"], True),
    "xtext": (dsn(POSTFIX, fields("rfc822; box17", "5.1.1", original_recipient="rfc822;taro+2Bnews@example.jp")), ["taro+news@example.jp"], True),
    "local user": (dsn(POSTFIX, fields("x-local-user; taro", "5.1.1", 'x-unix; unknown user: "taro"')), ["taro@example.jp"], True),
    "inside name": (dsn(POSTFIX, fields("rfc822; taro@store03.local", "5.2.2", "smtp; 554 5.2.2 mailbox full")), ["taro@example.jp"], False),
    "status as text": (mail(POSTFIX + "<taro@example.jp>: unknown user\n\n" + fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 unknown user") + "\n" + original()), ["taro@example.jp"], True),
    "no blank between recipients": (dsn(POSTFIX, "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; a@example.jp\nAction: failed\nStatus: 5.1.1\nFinal-Recipient: rfc822; b@example.jp\nAction: failed\nStatus: 5.1.1"), ["a@example.jp", "b@example.jp"], True),
    "one failed one delivered": (dsn(POSTFIX, fields("rfc822; a@example.jp", "5.1.1") + "\nFinal-Recipient: rfc822; b@example.jp\nAction: delivered\nStatus: 2.0.0\n"), ["a@example.jp"], True),
    "sendmail 8": (dsn("The original message was received at Sun, 22 Nov 2026 10:00:00 +0900\nfrom mail.smp.example [192.0.2.1]\n\n   ----- The following addresses had permanent fatal errors -----\n<taro@example.jp>\n    (reason: 550 5.1.1 <taro@example.jp>... User unknown)\n\n   ----- Transcript of session follows -----\n... while talking to mx.example.jp.:\n>>> DATA\n<<< 550 5.1.1 <taro@example.jp>... User unknown\n550 5.1.1 <taro@example.jp>... User unknown\n<<< 503 5.0.0 Need RCPT (recipient)",
        fields("RFC822; taro@example.jp", "5.1.1", "SMTP; 550 5.1.1 <taro@example.jp>... User unknown", more="Remote-MTA: DNS; mx.example.jp\nLast-Attempt-Date: Sun, 22 Nov 2026 10:00:01 +0900\n"),
        sender="Mail Delivery Subsystem <MAILER-DAEMON@relay.example.jp>", subject="Returned mail: see transcript for details", Auto_Submitted="auto-generated (failure)"), ["taro@example.jp"], True),
    "sendmail text only": (mail("The original message was received at Sun, 22 Nov 2026 10:00:00 +0900\nfrom mail.smp.example [192.0.2.1]\n\n   ----- The following addresses had permanent fatal errors -----\n<taro@example.jp>\n\n   ----- Transcript of session follows -----\n... while talking to mx.example.jp.:\n>>> RCPT To:<taro@example.jp>\n<<< 550 5.1.1 <taro@example.jp>... User unknown\n550 <taro@example.jp>... User unknown\n\n   ----- Original message follows -----\n\n" + original(), subject="Returned mail: User unknown"), ["taro@example.jp"], True),
    "exim dsn": (dsn(EXIM + "  taro@example.jp\n    host mx.example.jp [192.0.2.5]\n    SMTP error from remote mail server after RCPT TO:<taro@example.jp>:\n    550 5.1.1 <taro@example.jp>: user does not exist",
        fields("rfc822;taro@example.jp", "5.0.0", "smtp; 550 5.1.1 <taro@example.jp>: user does not exist", more="Remote-MTA: dns; mx.example.jp\n"),
        sender="Mail Delivery System <Mailer-Daemon@relay.example.jp>", subject="Mail delivery failed: returning message to sender", X_Failed_Recipients="taro@example.jp"), ["taro@example.jp"], True),
    "exim text": (mail(EXIM + "  taro@example.jp\n    Unrouteable address\n" + COPY + original(), subject="Mail delivery failed: returning message to sender", X_Failed_Recipients="taro@example.jp", Auto_Submitted="auto-replied"), ["taro@example.jp"], True),
    "exim quota": (mail(EXIM + "  taro@example.jp\n    mailbox is full: retry timeout exceeded\n" + COPY + original(), subject="Mail delivery failed: returning message to sender", X_Failed_Recipients="taro@example.jp"), ["taro@example.jp"], False),
    "exim after data": (mail(EXIM + "  taro@example.jp\n    SMTP error from remote mail server after end of data:\n    host mx.example.jp [192.0.2.5]: 550 5.7.1 This message was classified as spam\n" + COPY + original(), subject="Mail delivery failed: returning message to sender", X_Failed_Recipients="taro@example.jp"), ["taro@example.jp"], False),
    "exim generated": (mail(EXIM + "  hanako@example.net\n    (generated from taro@example.jp)\n    No Such User Here\n" + COPY + original(), subject="Mail delivery failed: returning message to sender"), ["taro@example.jp"], True),
    "qmail": (mail(QMAIL + "<taro@example.jp>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\n" + original(), subject="failure notice"), ["taro@example.jp"], True),
    "qmail remote": (mail(QMAIL + "<taro@example.jp>:\n192.0.2.5 does not like recipient.\nRemote host said: 550 5.1.1 <taro@example.jp>: Recipient address rejected: User unknown\nGiving up on 192.0.2.5.\n\n--- Below this line is a copy of the message.\n\n" + original(), subject="failure notice"), ["taro@example.jp"], True),
    "qmail full": (mail(QMAIL + "<taro@example.jp>:\nThis message is looping: it already has my Delivered-To line. (#5.4.6)\n\n--- Below this line is a copy of the message.\n\n" + original(), subject="failure notice"), ["taro@example.jp"], False),
    "qmail expired": (mail(QMAIL + "<taro@example.jp>:\nSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\nI'm not going to try again; this message has been in the queue too long.\n\n--- Below this line is a copy of the message.\n\n" + original(), subject="failure notice"), ["taro@example.jp"], False),
    "exchange online": (dsn("Delivery has failed to these recipients or groups:\n\ntaro@example.jp<mailto:taro@example.jp>\nThe email address you entered couldn't be found. Please check the recipient's email address and try to resend the message.\n\nDiagnostic information for administrators:\n\nGenerating server: TYAPR01.jpnprd01.prod.outlook.com\n\ntaro@example.jp\nRemote server returned '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient taro@example.jp not found by SMTP address lookup'\n\nOriginal message headers:\n\nReceived: from mail.smp.example",
        fields("rfc822;taro@example.jp", "5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient taro@example.jp not found by SMTP address lookup", mta="dns;TYAPR01.jpnprd01.prod.outlook.com"),
        sender='"Microsoft Outlook" <postmaster@example.jp>', subject="Undeliverable: News of November", X_Auto_Response_Suppress="All", X_MS_Exchange_Message_Is_Ndr=""), ["taro@example.jp"], True),
    "exchange online japanese": (dsn("次の受信者またはグループへの配信に失敗しました:\n\ntaro@example.jp\nメールボックスがいっぱいなので、メッセージを配信できません。\n\n管理者向けの診断情報:\n生成サーバー: TYAPR01.prod.outlook.com",
        fields("rfc822;taro@example.jp", "5.2.2", "smtp;554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException"), subject="配信不能: News of November", sender="postmaster@example.jp"), ["taro@example.jp"], False),
    "exchange access denied": (dsn("taro@example.jp", fields("rfc822;taro@example.jp", "5.4.1", "smtp;550 5.4.1 Recipient address rejected: Access denied. [TYZAPC01FT010.eop-APC01.prod.protection.outlook.com]")), ["taro@example.jp"], True),
    "exchange 2003": (mail("Your message\n\n  To:      taro@example.jp\n  Subject: News of November\n  Sent:    Sun, 22 Nov 2026 10:00:00 +0900\n\ndid not reach the following recipient(s):\n\ntaro@example.jp on Sun, 22 Nov 2026 10:00:10 +0900\n    The e-mail account does not exist at the organization this message was sent to.\n    <mx.example.jp #5.1.1>\n", sender="System Administrator <postmaster@example.jp>", subject="Undeliverable: News of November"), ["taro@example.jp"], True),
    "exchange german": (mail("Fehler bei der Nachrichtenzustellung an folgende Empfänger oder Verteilerlisten:\n\ntaro@example.jp\nDer Empfänger wurde nicht gefunden.\n\nDiagnoseinformationen für Administratoren:\n\nGenerierender Server: mx.example.jp\n\ntaro@example.jp\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n\nUrsprüngliche Nachrichtenkopfzeilen:\n\n" + original(), sender="postmaster@example.jp", subject="Unzustellbar: News of November"), ["taro@example.jp"], True),
    "exchange french": (mail("Échec de la remise à ces destinataires ou listes de distribution :\n\ntaro@example.jp\nL'adresse de messagerie du destinataire est introuvable dans le système de messagerie du destinataire.\n\nInformations de diagnostic pour les administrateurs :\n\nServeur de génération : mx.example.jp\n\ntaro@example.jp\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n\nEn-têtes de message d'origine :\n\n" + original(), sender="postmaster@example.jp", subject="Non remis : News of November", encoding="quoted-printable"), ["taro@example.jp"], True),
    "gmail dsn": (dsn("** Address not found **\n\nYour message wasn't delivered to taro@gmail.com because the address couldn't be found, or is unable to receive mail.\n\nThe response from the remote server was:\n550 5.1.1 The email account that you tried to reach does not exist.",
        fields("rfc822; taro@gmail.com", "5.1.1", "smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try\n 550-5.1.1 double-checking the recipient's email address for typos or\n 550 5.1.1 unnecessary spaces. For more information, go to\n https://support.google.com/mail/?p=NoSuchUser", mta="dns; googlemail.com"),
        sender="Mail Delivery Subsystem <mailer-daemon@googlemail.com>", subject="Delivery Status Notification (Failure)", returned=original("taro@gmail.com")), ["taro@gmail.com"], True),
    "gmail text": (mail("Delivery to the following recipient failed permanently:\n\n     taro@example.jp\n\nTechnical details of permanent failure: \nGoogle tried to deliver your message, but it was rejected by the server for the recipient domain example.jp by mx.example.jp. [192.0.2.5].\n\nThe error that the other server returned was:\n550 5.1.1 <taro@example.jp>: Recipient address rejected: User unknown\n\n----- Original message -----\n\n" + original(), sender="Mail Delivery Subsystem <mailer-daemon@googlemail.com>", subject="Delivery Status Notification (Failure)", X_Failed_Recipients="taro@example.jp"), ["taro@example.jp"], True),
    "gmail quota": (dsn("** Message not delivered: inbox full **", fields("rfc822; taro@gmail.com", "4.2.2", "smtp; 452 4.2.2 The email account that you tried to reach is over quota."), subject="Delivery Status Notification (Failure)"), ["taro@gmail.com"], False),
    "hotmail": (dsn(HOTMAIL + "       taro@hotmail.co.jp\n", fields("rfc822;taro@hotmail.co.jp", "5.5.0", "smtp;550 Requested action not taken: mailbox unavailable (-1387626495:3849:-2147467259)"), subject="Delivery Status Notification (Failure)", sender="postmaster@mail.hotmail.com"), ["taro@hotmail.co.jp"], True),
    "outlook S3140": (dsn(HOTMAIL, fields("rfc822;taro@outlook.jp", "5.7.1", "smtp;550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).")), ["taro@outlook.jp"], False),
    "yahoo": (mail("Sorry, we were unable to deliver your message to the following address.\n\n<taro@yahoo.com>:\nRemote host said: 550 5.1.1 <taro@yahoo.com>: Recipient address rejected: User unknown [RCPT_TO]\n\n--- Below this line is a copy of the message.\n\n" + original("taro@yahoo.com"), sender="MAILER-DAEMON@yahoo.com", subject="Failure Notice"), ["taro@yahoo.com"], True),
    "yahoo data": (dsn(POSTFIX, fields("rfc822; taro@yahoo.co.jp", "5.0.0", "smtp; 554 delivery error: dd This user doesn't have a yahoo.co.jp account (taro@yahoo.co.jp) [0] - mta1.mail.yahoo.co.jp (in reply to end of DATA command)")), ["taro@yahoo.co.jp"], True),
    "icloud": (dsn(POSTFIX, fields("rfc822; taro@icloud.com", "5.1.1", "smtp; 550 5.1.1 <taro@icloud.com>: inactive email address")), ["taro@icloud.com"], None),
    "icloud quota": (dsn(POSTFIX, fields("rfc822; taro@icloud.com", "5.2.2", "smtp; 552 5.2.2 <taro@icloud.com>: user is over quota")), ["taro@icloud.com"], False),
    "zimbra": (dsn(POSTFIX + "<taro@example.jp>: host zimbra.example.jp[192.0.2.9] said: 550 5.1.1 taro@example.jp: Recipient address rejected: example.jp", fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 taro@example.jp: Recipient address rejected: example.jp")), ["taro@example.jp"], True),
    "courier": (dsn("This is a delivery status notification from mx.example.jp,\nrunning the Courier mail server, version 1.2.\n\nThe original message was received on Sun, 22 Nov 2026 10:00:00 +0900\n\n---------------------------------------------------------------------------\n\n                           UNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n<taro@example.jp>:\n    mx.example.jp [192.0.2.5]:\n>>> RCPT TO:<taro@example.jp>\n<<< 550 User unknown.\n", fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 User unknown.", action="failed")), ["taro@example.jp"], True),
    "opensmtpd": (mail("    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n    An error has occurred while attempting to deliver a message for\n    the following list of recipients:\n\ntaro@example.jp: 550 5.1.1 <taro@example.jp>: Recipient address rejected: User unknown\n\n    Below is a copy of the original message:\n\n" + original(), sender="Mailer Daemon <MAILER-DAEMON@mx.example.jp>", subject="Delivery status notification: error"), ["taro@example.jp"], True),
    "haraka": (mail("This is the Haraka mailer program at mx.example.jp.\n\nI'm sorry to have to inform you that your message could not be delivered\nto one or more recipients.\n\nThere was a delivery failure: recipients rejected\n\n<taro@example.jp>: 550 5.1.1 No such user\n\n--- Below is a copy of the message.\n\n" + original(), subject="failed mail"), ["taro@example.jp"], True),
    "amazon ses": (dsn("An error occurred while trying to deliver the mail to the following recipients:\ntaro@example.jp", fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 user unknown", mta="dns; a8-50.smtp-out.amazonses.com"), sender="MAILER-DAEMON@amazonses.com", subject="Delivery Status Notification (Failure)"), ["taro@example.jp"], True),
    "sendgrid": (dsn("Hello, this is the mail server on mx.example.jp.\n\nI am sending you this message to inform you on the delivery status of a\nmessage you previously sent. Immediately below you will find a list of\nthe affected recipients; also attached is a Delivery Status Notification\n(DSN) report in standard format.", fields("rfc822; taro@example.jp", "5.0.0", "550 5.1.1 The email account that you tried to reach does not exist."), sender="MAILER-DAEMON@sendgrid.example", subject="Undelivered Mail"), ["taro@example.jp"], True),
    "mimecast": (dsn("Your message could not be delivered to taro@example.jp", fields("rfc822; taro@example.jp", "5.0.0", "smtp; 550 Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550"), sender="postmaster@mimecast.example"), ["taro@example.jp"], False),
    "proofpoint": (dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.7.1", "smtp; 554 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1")), ["taro@example.jp"], False),
    "barracuda": (dsn("taro@example.jp", fields("rfc822; taro@example.jp", "5.7.1", "smtp; 550 permanent failure for one or more recipients (taro@example.jp:blocked)")), ["taro@example.jp"], False),
    "docomo rcpt": (dsn(POSTFIX + "<taro@docomo.ne.jp>: host mfsmax.docomo.ne.jp[192.0.2.7] said: 550 Unknown user\n    taro@docomo.ne.jp (in reply to RCPT TO command)", fields("rfc822; taro@docomo.ne.jp", "5.0.0", "smtp; 550 Unknown user taro@docomo.ne.jp (in reply to RCPT TO command)")), ["taro@docomo.ne.jp"], True),
    "docomo data": (dsn(POSTFIX + "<taro@docomo.ne.jp>: host mfsmax.docomo.ne.jp[192.0.2.7] said: 550 Unknown user\n    taro@docomo.ne.jp (in reply to end of DATA command)", fields("rfc822; taro@docomo.ne.jp", "5.0.0", "smtp; 550 Unknown user taro@docomo.ne.jp")), ["taro@docomo.ne.jp"], False),
    "docomo dots": (dsn(POSTFIX, fields("rfc822; ta..ro.@docomo.ne.jp", "5.0.0", "smtp; 550 Unknown user ta..ro.@docomo.ne.jp (in reply to RCPT TO command)")), ["ta..ro.@docomo.ne.jp"], True),
    "au": (mail("Mail System Error - Returned Mail\n\nThe following recipients did not receive this message:\n\n   <taro@ezweb.ne.jp>\n\nEach of the following recipients was rejected by a remote mail server.\nThe reasons given by the server are included to help you determine why\neach recipient was rejected.\n\n    Recipient: <taro@ezweb.ne.jp>\n    Reason:    <taro@ezweb.ne.jp>: User unknown\n\n" + original("taro@ezweb.ne.jp"), sender="Postmaster@ezweb.ne.jp", subject="Mail System Error - Returned Mail"), ["taro@ezweb.ne.jp"], True),
    "kddi full": (mail("Your mail sent on: Sun, 22 Nov 2026 10:00:00 +0900\n    Could not be delivered to: <taro@au.com>\n    As their mailbox is full.\n\nPlease try later.\n", sender="no-reply@app.auone-net.jp", subject="Mail Delivery Failure"), ["taro@au.com"], False),
    "softbank": (dsn(POSTFIX, fields("rfc822; taro@softbank.ne.jp", "5.0.0", "smtp; 550 Invalid recipient: <taro@softbank.ne.jp> (in reply to RCPT TO command)")), ["taro@softbank.ne.jp"], True),
    "biglobe": (mail("   ----- The following addresses had delivery problems -----\ntaro@biglobe.example.jp\n\n   ----- Non-delivered information -----\nThe number of messages in recipient's mailbox exceeded the local limit.\n\n   ----- Original message follows -----\n\n" + original("taro@biglobe.example.jp"), sender="postmaster@biglobe.example.jp", subject="Undelivered mail"), ["taro@biglobe.example.jp"], False),
    "japanese iso-2022-jp": (mail("メールを配信できませんでした。\n\n宛先: taro@example.jp\n理由: 宛先のユーザーは存在しません。\n\n----- 元のメール -----\n", charset="iso-2022-jp", encoding="7bit", sender="postmaster@example.jp", subject="=?ISO-2022-JP?B?" + base64.b64encode("配信エラーのお知らせ".encode("iso-2022-jp")).decode() + "?="), ["taro@example.jp"], True),
    "japanese full": (mail("送信したメールは下記の宛先に配送できませんでした。\n\n<taro@example.jp>\nメールボックスの容量を超えているため、受信できません。\n", charset="shift_jis", sender="postmaster@example.jp", subject="=?utf-8?B?" + base64.b64encode("メール配送エラー".encode()).decode() + "?="), ["taro@example.jp"], False),
    "japanese, euc-jp": (mail("このメールは送信できませんでした。\n\n宛先のメールアドレスは見つかりません。\ntaro@example.jp\n", charset="euc-jp", sender="postmaster@example.jp", subject="Returned mail", Content_Type="text/plain; charset=EUC-JP"), ["taro@example.jp"], True),
    "japanese, euc-jp that nobody declares": (mail("このメールは送信できませんでした。\n\n宛先のメールアドレスは見つかりません。\ntaro@example.jp\n", charset="euc-jp", sender="postmaster@example.jp", subject="Returned mail", Content_Type="text/plain"), ["taro@example.jp"], True),
    "japanese, shift_jis that nobody declares": (mail("このメールは送信できませんでした。\n\n宛先のメールアドレスは見つかりません。\ntaro@example.jp\n", charset="shift_jis", sender="postmaster@example.jp", subject="Returned mail", Content_Type="text/plain"), ["taro@example.jp"], True),
    "japanese refused": (mail("以下の宛先への送信ができませんでした。\n\ntaro@example.jp\n　受信者の設定により受信拒否されました。\n", sender="postmaster@example.jp", subject="=?utf-8?B?" + base64.b64encode("送信エラー".encode()).decode() + "?="), ["taro@example.jp"], False),
    "domino": (mail("Your message\n\n  Subject: News of November\n\nwas not delivered to:\n\n  taro@example.jp\n\nbecause:\n\n  User taro (taro@example.jp) not listed in Domino Directory\n", sender="Postmaster@notes.example.jp", subject="DELIVERY FAILURE: User taro (taro@example.jp) not listed in Domino Directory"), ["taro@example.jp"], True),
    "notes": (mail("------- Failure Reasons  --------\n\nUser not listed in public Name & Address Book\ntaro@example.jp\n\n------- Returned Message --------\n\n" + original(), sender="postmaster@example.jp", subject="Delivery Failure"), ["taro@example.jp"], True),
    "groupwise": (mail("The message that you sent was undeliverable to the following:\n\ttaro@example.jp (user not found)\n\nPossibly truncated original message follows:\n\n" + original(), sender="Mailer-Daemon@gw.example.jp", subject="Message status - undeliverable"), ["taro@example.jp"], True),
    "mailmarshal": (mail("Your message:\n   From:    b.1234.abcdefgh@bounce.smp.example\n   Subject: News of November\n\nCould not be delivered because of\n\n550 5.1.1 User unknown\n\nThe following recipients were affected: \n    taro@example.jp\n\nAdditional Information\n======================\nOriginal Sender:    <b.1234.abcdefgh@bounce.smp.example>\n", sender="MailMarshal <postmaster@example.jp>", subject="Undeliverable Mail: News of November"), ["taro@example.jp"], True),
    "sun messaging server": (dsn("This report relates to a message you sent with the following header fields:\n\n  Message-id: <1234.abcdefgh@smp.example>\n  From: SMP <info@smp.example>\n  To: taro@example.jp\n\nYour message cannot be delivered to the following recipients:\n\n  Recipient address: taro@example.jp\n  Reason: Remote SMTP server has rejected address\n  Diagnostic code: smtp;550 5.1.1 User unknown\n", fields("rfc822;taro@example.jp", "5.1.1", "smtp;550 5.1.1 User unknown")), ["taro@example.jp"], True),
    "james": (mail("Hi. This is the James mail server at mx.example.jp.\nI'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.  Below\nI include the list of recipients and the reason why I was unable to deliver\nyour message.\n\nFailed recipient(s):\ntaro@example.jp\n\nError message:\n550 5.1.1 user unknown\n\nThe original message is attached.\n", subject="Re: News of November", sender="postmaster@mx.example.jp"), ["taro@example.jp"], True),
    "gmx": (mail("This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of\nits recipients. The following addresses failed:\n\n<taro@gmx.example>\n\nSMTP error from remote server after RCPT command:\nhost: mx.gmx.example\n5.1.1 <taro@gmx.example>... User Unknown\n\n--- The header of the original message is following. ---\n\n" + original("taro@gmx.example"), subject="Mail delivery failed: returning message to sender"), ["taro@gmx.example"], True),
    "trend micro": (mail("Sent <<< RCPT TO:<taro@example.jp>\nReceived >>> 550 5.1.1 unknown user\n\nUnable to deliver message to <taro@example.jp>\n", sender="InterScan MSS <postmaster@example.jp>", subject="Mail could not be delivered"), ["taro@example.jp"], True),
    "surfcontrol": (mail("Your message could not be sent.\nA transcript of the attempts to send the message follows.\nThe number of attempts made: 1\nAddressed To: taro@example.jp\n\nSun 22 Nov 2026 10:00:00 +0900\nFailed to send to identified host,\ntaro@example.jp: [192.0.2.5], 550 taro@example.jp... No such user\n--- Message non-deliverable.\n", sender="Mail Delivery System <postmaster@example.jp>", subject="Message could not be delivered"), ["taro@example.jp"], True),
    "zoho": (mail("This message was created automatically by mail delivery software.\n A message that you sent could not be delivered to one or more of its recipients. This is a permanent error. \n\ntaro@example.jp Invalid Address, ERROR_CODE :550, ERROR_CODE :5.1.1 <taro@example.jp>... User Unknown\n", sender="mailer-daemon@mail.zoho.example", subject="Undelivered Mail Returned to Sender"), ["taro@example.jp"], True),
    "x6": (mail("We had trouble delivering your message. Full details follow:\n\nSubject: 'News of November'\nDate: 'Sun, 22 Nov 2026 10:00:00 +0900'\n\n1 error(s):\n\nSMTP Server <mx.example.jp> rejected recipient <taro@example.jp> \n  (Error following RCPT command). It responded as follows: [550 5.1.1 User unknown]\n", sender="postmaster@mx.example.jp", subject="There was an error sending your mail"), ["taro@example.jp"], True),
    "no status part, returned headers": (dsn("Your mail could not be delivered.", "", returned=original()), ["taro@example.jp"], None),
    "html only": (dsn("<html><body><p>Your message to <a href=\"mailto:taro@example.jp\">taro@example.jp</a> couldn't be delivered.</p><p>taro wasn't found at example.jp.</p></body></html>", fields("rfc822;taro@example.jp", "5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound"), html=True, subject="Undeliverable: News"), ["taro@example.jp"], True),
    "dovecot": (mail("Your message to <taro@example.jp> was automatically rejected:\nQuota exceeded (mailbox for user is full)\n", sender="Mail Delivery Subsystem <postmaster@example.jp>", subject="Automatically rejected mail"), ["taro@example.jp"], False),
    "too large": (dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.3.4", "smtp; 552 5.3.4 Message size exceeds fixed limit")), ["taro@example.jp"], False),
    "dmarc": (dsn(POSTFIX, fields("rfc822; taro@gmail.com", "5.7.26", "smtp; 550-5.7.26 Unauthenticated email from smp.example is not accepted due to domain's DMARC policy.")), ["taro@gmail.com"], False),
    "subject quotes an absence": (dsn(POSTFIX + "<taro@example.jp>: User unknown", fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 User unknown"), subject="Undeliverable: 休業日と自動返信のお知らせ"), ["taro@example.jp"], True),
    "subject quotes an absence, words only": (mail(EXIM + "  taro@example.jp\n    No such user\n" + COPY + original(), subject="Undeliverable: Vacation notice: out of office in August"), ["taro@example.jp"], True),
    "japanese without a space": (mail("宛先taro@example.jpは存在しないため、配信できませんでした。\n", sender="postmaster@example.jp", subject="=?utf-8?B?" + base64.b64encode("配信エラー".encode()).decode() + "?="), ["taro@example.jp"], True),
    "japanese brackets": (mail("お送りいただいたメールは、以下の理由により配信できませんでした。\n\n【宛先】taro@example.jp\n【理由】該当するユーザーが存在しません\n", sender="postmaster@example.jp", subject="=?utf-8?B?" + base64.b64encode("メールが配信できませんでした".encode()).decode() + "?="), ["taro@example.jp"], True),
    "apostrophe": (mail(QMAIL + "<o'brien@example.jp>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n", subject="failure notice"), ["o'brien@example.jp"], True),
    "quoted local part": (dsn(POSTFIX, fields('rfc822; "ta..ro"@example.jp', "5.1.1")), ['"ta..ro"@example.jp'], True),
    "passed on by a list server": (
        b"From: mailman@lists.example\nSubject: Uncaught bounce notification\nMIME-Version: 1.0\n"
        b'Content-Type: multipart/mixed; boundary="=_m"\n\n--=_m\nContent-Type: text/plain\n\nThe attached message was received as a bounce.\n'
        b"--=_m\nContent-Type: message/rfc822\n\n" + dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.1.1")) + b"--=_m--\n",
        ["taro@example.jp"], True),
    "mobile: nobody named but in the copy": (mail("Your message could not be delivered: user unknown.\n\n--- Original message follows ---\n\n" + original()), ["taro@example.jp"], True),
    "exim alias in words": (dsn(EXIM + "  hanako@example.net\n    (generated from taro@example.jp)\n    Unrouteable address", fields("rfc822;hanako@example.net", "5.0.0")), ["taro@example.jp"], True),
    "docomo data, told by sendmail": (dsn("   ----- Transcript of session follows -----\n... while talking to mfsmax.docomo.ne.jp.:\n>>> DATA\n<<< 550 Unknown user taro@docomo.ne.jp\n554 5.0.0 Service unavailable\n", fields("rfc822; taro@docomo.ne.jp", "5.2.0", "smtp; 550 Unknown user taro@docomo.ne.jp")), ["taro@docomo.ne.jp"], False),
    "docomo rcpt, pipelined, told by sendmail": (dsn("   ----- Transcript of session follows -----\n... while talking to mfsmax.docomo.ne.jp.:\n>>> DATA\n<<< 550 Unknown user taro@docomo.ne.jp\n550 5.1.1 <taro@docomo.ne.jp>... User unknown\n<<< 503 5.5.1 No valid recipients\n", fields("rfc822; taro@docomo.ne.jp", "5.1.1", "smtp; 550 Unknown user taro@docomo.ne.jp")), ["taro@docomo.ne.jp"], True),
    "docomo rcpt, told by sendmail": (dsn("   ----- Transcript of session follows -----\n... while talking to mfsmax.docomo.ne.jp.:\n>>> RCPT To:<taro@docomo.ne.jp>\n<<< 550 Unknown user taro@docomo.ne.jp\n550 5.1.1 <taro@docomo.ne.jp>... User unknown\n>>> DATA\n<<< 503 Bad sequence of commands\n", fields("rfc822; taro@docomo.ne.jp", "5.1.1", "smtp; 550 Unknown user taro@docomo.ne.jp")), ["taro@docomo.ne.jp"], True),
    "sendmail's local mailer": (dsn("   ----- The following addresses had permanent fatal errors -----\n<taro@example.jp>\n\n   ----- Transcript of session follows -----\nmail.local: unknown user: taro\n554 <taro@example.jp>... Service unavailable\n", fields("rfc822; taro@example.jp", "5.5.0")), ["taro@example.jp"], True),
    "exim alias in words and a header": (mail(EXIM + "  hanako@example.net\n    (ultimately generated from taro@example.jp)\n    all hosts have been failing for a long time\n" + COPY + original(), subject="Mail delivery failed", X_Failed_Recipients="hanako@example.net"), ["taro@example.jp"], False),
    "a telephone's post_master answering": (mail("Error: Invalid user address\n\nError message below:\n550 - Requested action not taken: no such user here\n\nMessage details:\n  Subject: News of November\n  MAIL FROM: " + US + "\n  RCPT TO: 0900000@vtext.example\n  Size (in bytes): 39\n", sender="post_master@vtext.example", subject="Re:News of November"), ["0900000@vtext.example"], True),
    "a reason that names other addresses": (mail("A message that you sent contained one or more recipient addresses that were\nincorrectly constructed:\n\n  taro@example.jp <hanako@example.net>: malformed address: <hanako@example.net> may not follow taro@example.jp\n\nThis address has been ignored.\n", subject="Mail failure - malformed recipient address"), ["taro@example.jp"], False),
    "outlook, no dns": (dsn("Delivery to the following recipients failed.\n\n       taro@example.jp\n", fields("rfc822;taro@example.jp", "5.5.0", "smtp;554 The mail could not be delivered to the recipient because the domain is not reachable. Please check the domain and try again (-1:308:-2)")), ["taro@example.jp"], True),
    "no boundary": (dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 User unknown"), Content_Type="multipart/report; report-type=delivery-status"), ["taro@example.jp"], True),
    "wrong boundary": (dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 5.1.1 User unknown"), Content_Type='multipart/report; boundary="other"'), ["taro@example.jp"], True),
}  # fmt: skip

DELAYED = {
    "postfix delay": dsn("This is the mail system at host mx.example.jp.\n\n# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n\nYour message could not be delivered for more than 4 hour(s).\nIt will be retried until it is 5 day(s) old.\n\n<taro@example.jp>: connect to mx.example.jp: Connection timed out", fields("rfc822; taro@example.jp", "4.4.1", "X-Postfix; Connection timed out", action="delayed", more="Will-Retry-Until: Fri, 27 Nov 2026 10:00:00 +0900\n"), subject="Delayed Mail (still being retried)"),
    "sendmail warning": mail("    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n    **********************************************\n\n   ----- The following addresses had transient non-fatal errors -----\n<taro@example.jp>\n\n   ----- Transcript of session follows -----\n<taro@example.jp>... Deferred: Connection timed out with mx.example.jp.\nWarning: message still undelivered after 4 hours\nWill keep trying until message is 5 days old\n", subject="Warning: could not send message for past 4 hours"),
    "exim warning": mail("This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours on the queue on mx.example.jp.\n\nThe address to which the message has not yet been delivered is:\n\n  taro@example.jp\n    Delay reason: Connection refused\n\nNo action is required on your part. Delivery attempts will continue for\nsome time, and this warning may be repeated at intervals if the message\nremains undelivered.\n", subject="Warning: message 1abc delayed 24 hours"),
    "exchange delay": dsn("Delivery to these recipients or groups has been delayed", fields("rfc822;taro@example.jp", "4.4.7", action="delayed"), subject="Delivery delayed: News of November"),
    "gmail delay": dsn("This is an automatically generated Delivery Status Notification\nTHIS IS A WARNING MESSAGE ONLY.", fields("rfc822; taro@example.jp", "4.4.1", action="delayed"), subject="Delivery Status Notification (Delay)"),
}  # fmt: skip

_PERSON = {"sender": "Taro <taro@example.jp>", "Return_Path": "<taro@example.jp>"}


def _person(text, subject, **headers):
    return mail(text, subject=subject, **{**_PERSON, **headers})


def _b(text):
    return "=?utf-8?B?" + base64.b64encode(text.encode()).decode() + "?="


# kind, mail
NO_BOUNCES = {
    "exchange oof": ("auto_reply", _person("I am out of the office until Monday. In urgent cases write to hanako@example.jp.", "Automatic reply: News of November", Auto_Submitted="auto-generated", X_Auto_Response_Suppress="All")),
    "outlook 2003 oof": ("auto_reply", _person("I will be away.", "Out of Office AutoReply: News of November")),
    "rfc 3834": ("auto_reply", _person("I am reading mail once a week. User unknown to you: hanako@example.jp.", "Re: News of November", Auto_Submitted="auto-replied")),
    "vacation(1)": ("auto_reply", _person("I'm on vacation.", "away from my mail", Precedence="junk", Auto_Submitted="auto-replied")),
    "sieve vacation with null sender": ("auto_reply", _person("Abwesend.", "Auto: News of November", Auto_Submitted="auto-replied (vacation)", Return_Path="<>")),
    "gmail vacation": ("auto_reply", _person("Thanks, I am travelling.", "Re: News of November", X_Autoreply="yes", Precedence="bulk")),
    "precedence auto_reply": ("auto_reply", _person("Gracias por contactar.", "Auto reply", Precedence="auto_reply")),
    "japanese automatic": ("auto_reply", _person("お問い合わせありがとうございます。3営業日以内に返信いたします。taro@example.jp", _b("【自動返信】お問い合わせを受け付けました"))),
    "japanese absent": ("auto_reply", _person("出張のため不在にしております。急ぎの場合は hanako@example.jp へお願いします。", _b("不在通知"))),
    "japanese holidays": ("auto_reply", _person("休業期間中に頂いたメールは届いております。", _b("夏季休業のお知らせ"))),
    "japanese left": ("auto_reply", _person("退職いたしました。後任は hanako@example.jp です。", _b("退職のご挨拶（自動返信）"))),
    "japanese iso-2022-jp": ("auto_reply", _person("不在です。", "=?ISO-2022-JP?B?" + base64.b64encode("自動応答メール".encode("iso-2022-jp")).decode() + "?=", charset="iso-2022-jp", encoding="7bit")),
    "german": ("auto_reply", _person("Ich bin nicht im Büro. Vertretung: hanako@example.jp", "Abwesenheitsnotiz: News of November")),
    "german automatic": ("auto_reply", _person("Ich bin nicht da.", "Automatische Antwort: News of November")),
    "french": ("auto_reply", _person("Je suis absent.", "Réponse automatique : News of November")),
    "spanish": ("auto_reply", _person("Estoy fuera.", "Respuesta automática: News of November")),
    "italian": ("auto_reply", _person("Sono assente.", "Risposta automatica: News of November")),
    "chinese": ("auto_reply", _person("我不在办公室", _b("自动回复: News"))),
    "no longer with the company": ("auto_reply", _person("Taro is no longer with the company. Please write to hanako@example.jp. This address does not exist any more.", "Automatic reply: News of November", Auto_Submitted="auto-replied")),
    "ticket system": ("auto_reply", _person("Your request has been received. Ticket 4711.", "[Ticket#4711] Your request has been received", Auto_Submitted="auto-replied")),
    "thank you": ("auto_reply", _person("We will answer soon.", "Thank you for contacting us")),
    "autoresponder header": ("auto_reply", _person("Hello.", "Re: News", X_Autorespond="News")),
    "inbox rule": ("auto_reply", _person("Moved to hanako@example.jp", "Re: News", X_MS_Exchange_Inbox_Rules_Loop="taro@example.jp")),
    "absent from postmaster": ("auto_reply", mail("I am away.", sender="postmaster@example.jp", subject="Out of office: News", Return_Path="<postmaster@example.jp>")),
    "person answers": ("other", _person("Thanks for the news!\n\n> News of November\n> from info@smp.example", "Re: News of November")),
    "person asks about a bounce": ("other", _person("Hello, please remove me. Yours, taro@example.jp", "Please remove my address")),
    "newsletter": ("other", mail("Buy now at shop@example.jp", sender="Shop <shop@example.jp>", subject="Sale", Return_Path="<b@shop.example>")),
    "challenge": ("other", _person("To have your message delivered, click here. taro@example.jp", "Please confirm your message to taro@example.jp")),
    "challenge in the form of a report": ("other", dsn("I received your message. First confirm that you are one.", fields("rfc822; taro@example.jp", "4.7.0", "X-Notice; Sender not pre-approved. Follow the instructions in the above notice"), sender="noreply@guests.example", subject="Re: News of November")),
    "challenge boxbe": ("other", _person("You are on the guest list.", "Re: News (Boxbe waiting list: sender verification)", Auto_Submitted="auto-generated")),
    "moderation": ("other", mail("Your mail to 'list@example.jp' is being held until the list moderator can review it.", sender="list-bounces@example.jp", subject="Your message to list awaits moderator approval", Return_Path="<list-bounces@example.jp>")),
    "subscription": ("other", mail("Reply to confirm taro@example.jp", sender="list-request@example.jp", subject="confirm 1234abcd", Return_Path="<list-bounces@example.jp>")),
    "virus warning": ("other", mail("Our virus scanner found a virus in your mail to taro@example.jp.", sender="amavisd <postmaster@example.jp>", subject="VIRUS (Eicar-Test) in mail FROM you")),
    "quarantine digest": ("other", mail("3 mails for taro@example.jp", sender="postmaster@example.jp", subject="Quarantine daily digest")),
    "mdn": ("receipt", dsn("The message was displayed.", "Reporting-UA: mail.example.jp\nFinal-Recipient: rfc822;taro@example.jp\nOriginal-Message-ID: <1@smp.example>\nDisposition: manual-action/MDN-sent-manually; displayed", mime="message/disposition-notification", sender="Taro <taro@example.jp>", subject="Read: News of November")),
    "mdn deleted": ("receipt", dsn("Your message was deleted without being read.", "Final-Recipient: rfc822;taro@example.jp\nDisposition: automatic-action/MDN-sent-automatically; deleted", mime="message/disposition-notification", sender="Taro <taro@example.jp>", subject="Not read: News of November")),
    "outlook read text": ("other", _person("Your message was read on Sunday.", "Read: News of November")),
    "japanese receipt": ("other", _person("開封されました。", _b("開封済み: News"))),
    "success": ("report", dsn("Your message was successfully delivered to the destination(s) listed below.", fields("rfc822; taro@example.jp", "2.0.0", "smtp; 250 2.0.0 OK", action="delivered"), subject="Successful Mail Delivery Report")),
    "relayed": ("report", dsn("Your message was relayed.", fields("rfc822; taro@example.jp", "2.0.0", action="relayed"), subject="Relayed: News")),
    "expanded": ("report", dsn("Delivery to the following distribution list succeeded.", fields("rfc822; list@example.jp", "2.0.0", action="expanded"), subject="Expanded: News")),
    "arf abuse": ("complaint", feedback("Feedback-Type: abuse\nUser-Agent: SomeGenerator/1.0\nVersion: 1\nOriginal-Mail-From: <b.1234.abcdefgh@bounce.smp.example>\nOriginal-Rcpt-To: <taro@example.jp>\nSource-IP: 192.0.2.1")),
    "arf redacted": ("complaint", feedback("Feedback-Type: abuse\nUser-Agent: Provider-FBL/2.0\nVersion: 1", returned=original("redacted@redacted"))),
    "jmrp": ("complaint", (
        "From: staff@hotmail.com\nSubject: complaint about message from 192.0.2.1\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="=_j"\n\n--=_j\nContent-Type: message/rfc822\n\n'
        + original(**{"X-HmXmrOriginalRecipient": "taro@hotmail.co.jp"}) + "\n--=_j--\n").encode()),
    "list moderator": ("other", mail("Your request to the List mailing list\n\n    Posting of your message titled \"News\"\n\nhas been rejected by the list moderator.\n\nAny questions or comments should be directed to the list administrator at:\n\n    list-owner@example.jp", sender="list-bounces@example.jp", subject='Request to mailing list "List" rejected', Return_Path="<list-bounces@example.jp>")),
    "postmaster's own news": ("other", mail("On Sunday the servers get new disks. Questions to taro@example.jp or to\nhanako@example.jp", sender="postmaster@example.jp", subject="Maintenance")),
    "almost full": ("other", mail("Your mailbox is almost full (95%). taro@example.jp", sender="postmaster@example.jp", subject="Your mailbox is almost full")),
    "a shop's words": ("other", _person("Undeliverable parcels: contact support@shop.example", "Your order")),
    "left, in a person's words": ("other", _person("Your email could not be delivered to Taro because he left. Write to hanako@example.jp instead.", "Re: News of November")),
    "send only": ("other", _person("このメールアドレスは送信専用です。taro@example.jp", _b("【送信専用】News"))),
    "a question about a report": ("other", _person("> This is the mail system at host mx\n> <taro@example.jp>: user unknown\nWhat shall I do?", "Re: Undelivered Mail Returned to Sender")),
    "absent daemon": ("auto_reply", mail("I am out until Monday", sender="MAILER-DAEMON@example.jp", subject="Out of Office AutoReply: News")),
    "suspect mail": ("other", _person("I apologize for this automatic reply to your email. To control spam, I now allow incoming messages only from senders I have approved beforehand. taro@example.jp", "Re: News of November")),
    "arf fraud": ("complaint", feedback("Feedback-Type: fraud\nUser-Agent: X\nVersion: 1")),
    "arf not spam": ("other", feedback("Feedback-Type: not-spam\nUser-Agent: X\nVersion: 1")),
    "arf auth failure": ("other", feedback("Feedback-Type: auth-failure\nUser-Agent: X\nVersion: 1\nAuth-Failure: dmarc")),
    "empty": ("other", b""),
    "headers only": ("other", b"Subject: hello\n\n"),
}  # fmt: skip

"""ERR-5, FLAG-2: why a mail failed, told from the answers that servers really give."""

import tomllib
from pathlib import Path

import pytest
from django.conf import settings

from mail.bounces.cause import cause_of, counts_against_lead, is_hard
from mail.models.delivery import Cause
from mail.smtp.replies import SWITCH_OFF_AT_ONCE, enhanced_status

REPLIES = Path(settings.BASE_DIR).parent / "shared/data/smtp_replies/responses.toml"

# cause: replies at RCPT or after DATA, as different servers word them
WORDINGS = {
    Cause.NO_MAILBOX: [
        (550, "5.1.1 <a@example.jp>: Recipient address rejected: User unknown in local recipient table"),
        (550, "5.1.1 <a@example.jp>: Recipient address rejected: User unknown in virtual mailbox table"),
        (550, "5.1.1 <a@example.jp>... User unknown"),
        (550, "<a@example.jp>: User unknown"),
        (550, "Unknown user a@docomo.ne.jp"),
        (550, "Invalid recipient: <a@softbank.ne.jp>"),
        (550, "5.1.1 The email account that you tried to reach does not exist."),
        (550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302)."),
        (
            550,
            "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient a@example.jp not found by SMTP address lookup",
        ),
        (
            550,
            "5.4.1 Recipient address rejected: Access denied. AS(201806281) [AM7EUR03FT040.eop-EUR03.prod]",
        ),
        (550, "5.1.1 <a@icloud.com>: user does not exist"),
        (550, "sorry, no mailbox here by that name. (#5.1.1)"),
        (550, "5.1.1 sorry, no mailbox here by that name (#5.1.1 - chkuser)"),
        (550, "No Such User Here"),
        (550, "No such recipient here"),
        (550, "unrouteable address"),
        (550, "5.1.1 Mailbox does not exist"),
        (550, "Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550"),
        (550, "5.1.1 User Unknown (recipient verify from previous session)"),
        (550, "#5.1.0 Address rejected."),
        (550, "5.7.1 <a@example.jp>: Recipient address rejected: User unknown in relay recipient table"),
        (554, "delivery error: dd This user doesn't have a yahoo.co.jp account (a@yahoo.co.jp) [0] - mta"),
        (553, "5.3.0 <a@example.jp>... No such user here"),
        (553, "sorry, that domain isn't in my list, no such user"),
        (501, "5.1.3 Bad recipient address syntax"),
        (550, "ユーザーが見つかりません"),
        (550, "宛先のアドレスが存在しません"),
        (550, "5.1.1 unknown or illegal alias: a@example.jp"),
        (550, "5.1.1 a@example.jp is not a valid mailbox"),
        (550, "Recipient unknown"),
    ],
    Cause.NO_HOST: [
        (550, "5.1.2 <a@example.invalid>... Host unknown (Name server: example.invalid: host not found)"),
        (
            0,
            "Host or domain name not found. Name service error for name=example.invalid type=A: Host not found",
        ),
        (0, "5.4.310 DNS domain example.invalid does not exist [Message=InfoDomainNonexistent]"),
        (550, "5.4.4 Invalid domain name"),
        (0, "all relevant MX records point to non-existent hosts"),
        (0, "Sorry, I couldn't find any host named example.invalid. (#5.1.2)"),
    ],
    Cause.MOVED: [
        (551, "User not local; please try <b@example.jp>"),
        (550, "5.1.6 Recipient no longer on server; mailbox has moved, no forwarding address"),
    ],
    Cause.NOT_ACCEPTED: [
        (556, "5.1.10 Recipient address has null MX"),
        (521, "5.3.2 This host does not accept mail"),
        (0, "Domain example.jp does not accept mail (nullMX)"),
        (0, "an MX or SRV record indicated no SMTP service"),
    ],
    Cause.FULL: [
        (552, "5.2.2 The email account that you tried to reach is over quota."),
        (452, "4.2.2 The email account that you tried to reach is over quota."),
        (552, "5.2.2 <a@example.jp>... Mailbox Full"),
        (550, "Mailbox is full / Blocks limit exceeded / Inode limit exceeded"),
        (
            554,
            "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
        ),
        (550, "5.7.1 Recipient over quota"),
        (552, "1 Requested mail action aborted: exceeded storage allocation"),
        (550, "User's disk quota exceeded"),
        (552, "5.1.1 Mailbox delivery failure policy error, over quota"),
        (422, "4.2.2 mailbox full"),
        (550, "メールボックスがいっぱいです"),
        (552, ""),
    ],
    Cause.SIZE: [
        (552, "5.3.4 Message size exceeds fixed limit"),
        (552, "5.3.4 Error: message file too big"),
        (554, "5.2.3 Message too large"),
        (552, "Message size exceeds maximum permitted"),
        (550, "5.3.4 ROUTING.SizeLimit; message size exceeds fixed maximum size for route"),
        (552, "too much mail data"),
        (550, "メールのサイズが大きすぎます"),
    ],
    Cause.OURS: [
        (
            553,
            "5.7.1 you are trying to use me [mx.example.jp] as a relay, but I have not been configured to let you do this",
        ),
        (550, "5.7.26 Unauthenticated email from example.jp is not accepted due to domain's DMARC policy."),
        (
            550,
            "5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to "
            "authenticate with either SPF or DKIM.",
        ),
        (550, "5.7.25 The IP address sending this message does not have a PTR record setup"),
        (
            421,
            "4.7.27 Your email has been rate limited because SPF authentication didn't pass for this message.",
        ),
        (
            550,
            "5.7.515 Access denied, sending domain EXAMPLE.JP does not meet the required authentication level.",
        ),
        (
            550,
            "5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service "
            "provider since part of their network is on our block list (S3140).",
        ),
        (
            451,
            "4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
        ),
        (550, "5.7.606 Access denied, banned sending IP [192.0.2.1]"),
        (
            553,
            "5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
        ),
        (
            421,
            "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        ),
        (554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"),
        (550, "5.7.1 <mx.example.jp>: Helo command rejected: Host not found"),
        (450, "4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]"),
        (450, "4.1.8 <b@smp.invalid>: Sender address rejected: Domain not found"),
        (550, "5.1.8 <b@smp.invalid>: Sender address rejected: Domain not found"),
        (550, "Sender verify failed"),
        (554, "5.7.1 <a@example.jp>: Relay access denied"),
        (550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
        (530, "5.7.0 Must issue a STARTTLS command first"),
        (530, "5.7.57 Client not authenticated to send mail."),
        (550, "SPF check failed"),
        (550, "Too many invalid recipients"),
        (
            550,
            "permanent failure for one or more recipients (a@example.jp:blocked): your IP has a poor reputation",
        ),
        (421, "Too many concurrent SMTP connections from this IP address"),
        (550, "5.7.1 Messages missing a valid address in From: header"),
        (503, "5.5.1 Bad sequence of commands"),
        (550, "5.7.1 Mail from 192.0.2.1 refused: listed at bl.spamcop.net"),
        (550, "Email rejected per SPF policy"),
        (554, "IMTA6012: Spamhaus Blocklist"),
        (554, "imsva says: your server has a bad reputation"),
    ],
    Cause.REFUSED: [
        (550, "5.7.1 Our system has detected that this message is likely unsolicited mail."),
        (554, "5.7.1 The message was rejected as spam"),
        (
            550,
            "Administrative prohibition - envelope blocked - https://community.mimecast.com/docs/DOC-1369#550",
        ),
        (554, "5.7.9 Message not accepted for policy reasons."),
        (550, "5.2.0 Message filtered"),
        (550, "5.7.1 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to recipient"),
        (554, "5.6.0 Message contains a virus"),
        (550, "permanent failure for one or more recipients (a@example.jp:blocked)"),
        (550, "受信拒否されました"),
        (554, "5.7.1 <a@example.jp>: Recipient address rejected: Access denied"),
        (554, "rejected due to content restrictions"),
    ],
    Cause.TEMPORARY: [
        (450, "4.2.0 <a@example.jp>: Recipient address rejected: Greylisted, see http://postgrey.example"),
        (451, "4.7.1 Greylisting in action, please come back later"),
        (421, "4.3.2 Service not available, closing transmission channel"),
        (450, "4.1.1 <a@example.jp>: Recipient address rejected: unverified address: host unreachable"),
        (451, ""),
        (452, "4.3.1 Insufficient system resources (UsedDiskSpace)"),
        (0, "connect to mx.example.jp[192.0.2.5]:25: Connection timed out"),
        (0, "connect to mx.example.jp[192.0.2.5]:25: Connection refused"),
        (550, "5.4.7 Delivery expired (message too old) 'timeout'"),
        (0, "retry timeout exceeded"),
        (0, "Name service error for name=example.jp type=MX: Host not found, try again"),
        (554, "5.4.6 Hop count exceeded - possible mail loop"),
        (0, "mail for example.jp loops back to myself"),
        (550, "5.2.1 The user you are trying to contact is receiving mail at a rate that prevents"),
        (554, "5.3.0 Internal server error"),
    ],
    Cause.OTHER: [
        (550, "5.2.1 The email account that you tried to reach is disabled."),
        (554, "This mailbox is disabled (554.30)."),
        (550, "Account inactive"),
        (550, "5.2.1 Mailbox suspended"),
        (554, "Transaction failed"),
        (550, ""),
    ],
}


@pytest.mark.parametrize(
    ("cause", "code", "text"), [(cause, *reply) for cause, replies in WORDINGS.items() for reply in replies]
)
def test_the_words_of_a_server_tell_the_cause(cause, code, text):
    for stage in ("rcpt", "report"):
        assert cause_of(code, enhanced_status(code, text), text, stage=stage) == cause


def test_only_four_causes_are_hard():
    assert {cause for cause in Cause if is_hard(cause)} == {
        Cause.NO_MAILBOX,
        Cause.NO_HOST,
        Cause.MOVED,
        Cause.NOT_ACCEPTED,
    }


def test_our_own_fault_and_a_mails_size_never_count_against_the_lead():
    assert {cause for cause in Cause if not counts_against_lead(cause)} == {Cause.OURS, Cause.SIZE}


def test_the_status_decides_where_the_words_say_nothing():
    said = {
        "5.1.1": Cause.NO_MAILBOX,
        "5.1.2": Cause.NO_HOST,
        "5.1.6": Cause.MOVED,
        "5.1.7": Cause.OURS,
        "5.1.8": Cause.OURS,
        "5.1.10": Cause.NOT_ACCEPTED,
        "5.2.1": Cause.OTHER,
        "5.2.2": Cause.FULL,
        "5.3.4": Cause.SIZE,
        "5.4.4": Cause.NO_HOST,
        "5.4.7": Cause.TEMPORARY,
        "5.7.1": Cause.REFUSED,
        "5.7.25": Cause.OURS,
        "5.7.26": Cause.OURS,
        "5.7.515": Cause.OURS,
        "5.7.606": Cause.OURS,
        "5.0.0": Cause.OTHER,
        "4.2.2": Cause.FULL,
        "4.4.1": Cause.TEMPORARY,
    }
    assert {
        status: cause_of(int(status[0]) * 100 + 50, status, "a7b8c9", stage="rcpt") for status in said
    } == said


def test_the_codes_that_switch_a_lead_off_at_once_keep_their_meaning():
    """FLAG-2."""
    for code in SWITCH_OFF_AT_ONCE:
        assert is_hard(cause_of(code - 42000, "", "", stage="rcpt"))


def test_a_reply_that_may_pass_is_never_hard():
    for words in [text for cause in WORDINGS for _code, text in WORDINGS[cause]]:
        assert not is_hard(cause_of(450, "", words, stage="rcpt"))


@pytest.mark.parametrize("text", ["550 Unknown user a@docomo.ne.jp", "550 <a@ezweb.ne.jp>: User unknown"])
def test_a_carriers_unknown_user_after_the_data_is_the_users_filter(text):
    assert cause_of(550, "", text, stage="rcpt") == Cause.NO_MAILBOX
    assert cause_of(550, "", text, stage="data") == Cause.REFUSED
    told_later = f"host mfsmax.docomo.ne.jp[192.0.2.7] said: {text} (in reply to end of DATA command)"
    assert cause_of(0, "", told_later, stage="report") == Cause.REFUSED
    told_at_rcpt = f"host mfsmax.docomo.ne.jp[192.0.2.7] said: {text} (in reply to RCPT TO command)"
    assert cause_of(0, "", told_at_rcpt, stage="report") == Cause.NO_MAILBOX


def test_the_same_words_of_others_after_the_data_mean_what_they_say():
    text = "delivery error: dd This user doesn't have a yahoo.com account"
    assert cause_of(554, "", text, stage="data") == Cause.NO_MAILBOX


def test_before_a_recipient_is_named_nothing_is_said_about_one():
    for stage in ("connect", "mail"):
        assert cause_of(550, "5.1.1", "User unknown", stage=stage) == Cause.OURS
        assert cause_of(554, "5.7.1", "Access denied", stage=stage) == Cause.OURS
        assert cause_of(421, "4.3.2", "Too busy", stage=stage) == Cause.TEMPORARY
    assert cause_of(521, "", "example.jp does not accept mail", stage="connect") == Cause.NOT_ACCEPTED
    assert cause_of(552, "5.3.4", "Message size exceeds fixed limit", stage="mail") == Cause.SIZE
    assert cause_of(0, "", "Connection reset by peer", stage="connect") == Cause.TEMPORARY


def test_an_address_is_no_word():
    assert cause_of(550, "", "spam.policy@example.jp: no such user", stage="rcpt") == Cause.NO_MAILBOX
    assert (
        cause_of(550, "5.7.1", "user-unknown@example.jp refused by content filter", stage="rcpt")
        == Cause.REFUSED
    )


def test_megabytes_of_words_take_no_time_to_speak_of():
    for word in ("user ", "mailbox is ", "sender address ", "(", "a@", "exceeded the ", "メール"):
        assert cause_of(550, "", word * 200_000, stage="rcpt") in Cause


# ---- replies that large providers really give, by what they are about

_OUR_CONFIGURATION = (
    "missing a valid address in From",
    "DMARC policy",
    "relaying denied",
    "not RFC compliant",
)
_OUR_REPUTATION = (
    "low reputation",
    "unusual rate",
    "unusual amount",
    "unexpected volume",
    "TSS04",
    "TS03",
    "IPTS04",
    "untrusted IP",
    "Max message per connection",
    "[BL2",
    "Message from 100.100.100.100 temporarily deferred",
)
_ADDRESS = (
    "NOT FOUND",
    "mailbox not found",
    "gotten this email",
    "does not exist",
    "not a valid RFC-5321",
    "mailbox unavailable",
    "doesn't have a",
    "no longer valid",
    "has moved",
    "Domain Lookup Failed",
)
_MAILBOX = ("over quota", "disabled", "receiving mail", "restricted by policy")
_CONTENT = (
    "unsolicited mail. To reduce",
    "content and/or the links",
    "illegal attachment",
    "policy reasons",
    "Message not allowed - [299]",
    "size limits",
)


def _about(text):
    for about, parts in (
        ("our configuration", _OUR_CONFIGURATION),
        ("our reputation", _OUR_REPUTATION),
        ("address", _ADDRESS),
        ("mailbox", _MAILBOX),
        ("content", _CONTENT),
    ):
        if any(part.lower() in text.lower() for part in parts):
            return about
    return "other"


EXPECTED = {
    "our configuration": {Cause.OURS},
    "our reputation": {Cause.OURS},
    "address": {Cause.NO_MAILBOX, Cause.NO_HOST, Cause.MOVED},
    "mailbox": {Cause.FULL, Cause.OTHER, Cause.TEMPORARY},
    "content": {Cause.REFUSED, Cause.SIZE},
}


@pytest.mark.skipif(not REPLIES.exists(), reason="shared/data/smtp_replies is not beside this repository")
def test_every_reply_of_the_collection_is_classified_sensibly():
    told = tomllib.loads(REPLIES.read_text())
    odd = []
    for kind in ("bounce", "defer"):
        for reply in (reply for replies in told[kind].values() for reply in replies):
            code, text = reply["code"], reply["msg"]
            cause = cause_of(code, enhanced_status(code, text), text, stage="rcpt")
            about = _about(text)
            # the collection lists one permanent answer ("has moved") among the deferrals; its code counts
            expected = EXPECTED.get(about) or ({Cause.TEMPORARY} if code < 500 else {Cause.OTHER})
            if cause not in expected:
                odd.append(f"{code} {text[:80]!r} is about {about}, was {cause}")
            assert not (code < 500 and is_hard(cause))
    assert odd == []

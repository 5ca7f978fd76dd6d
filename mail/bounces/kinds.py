"""What a returned mail is, as far as its headers and first words say: a report of a failure, a delay, an auto-reply, …"""

import re

from mail.bounces.mime import Part

_DAEMON = re.compile(
    r"mailer[-_. ]?daemon|post[-_]?mast|mail[- ]?(?:delivery|system|administrator|marshal|sweeper)|mdaemon|delivery (?:sub)?system|"
    r"\bnot?[-_.]?reply[^@]*@(?:mx|mail|smtp)|mail-?er@|bounce|system administrator|undeliver|maildelivery|mailgateway|mail router|"
    r"delivery[-_. ]?(?:agent|failure|status|report|notification)|\bndr@|メール(?:配信|配送)?システム",
    re.IGNORECASE,
)
_REPORT_SUBJECT = re.compile(
    r"undeliver|deliver\w*[ :-]+(?:status|fail|problem|error|report|notif|unsuccess|to the following)|(?:status|failure|failed)[ :-]+deliver|(?:mail|message|e-?mail)\w*[ :-]+(?:deliver\w*[ :-]+)?(?:fail|not delivered|error|problem|could not|system error|undeliver|returned|non[- ]?deliver)|"
    r"returned (?:e-?)?mail|return(?:ed|ing)? (?:mail|message|to sender)|failure (?:notice|notification|report|delivering)|fail(?:ed|ure)[ :-]+(?:mail|message|deliver|to deliver)|failed (?:e-?mail|mail|message)|"
    r"user (?:unknown|not found)|unknown (?:user|recipient|address)|no such user|mail error|nondeliverable|non[- ]?(?:deliver|remise|recapit)|not delivered|can(?:not|'t) be delivered|could not be delivered|could not (?:be )?(?:send|sent|deliver)|unable to deliver|permanent(?: fatal)? error|mailbox (?:full|unavailable|unknown|not found)|"
    r"unzustellbar|nicht (?:zustell|zugestellt)|zustellung|rückläufer|échec|echec|non remis|impossible de (?:remettre|distribuer)|no se (?:puede|pudo|ha podido) entregar|no entregado|devuelto|mancato recapito|non recapitabile|não (?:entregue|pode ser entregue)|falha na entrega|недоставлен|не доставлено|退信|无法(?:送达|投递|发送)|投递失败|無法(?:傳送|投遞)|전송 실패|반송|"
    r"配信(?:不能|不可|エラー|失敗|でき|状況)|配送(?:不能|エラー|失敗|でき)|不達|送信(?:エラー|できません|失敗|不能)|エラーメール|返送|届けられません|届きません|お届けできません|未配信|戻りメール|メールシステムエラー",
    re.IGNORECASE,
)
_AUTO_SUBJECT = re.compile(
    r"^\s*(?:re:|aw:|sv:|fwd?:|\[[^\]]{1,40}\])?\s*(?:auto(?:matic|mated|matisch\w*|matica|mática|matisk\w*)?[ :_-]*(?:e-?mail|mail|message)?[ :_-]*(?:re(?:ply|sponse|sponder|spuesta)|antwort|answer|acknowledg)|auto-?re(?:ply|sponse|sponder)?\b\s*:|r[ée]ponse auto|risposta auto|respuesta auto|resposta auto|"
    r"out[ -]of[ -](?:the[ -])?office|ooo\b|ooto\b|away from (?:my|the) (?:mail|office|desk)|(?:i am|i'm|i will be|currently|am) (?:away|out|on (?:vacation|holiday|leave))|on (?:vacation|holiday|leave|annual leave|maternity|parental)|vacation|holiday|absen|abwesen|urlaub|ferien|fuera de (?:la )?oficina|hors du bureau|fuori (?:sede|ufficio)|afwezig|"
    r"(?:thank you|thanks) for (?:your (?:e-?mail|mail|message|inquiry|enquiry|interest|contact|order)|contacting|writing|getting)|we (?:have )?received your|(?:your|ticket|case|request|message|mail|e-?mail) .{0,30}(?:has been )?received|acknowledg)|"
    r"autoreply|auto-?respon|auto-submitted|automatic reply|自動(?:返信|応答|配信|送信)|不在|休暇|休業|休診|お休み|夏季休|年末年始|退職|受付(?:完了|しました|いたし)|受け付けました|お問い?合わ?せ(?:いただき|ありがとう|を受|の受)|ありがとうござい|受信(?:しました|確認|いたし)|自動回复|自动回复|自動回覆|外出|출장|부재|автоответ|автоматический ответ",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(
    r"(?:please )?confirm (?:your|that you|you are|this) (?:e-?mail|message|sent|a human|human)|verif(?:y|ication) (?:of )?(?:your )?(?:e-?mail|message|required|sender|that)|challenge|sender (?:verification|confirmation|authentication)|boxbe|spamarrest|mailblocks|spam arrest|requires? (?:confirmation|verification|approval)|awaits? (?:moderator|approval|your confirmation)|(?:your )?message to .{1,80} awaits|moderator approval|held for (?:approval|moderation)|request to (?:the )?mailing list .{1,80} (?:rejected|refused)|not (?:a member|subscribed)|confirmation (?:required|of your)|^(?:confirm|subscribe|unsubscribe)\b|認証(?:が必要|の?お願い)|承認待ち|保留",
    re.IGNORECASE,
)
_OTHER_SUBJECT = re.compile(
    r"^\s*(?:read|gelesen|lu|leído|letto|gelezen|opened|開封(?:済み|確認)?|既読)\s*[:：]|read receipt|return receipt|開封(?:確認|通知|済)|\bvirus\b|ウイルス|infected|security (?:alert|notice|warning)|quarantin|隔離|daily (?:report|digest|summary)|recall:|not read:|delivered:|relayed:|(?:successful|successfully) (?:mail )?deliver|deliver\w* (?:success|confirmation|receipt)|(?:almost|nearly) full|quota (?:warning|notice)|approaching (?:its|the|your) (?:quota|limit)|容量(?:の)?(?:警告|のお知らせ)|配信完了|配信成功|送信完了",
    re.IGNORECASE,
)
_WARNING = re.compile(
    r"warning[: ]|delayed|\bdelay\b|deferred|transient|still being retried|temporarily|delivery status notification \((?:delay|mail delivery delayed)|not yet been delivered|verzögert|retard[ée]?|retrasad|遅延|遅れ",
    re.IGNORECASE,
)
_STILL_TRYING = re.compile(
    r"this is a warning (?:message )?only|you do not need to resend|do not need to re-?send|will (?:continue|keep) (?:to try|trying|attempting|to attempt|to be)|delivery attempts will continue|(?:will|to) be (?:re-?tried|attempted|retried|tried again)|will (?:re-?try|try again|make further attempts|attempt)|has not yet been (?:delivered|able)|no action is required|still trying|still be(?:ing)? (?:tried|retried)|attempts? to deliver .{0,40}will continue|delivery (?:of the message )?(?:has been|is) delayed|not been delivered yet|再送(?:信|を)?(?:を)?(?:試み|続け|行い)|引き続き(?:配信|配送|送信)|遅延しています|遅れています|erneut versucht|weitere zustellversuche|nouvelle(?:s)? tentative|se (?:seguirá|volverá)",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"permanent|gave up|giv(?:en|ing) up|could not be delivered to one or more|no (?:more|further) attempts|will not (?:be )?(?:re-?tried|try|retry)|i'?ve given up|returned below|failed permanently|unable to deliver|undeliverable|配信できませんでした|not be retried",
    re.IGNORECASE,
)
_INTRO = re.compile(
    r"(?:this message was created automatically by (?:the )?mail (?:delivery|system|server)|this is the (?:mail system|\w+ program|mailer-?daemon|\w+ mail)|hi\. this is the|hi!\s+this is the mailer|i'?m sorry to have to inform you|i'?m afraid i wasn'?t able to deliver|unable to deliver (?:your |the |this )?message|delivery (?:to the following|has failed|failed)|"
    r"(?:could|can|was|were|has|have)(?: ?not|n't)(?: yet)? (?:been |be )?delivered|not (?:be )?deliver(?:ed|able)|did not reach the following|permanent fatal errors?|had (?:permanent|delivery) (?:fatal )?(?:errors|problems)|undeliverable|failed to deliver|delivery failure|transcript of (?:the )?session|(?:message|mail) (?:you sent )?(?:is |was |has been )?(?:returned|rejected|blocked|bounced|refused)|returning (?:your )?(?:message|mail)|user unknown|unknown user|no such user|mailbox (?:is )?(?:full|over|exceed)|would love to have gotten|trouble delivering|delivery error|over ?quota|recipients? (?:was|were) (?:affected|rejected)|"
    r"配信(?:でき|されません|不能|に失敗)|届(?:ける|き)こと?(?:が)?でき|お届けでき|配送(?:でき|されません|不能|に失敗)|送信(?:でき|されません|に失敗)|存在しない|見つかりません|宛先不明|zugestellt werden|nicht zustellbar|n'a pas (?:pu )?être (?:remis|distribu)|pas pu être|no se (?:pudo|puede) entregar|non è stato possibile|non recapit|无法(?:发送|送达|投递)|投递失败|邮件被退回|被退回|無法(?:傳送|投遞|送達)|전송(?:에)? 실패|반송|не (?:было |может быть )?доставлен)",
    re.IGNORECASE,
)


_ANSWER = re.compile(r"\s*(?:re|aw|sv|vs|fwd?|wg|tr|rv|rif|転送|返信)\s*(?:\[\d+\])?[:：]\s*", re.IGNORECASE)


def from_a_daemon(root: Part) -> bool:
    """A null sender alone does not tell: auto-replies have it too (RFC 3834 3.3)."""
    return bool(_DAEMON.search(root.shown("from")) or _DAEMON.search(root.get("return-path")))


def claims_in_headers(root: Part) -> bool:
    """From a daemon, or with a report's subject: then it is a report even if its text names nobody."""
    return bool(
        root.get("x-failed-recipients")
        or from_a_daemon(root)
        or _REPORT_SUBJECT.search(root.shown("subject"))
    )


def says_it_failed(root: Part, text: str) -> bool:
    """Whether the mail claims to be about a mail that was not delivered. A person's answer to, or copy of, such a
    report does not."""
    if root.get("x-failed-recipients"):
        return True
    subject = root.shown("subject")
    answer = _ANSWER.match(subject)
    if answer and not from_a_daemon(root):
        subject = subject[answer.end() :]
        return bool(_REPORT_SUBJECT.search(subject)) and not _REPORT_SUBJECT.match(subject)
    if _REPORT_SUBJECT.search(subject):
        return True
    return bool(_INTRO.search(re.sub(r"(?m)^[ \t]*>.*$", "", text[:6000])))


def is_auto_reply(root: Part, text: str) -> bool:
    """RFC 3834 headers, their older relatives, and subjects of absences. Reports carry some of these headers too: from
    a daemon only an unmistakable subject counts."""
    subject = root.shown("subject")
    if _earlier(_AUTO_SUBJECT, _REPORT_SUBJECT, subject):
        return not (_REPORT_SUBJECT.search(subject) and _INTRO.search(text[:1500]))
    if root.get("x-failed-recipients"):
        return False
    headers = any(
        root.get(name)
        for name in (
            "x-autoreply",
            "x-autorespond",
            "x-autoresponder",
            "x-autoreply-from",
            "x-ms-exchange-inbox-rules-loop",
            "x-mail-autoreply",
            "x-vacation",
            "x-facebook",
        )
    )
    precedence = root.get("precedence").strip().lower() + root.get("x-precedence").strip().lower()
    submitted = root.get("auto-submitted").partition(";")[0].strip().lower()
    claims = (
        headers
        or "auto_reply" in precedence
        or "auto-reply" in precedence
        or submitted.startswith(("auto-replied", "auto-notified"))
    )
    return claims and not (from_a_daemon(root) or _REPORT_SUBJECT.search(subject))


def answers_like_a_person(root: Part) -> bool:
    """`Re: …` from an address that is no daemon's: what a challenge looks like, even in the form of a report."""
    return bool(_ANSWER.match(root.shown("subject"))) and not from_a_daemon(root)


def is_something_else(root: Part, text: str) -> bool:
    """Challenges, receipts, virus warnings, moderation: automatic, and no report of a failure."""
    subject = root.shown("subject")
    if _REPORT_SUBJECT.search(subject) and _INTRO.search(text[:1500]):
        return False
    return _earlier(_CHALLENGE, _REPORT_SUBJECT, subject) or _earlier(
        _OTHER_SUBJECT, _REPORT_SUBJECT, subject
    )


def _earlier(wanted: re.Pattern[str], other: re.Pattern[str], subject: str) -> bool:
    """Subjects of reports often quote the subject of the mail that came back: what stands first is their own."""
    found, against = wanted.search(subject), other.search(subject)
    return bool(found) and (not against or found.start() < against.start())  # type: ignore[union-attr]


def is_warning(root: Part, text: str) -> bool:
    """A text that says the mail is late and still being tried."""
    if still_trying(text):
        return True
    return bool(_WARNING.search(root.shown("subject"))) and not _GIVEN_UP.search(text[:6000])


def still_trying(text: str) -> bool:
    text = text[:6000]
    if not _STILL_TRYING.search(text):
        return False
    return not _GIVEN_UP.search(text) or bool(re.search(r"warning (?:message )?only", text, re.IGNORECASE))

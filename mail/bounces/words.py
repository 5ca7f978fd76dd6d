"""What servers write when they do not take a mail, by cause: regular expressions over lower-case, NFKC-folded text.

The order of GROUPS is the meaning: what names the sender comes before what names the address ("sender address rejected:
domain not found"), a full mailbox before a missing one, and sentences that servers use for anything ("mailbox
unavailable", "recipient rejected") come last, after policy and spam.
Addresses stand in the text as `@`, so that a local part never counts as a word.
"""

import re

from mail.models.delivery import Cause

_PERSONAL_BLOCK = (  # the person behind the address does not want us: neither dead, nor our configuration
    r"recipient has (?:blocked|rejected|refused)|recipient (?:blocked|refuses|does not accept|is not accepting|doesn't accept)",
    r"(?:recipient|user|mailbox)(?:'s)? (?:has |is )?(?:block|reject|refus)\w* (?:mail |messages? |e-?mails? )?(?:from )?(?:the |this |your )?sender",
    r"(?:blocked|safe|allowed?)[ -]senders?(?:[ -]list)?",
    r"not (?:accepting|accept) (?:e-?mail|messages?|mail) from (?:(?:this |the |your )?(?:sender|address)|@)",
    r"refused by (?:the )?recipient",
    r"rejected by (?:the )?(?:recipient|user|end user)",
    r"recipient (?:only accepts|requires)|only accepts (?:mail|messages) from|restrictrecipients|restrictedrecipient",
    r"resolver\.rst\.|restrictedtorecipients|recipnotsupported|requireauthentication|senderrestricted|notauthorized|authrequired",
    r"受信(?:を)?拒否|受信者(?:の設定)?により|迷惑メール(?:フィルタ|設定|対策)|指定受信|ドメイン指定|受信設定|フィルタ(?:リング)?(?:設定)?により",
    r"message filtered|mail filtered|filtered by (?:the )?(?:user|recipient)",
)

_SENDER = (  # our envelope sender, name, address or login
    r"(?:sender|mail from|return[- ]path|envelope from|from)(?: e-?mail)?(?: address| domain| verify| verification| host)?:?[ <@>'\"]*(?:[(:]?[^.;:]{0,40})?[ :]*(?:was |is |has been |have been )?"
    r"(?:re(?:jected|fused)|denied|not (?:exist|found|allowed|permitted|accepted|authori[sz]ed)|does(?: not|n't) (?:exist|resolve)|invalid|failed|unknown|unverified|banned|unresolvable|unroutable|could not be verified|cannot be verified|must (?:exist|resolve))",
    r"(?:invalid|bad|unknown|unverified|forged|unauthori[sz]ed|illegal|unresolvable|malformed|blocked|rejected) (?:envelope )?(?:sender|return path|mail from)",
    r"(?:sender|envelope from)(?:'s)? (?:address |domain |callout |callback )?(?:verif|validation)\w*",
    r"domain of (?:the )?sender|sender(?:'s)? domain|sending (?:domain|host|server|ip|mta)|originating (?:ip|server|domain)",
    r"\bhelo\b|\behlo\b",
    r"\bptr\b|reverse[ -](?:dns|lookup|host ?name|mapping|ip|name|record|resolution|arpa)|\brdns\b|(?:find|resolve|verify) your (?:reverse )?(?:host ?name|ip|address)|in-addr\.arpa",
    r"client (?:host|ip|address) |your (?:ip|host|server|network|domain|mta|mail ?server|isp)\b|connecting (?:ip|host|server)|from your (?:ip|host|server|network)",
    r"relay(?:ing)?(?: \w+)? ?(?:access )?(?:is |was |mail |attempt )?(?:denied|not (?:permitted|allowed|authori[sz]ed)|prohibited|rejected|forbidden|restricted|blocked)|(?:unable|not permitted|not allowed|not authori[sz]ed|cannot|can't|refuse|attempt) to relay|(?:we do(?: not|n't)|no|not a|open) relay|(?:use|using) .{0,80}as an? (?:open )?relay|relay (?:operation|host) rejected|isn't in my (?:control/)?(?:locals|list of allowed rcpthosts)|allowed rcpthosts|中継(?:が|を|は)?(?:拒否|許可|禁止|でき)",
    r"authentication (?:is )?(?:required|failed|needed|credentials|failure|check)|(?:must|need to|not) (?:be )?authenticated?|please authenticate|smtp[- ]?auth\b|pop before smtp|client was not authenticated|unauthenticated",
    r"starttls|encryption (?:is )?(?:needed|required)|must use tls|tls (?:is )?required|requires? (?:a )?(?:secure|encrypted|tls)",
    r"\bspf\b|\bdkim\b|\bdmarc\b|sender policy framework|sender id |domainkeys|openspf|not authori[sz]ed to (?:send|use)|not (?:designated|permitted|allowed) to send",
    r"spoof",
    r"(?:missing|invalid|no|without|multiple|duplicate|malformed|bad|more than one|valid address in)[^.;]{0,30}(?:from|message-id|date|sender|to|subject)?:? header|(?:messages?|mail) missing|rfc ?-?(?:2822|5322|822|2821)[^.;]{0,40}(?:complian|violat|specif|invalid)|not rfc|headers? (?:is|are) (?:not|malformed|missing|invalid)|bare (?:lf|cr|line ?feed)|bare newline|lines? too long",
    r"non-?compliant|too many (?:(?:invalid|unknown|bad) )?(?:recipients|users)|synchroni[sz]ation error|protocol (?:violation|error)|improper (?:use|command)|command not (?:recogni[sz]ed|implemented)|unrecogni[sz]ed command|bad sequence of commands",
    r"(?:sending|daily|hourly|outgoing|outbound|message|recipient|sender)s? (?:sending )?(?:quota|limit|rate)[^.;]{0,30}(?:exceed|reach)|exceeded (?:the |your |its |our )?(?:sending|daily|hourly|max(?:imum)? (?:number of )?(?:messages|emails|recipients|connections)|rate|message rate|connection)",
)

_REPUTATION = (
    r"spamhaus|spamcop|barracudacentral|\bsorbs\b|uceprotect|\bcbl\b|abuseat|senderbase|sender ?score|trustedsource|cloudmark|\bsurbl\b|\buribl\b|invaluement|mailspike|truncate\.gbudb|ipcheck\.proofpoint|ip-?lookup|talosintel|brightmail|dynamic ip|spfbl|backscatterer|psbl|mailpolice|njabl|dsbl",
    r"\brbl\b|\bdnsbls?\b|\bdnswl\b|\brbls\b|black-? ?list|block-? ?list|deny ?list|blocked using|is listed|listed (?:in|at|by|on)|ブラックリスト|ブロックリスト",
    r"reputation|untrusted ip|new or untrusted|poor (?:sender|ip)|known spam(?:mer)? source|open proxy|dial-?up|dynamic(?:ally)? (?:ip|assigned|address)|residential",
    r"\[(?:tss?|ipts?|bl|rl|gl)-?\d+\]|\bs(?:3140|3150|3115|3114|775|843|844)\b|\b(?:ou|sc|dy|rp|co|cs|ct|ph)-00\d\b|\bcs01\b|\bhm08\b|\bhcm1\b|vs\d\d-ip\d",
    r"unusual (?:rate|amount|volume)|unexpected volume|user complaints|(?:messages?|mail|e-?mails?|connections?|traffic) from [^ ]+ (?:weren't sent|temporarily deferred|will be|were rejected|blocked|refused|have been|has been|not accepted|rejected)",
    r"too many (?:\w+ ){0,3}(?:connections?|sessions?|messages|e-?mails?|mails|unknown|invalid|bad|errors?|requests|hits|spam)|connection (?:rate|frequency|count)|rate[ -]?(?:limit|control|exceed)|ratelimit|throttl|sending (?:too|mail too) (?:fast|many|much)|too (?:fast|much) mail|exceeded [^.;]{0,20}connections|max message per connection",
    r"(?:ip|host|address|network|range|server|connections?|access) (?:\S+ )?(?:is |was |has been |have been |are |temporarily |permanently )*(?:blocked|banned|blacklisted|denied due|refused due|suspicious|will not be accepted|not accepted)",
    r"permanently deferred|(?:banned|blocked|bad) (?:sending |sender |source )?(?:ip|host|server|network)|bannedsender|banned sender",
)

_FULL = (
    r"(?:over|exceed(?:s|ed|ing)?|out of|beyond|above|reached|insufficient|exceeding)[^.;]{0,40}(?:quota|storage|disk space|mail ?box (?:size|limit|space)|allowed space|space limit)",
    r"quota[^.;]{0,30}(?:exceed|full|violat|limit|reach|over|would be)|(?:disk|user|mail|mailbox|hard|soft|account) quota|over ?quota|quotaexceeded|storequota|overquota",
    r"(?:mail ?box|mailfolder|mail folder|inbox|mail ?drop|maildir|account|storage|mail spool|user|mail store|message store|folder)(?:'s)?(?: @| <@>| for \S+| of \S+| for user \S+)?:? (?:is |are |has |was |seems |currently |temporarily |too |already |nearly |almost |over)*(?:full|exceed|over (?:quota|limit|size|the limit|its|their|allocat)|overfull|filled|no space|no room|at capacity|size limit|limit exceeded|storage limit|out of)",
    r"(?:full|overfull|overflowing) (?:mail ?box|mail folder|inbox)|mail ?box[^.;]{0,25}(?:limit|capacity)|too (?:much|many) (?:mail|messages?|mails) (?:data )?(?:in|for|on)|(?:no|not|insufficient|in[- ]?sufficient|not enough|out of|lack of) (?:enough )?(?:mailbox |system |disk )?(?:room|space|storage)(?: (?:available|left|for|in|on|to))?|exceeded (?:the )?(?:local limit|allocation|storage)|number of messages in recipient's mailbox",
    r"maximum (?:allowed )?(?:mailbox|storage)|doesn't have enough|over (?:the |its |their |his )?(?:maximum )?(?:allowed |allocated |storage )?(?:quota|limit|allocation)|larger than the current (?:system|mailbox)|boxfull|mbox full",
    r"メールボックス[^。]{0,20}(?:いっぱい|一杯|満杯|超過|超え|容量|あふれ|溢れ|空き)|(?:容量|保存|受信)[^。]{0,14}(?:超過|超え|オーバー|いっぱい|一杯|不足|制限)|空き容量|容量不足|受信箱がいっぱい",
    r"speicherplatz|postfach[^.]{0,30}(?:voll|überschritten)|bo[iî]te[^.]{0,40}(?:pleine|satur)|buz[oó]n[^.]{0,30}lleno|casella[^.]{0,30}piena",
)

_SIZE = (
    r"(?:message|mail|e-?mail|attachment|content|body|data|header|it)s?(?: file)?(?: size)?(?:'s size)?:? (?:\S+ )?(?:is |was |are |being |has |would )?(?:\w+ )?(?:too (?:large|big|long)|exceed(?:s|ed|ing)?(?! (?:\S+ ){0,4}(?:rate|connections|quota|number))|larger than|over (?:the )?(?:max|limit|size)|over ?size)",
    r"too (?:large|big|much) (?:a )?(?:message|mail|e-?mail|data|for)|exceed(?:s|ed|ing)? (?:\S+ ){0,6}(?:message size|size limit|maximum size|max(?:imum)? (?:message|mail|allowed) size|size of a message)|(?:message|mail|maximum|max) (?:file )?size (?:limit|violat|restrict|exceed)|size limit (?:for|exceed)|fixed maximum message size|message length (?:exceed|limit)|too much mail data|mail size|larger than (?:the )?(?:max|limit|allowed)|messagesizeexceeded",
    r"(?:メール|メッセージ|添付|サイズ)[^。]{0,16}(?:大きすぎ|大き過ぎ|サイズ超過|サイズ制限|超過|サイズが)|サイズ(?:制限|超過|オーバー|が大き|が上限)",
)

_MOVED = (
    r"(?:has|have|is|was|user) (?:been )?moved|no longer (?:at|with|works?|employed|working|here)|moved (?:to|with no)|no forwarding address|address (?:has )?changed|changed (?:his|her|their|its)? ?(?:e-?mail )?address|new (?:e-?mail )?address (?:is|:)|address has been (?:replaced|changed)|has been replaced by|replaced by @|please (?:use|try) (?:the )?(?:new address|forward-path|<?@)|left (?:the )?(?:company|organi[sz]ation)|移転|アドレスが変更|アドレスを変更",
)

_NO_MAILBOX = (
    r"(?:user|recipient|mail ?box|address(?:ee)?|account|mail ?drop|name|destination|alias|local ?part|customer|employee|subscriber|person|member|user ?name|addressee|user id|userid)s?(?: e-?mail)?(?: address| name| account| id)?(?: <?@>?| \"?\S+\"?| for \S+| of \S+)?,?:? (?:is |was |are |has |have |were |does |do |could |can |appears? (?:to be )?|seems? )*(?:currently )?"
    r"(?:unknown|invalid|not (?:known|found|exist|valid|listed|recogni[sz]ed|registered|local|here|hosted|a valid|a known|be found|defined|on this|in (?:the |our |this |my )?(?:directory|user|table|address|list|database)|deliverable|correct|our)|n't (?:exist|found|known|have)|non-?exist|no longer (?:exist|valid|available|active|on|in use|a valid|accept|used|has)|undeliverable|deleted|removed|cancell?ed|closed|terminated|discontinued|expired|no such|not$)",
    r"(?:unknown|no such|invalid|non-?exist[ae]nt|nonexistent|unrecogni[sz]ed|undefined|incorrect|bad destination|invalid final delivery|unknown or illegal|unknown or invalid|inexistent|illegal) (?:\w+ )?(?:user|recipient|mail ?box|address(?:ee)?|account|person|alias|local ?part|rcpt|e-?mail|customer|mail address|login|name|subscriber|user ?id|destination (?:mail ?box )?address|virtual user|virtual mailbox)",
    r"(?:no|not a|not any|isn't a|aren't any|wasn't any|is no|unable to find|cannot find|can't find|couldn't find|could not find|did not find|not find) (?:valid |such |local |known |matching |such a |a |any |the |this |that )*(?:user|recipient|mail ?box|address(?:ee)?|account|person|alias|rcpt|one|match|virtual|login|entry)s?\b(?! to relay)",
    r"no (?:such|mailbox)(?: \S+)? (?:here|by that name|exists?|at this|in|on|found)|does(?: not|n't) (?:have|match|handle) (?:\S+ ){0,3}(?:account|mailbox|user|recipient|address)|doesn't have an? \S+ account|there is no one|nobody (?:here|by)|sorry, (?:no mailbox|that address|i couldn't find (?:any )?(?:mailbox|account))",
    r"(?:user|address|recipient|account|mailbox|mail ?drop)[^.;]{0,60}(?:does(?: not|n't) exist|doesnt exist|do not exist|not exist|no longer (?:exists?|valid|available)|is unknown|cannot be found|could not be found|couldn't be found|was(?: not|n't) found|wasn't found|isn't (?:known|valid|found))|@>? (?:does(?: not|n't) exist|is not (?:found|known|valid)|is no longer valid|not found|unknown|is unknown|is invalid|couldn't be found|could not be found|wasn't found|no longer exists)",
    r"(?:not listed in|no matches|not in) (?:the )?(?:domino|public|name|address|directory|mailhost)|badly formatted or nonexistent|recip(?:ient)?notfound|resolver\.adr\.(?:recip|exrecip|bad|invalid|ambig)|legacyexchangedn|user_?unknown|no_?such_?user|nosuchuser|mailboxunavailable_?unknown|unknown_?user|usernotfound|invalid_recipient|invalidrecipient|unknown_recipient|no_user|err:invaddress",
    r"would love to have gotten this email|recipient address rejected: (?:user|address|undeliverable|mailbox|invalid|no|unknown|unverified)|unrout(?:e)?able (?:mail )?(?:address|recipient)|address unknown|unknown address|user not local|this (?:address|e-?mail|account|recipient) (?:is )?(?:not|no longer|unknown)|undeliverable address|not a valid rfc-?5321 address|bad address|bad recipient|mailbox not found|mailbox does not|not our customer|no longer (?:an? )?(?:active )?(?:customer|employee|user|member|valid)|unknown to (?:us|this)|not known (?:at|here|to)|\baddress rejected$|not a local address|dest(?:ination)? unknown|final e-?mail delivery point|pessoa n[aã]o|address is not valid|address not present|550 not found",
    r"(?:宛先|送信先|受信者|ユーザー?|利用者|アドレス|メールボックス|該当|アカウント)[^。]{0,40}(?:不明|存在し(?:ない|ません|て(?:い)?ません)|見つかりません|見つからない|見つかりませんでした|登録されていません|いません|ありません|無効|間違|誤り|正しくありません)|宛先不明|あて先不明|宛名不明|アドレス(?:が)?不明",
    r"inexistente|desconhecid|desconocid|benutzer[^.]{0,30}(?:unbekannt|nicht)|empf(?:a|ä|ae)nger[^.]{0,40}(?:unbekannt|nicht gefunden|existiert nicht)|unbekannter (?:benutzer|empf)|adresse[^.]{0,50}(?:n'existe pas|introuvable|inconnue|nicht gefunden|existiert nicht)|destinataire[^.]{0,40}(?:inconnu|introuvable)|utilisateur inconnu|usuario[^.]{0,20}(?:desconocido|no existe|inexistente)|direcci[oó]n[^.]{0,40}(?:no (?:existe|encontr)|no se (?:encontr|ha encontr))|utente sconosciuto|indirizzo[^.]{0,30}(?:inesistente|non trovato|sconosciuto)|no se (?:encontró|encontro|ha encontrado)|usu[aá]rio[^.]{0,20}(?:desconhecido|inexistente)|用户不存在|收件人不存在|지정된 수신자",
)

_NO_HOST = (
    r"(?:domain|host)(?: name)?(?: or domain name)?(?: \S+)?(?: part)?,?:? (?:is |was |has |does |could |can |must )*(?:not (?:found|exist|be found|resolve|known)|n't (?:exist|found|resolve)|unknown|invalid|no longer exists?|non-?exist|expired|unresolvable|not valid|not registered|bad|is not known)",
    r"(?:unknown|no such|invalid|non-?existent|unresolvable|bad|unrouteable|unroutable) (?:mail |destination |e-?mail |recipient |internet )?(?:domain|host|tld|system)|(?:couldn't|could not|cannot|can't|unable to|failed to) (?:find|resolve|lookup|look up|locate)[^.;]{0,40}(?:host|domain|mx|mail exchanger|server named|dns|address of|mail server)|nxdomain|domain lookup failed|find a gateway|name or service not known|no (?:a|mx|mx or a|mail exchanger|dns) (?:record|entr|host)|all relevant mx records point to non-existent|all host address lookups failed permanently|bad destination (?:host|system)|(?:mail|dns) (?:domain|server)[^.;]{0,30}(?:does not|doesn't) exist|nonexistentdomain|no mail exchanger|host unknown|name server: (?:@|\S+): host not found|unrouteable mail domain|no valid hosts|invalid mx|malformed or unexpected name server reply.{0,20}not found|\bnodename nor servname",
    r"domain is not reachable\. please check the domain",  # Outlook.com, when the domain has no DNS
    r"(?:ホスト|ドメイン|サーバ)[^。]{0,20}(?:見つかりません|見つからない|存在し(?:ない|ません)|不明|解決できません)",
)

_NOT_ACCEPTED = (
    r"null mx|nullmx|(?:domain|host|system|server|address|it|we|machine|site|there)[^.;]{0,30}(?:does not|doesn't|do not|never|not) (?:accept|accepting|receive|handle)s? (?:any )?(?:e-?mail|mail|messages|smtp)(?! from)|no smtp service|mx or srv record indicated no smtp service|(?:does not|doesn't) accept (?:any )?mail$|this host (?:does not|sends? only)|no mail (?:accepted|service)|not accepting network messages|smtp protocol (?:returned|denied)|server does not accept mail|recipient domain .{0,30}null|name service error .* does not accept mail",
)

_DISABLED = (
    r"(?:user|recipient|mail ?box|address|account|mail ?drop|domain|e-?mail)[^.;]{0,60}\b(?:disabled|inactive|not active|suspended|deactivated|locked|on hold|dormant|temporarily limited|frozen|restricted|barred|not enabled|unactivated|isn't active|is not activated|not currently active)|(?:account|user|mail ?box) (?:is |has been |was )?blocked|(?:disabled|inactive|suspended|deactivated|dormant|locked) (?:user|recipient|mail ?box|account|mail ?drop|address)|extended inactivity|inactive for|disableduser|inactiveuser|利用停止|停止中|休止|一時停止|凍結",
)

_TEMPORARY = (
    r"temporar|try (?:again|later)|try it again|retry later|come back later|later\b.{0,12}again|gr[ea]y-?list|postgrey|please retry|again later|will be retried",
    r"receiving mail (?:at a rate|too quickly)|receivingrate",
    r"(?:connection|connect|connecting|conversation|session|transmission|network|smtp|data|banner|command|dns|lookup|response|read|host lookup)[^.;]{0,40}(?:timed? ?out|timeout|refused|reset|lost|dropped|closed|failed|unreachable|did not complete|aborted|terminated)|(?:operation|retry|socket|i/o|host|server|delivery) (?:time|timed) ?out|timed out|timeout|time-?out|no route to host|(?:host|network|server|system|mail server|mail system)[^.;]{0,30}(?:unreachable|not (?:responding|available|reachable|answer\w*)|isn't (?:answering|responding)|down|unavailable|busy|overload|not respond)|could(?: not|n't) (?:connect|be contacted|contact|establish|reach)|(?:unable|failed|not able|can't|cannot) to? ?(?:connect|contact|reach|establish)|can(?: ?not|'t) (?:connect|contact|reach)|wasn't able to (?:connect|establish)",
    r"(?:delivery (?:time|period)|message|retr(?:y|ies)|mail|too old|delivery|time|queue)[^.;]{0,30}(?:expired|exhausted|too long|too old)|expired|retry (?:time|limit|timeout)|too long (?:in|on) (?:the )?queue|been (?:in|on) (?:the )?queue too long|(?:gave|giving) up|not delivered (?:within|for|after)|could not be delivered for|undelivered for|queue lifetime|maximum (?:retry|queue)|max(?:imum)? (?:number of )?(?:retries|delivery attempts|attempts)|attempts exhausted|deferred",
    r"loop(?:s|ing)? |mail loop|\bloop\b|hop count|too many hops|hops exceeded|maximum hop|received: headers|excessive forwarding|loops back to (?:myself|me)",
    r"(?:system|internal|server|local|configuration|software|i/o|queue|database|resources?|ldap|configuration|processing)[- ](?:error|failure|problem|overload|trouble|config|resources)|service (?:currently )?(?:unavailable|not available)|unexpected (?:error|failure)|out of memory|insufficient (?:system )?(?:resources|memory)|internal error|cannot (?:create|open|write|lock|append)|can't (?:create|open|write|lock|append)|permission denied|read-only|mailer (?:error|returned)|command (?:died|failed|terminated)|pipe to|signal \d|exit status|error writing|lock (?:fail|timeout)|too busy|maintenance",
    r"一時的|しばらく(?:して|経って|たって)|時間を(?:置|お)いて|タイムアウト|接続(?:できま|に失敗|が拒否|を拒否)|混み合|期限(?:切れ|が過ぎ)|サーバ[^。]{0,12}(?:エラー|障害)|再送(?:期間|を試み|回数)",
)

_SPAM = (
    r"spam|junk mail|\bjunk\b|unsolicited|\buce\b|\bube\b|phish|malware|virus|infected|malicious|suspicious|bulk mail|\bbayes|迷惑メール|スパム|ウイルス",
    r"polic(?:y|ies)|administrative(?:ly)? (?:prohibit|reject|lock|restrict)|prohibit|content[^.;]{0,30}(?:reject|refus|not (?:accept|allow)|block|filter|unaccept)|(?:message|mail|e-?mail|connection|session|transaction|delivery|access|content|attachment|url|file)s? (?:was |has been |is |are |were |content |contents )*(?:reject|refus|block|denied|not (?:accept|allow|authori[sz]ed)|quarantin|discard|restrict|forbid|deni|filtered)|(?:reject|refus|block|deni)(?:ed|es|s)? (?:the |this |your |for )?(?:message|mail|e-?mail|content|delivery|by|due|because|as|for|on)|not (?:permitted|allowed|authori[sz]ed|accepted|wanted|welcome)|illegal attachment|banned|forbidden|unacceptable|security (?:reason|violation)|access denied|blocked|\bproofpoint|mimecast|messagelabs|barracuda|delivery not authori[sz]ed|unable to accept|訪問拒否|拒否されました|拒否しました|ポリシー",
)

_WEAK_NO_MAILBOX = (
    r"mail ?box (?:is )?(?:\w+ )?(?:unavailable|not available|inaccessible|name not allowed)|recipient (?:address )?(?:was |is |has been |not |<?@>? )*(?:rejected|refused|ok|unavailable|accepted)|rejected recipient|(?:address|recipient|rcpt)(?: <?@>?)? ?(?:rejected|refused|unavailable)|unknown (?:in|recipient)|not deliverable|\bunknown$|delivery to this (?:address|recipient)|(?:rejected|refused) address|has rejected address",
)


def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


# First match wins.
GROUPS: tuple[tuple[str, Cause, re.Pattern[str]], ...] = tuple(
    (name, cause, _compiled(patterns))
    for name, cause, patterns in (
        ("personal", Cause.REFUSED, _PERSONAL_BLOCK),
        ("sender", Cause.OURS, _SENDER),
        ("full", Cause.FULL, _FULL),
        ("moved", Cause.MOVED, _MOVED),
        ("no_host", Cause.NO_HOST, _NO_HOST),
        ("no_mailbox", Cause.NO_MAILBOX, _NO_MAILBOX),
        ("not_accepted", Cause.NOT_ACCEPTED, _NOT_ACCEPTED),
        ("size", Cause.SIZE, _SIZE),
        ("reputation", Cause.OURS, _REPUTATION),
        ("disabled", Cause.OTHER, _DISABLED),
        ("temporary", Cause.TEMPORARY, _TEMPORARY),
        ("spam", Cause.REFUSED, _SPAM),
        ("weak", Cause.NO_MAILBOX, _WEAK_NO_MAILBOX),
    )
)

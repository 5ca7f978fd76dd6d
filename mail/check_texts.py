"""What the checks of a sending domain say (RATE-4, LAW-3): for each finding one sentence of what is, one of what to do."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

TITLES: dict[str, str | Promise] = {
    "spf": "SPF",
    "bounce_spf": _("SPF of the envelope sender"),
    "spf_alignment": _("SPF alignment"),
    "dkim": "DKIM",
    "dkim_alignment": _("DKIM alignment"),
    "dmarc": "DMARC",
    "reply": _("Replies (MX)"),
    "bounce_mx": _("Bounces (MX)"),
    "ptr": "PTR",
    "tls": _("Encryption (TLS)"),
    "one_click": _("One-click opt-out"),
}

TEXTS: dict[str, str | Promise] = {
    # SPF of the envelope sender's domain
    "spf_ok": _(
        "One valid record; it costs %(lookups)s of at most 10 DNS look-ups and covers all our source addresses."
    ),
    "spf_relay": _(
        "One valid record; it costs %(lookups)s of at most 10 DNS look-ups. Mail leaves through the relay %(relay)s: "
        "the record must cover that server's address."
    ),
    "spf_no_source": _(
        "One valid record. No source IP is registered, so nobody can tell whether it covers ours: register them."
    ),
    "spf_none": _("There is no SPF record. Publish the one below."),
    "spf_several": _(
        "%(at)s has more than one SPF record, so receivers ignore all of them. Merge them into one."
    ),
    "spf_syntax": _("Receivers cannot read “%(at)s”. Correct it."),
    "spf_included_none": _("%(at)s is included but has no SPF record. Remove it, or ask its owner."),
    "spf_loop": _("%(at)s includes itself. Remove that include."),
    "spf_mx": _(
        "“mx” of %(at)s has more than 10 names, which receivers refuse. Write the addresses instead."
    ),
    "spf_lookups": _(
        "It needs %(lookups)s DNS look-ups; receivers give up after 10. Remove includes, or write addresses (ip4:) instead."
    ),
    "spf_void": _(
        "%(void)s of its names do not exist; receivers give up after 2. Remove what is not there any more."
    ),
    "spf_not_covered": _("It does not cover %(sources)s. Add them as ip4: or ip6:."),
    "spf_unclear": _(
        "It uses macros or “exists”, whose result depends on the mail: it cannot be checked here whether it covers %(sources)s."
    ),
    "spf_everybody": _("“+all” lets everybody send in your name. End it with ~all or -all."),
    "spf_ptr": _("It works, but “ptr” is slow and receivers may skip it. Write the addresses instead."),
    "spf_dns": _("DNS did not answer (%(at)s). Check again later."),
    "spf_aligned": _("The envelope sender (%(bounce)s) and %(domain)s belong together."),
    "spf_not_aligned": _(
        "The envelope sender is at %(bounce)s, another organisation than %(domain)s, so SPF does not count for DMARC. "
        "DKIM alone has to carry it. For both, make SMP_BOUNCE_DOMAIN a sub-domain of %(organisation)s."
    ),
    "spf_strict": _(
        "DMARC asks for strict alignment (aspf=s), but the envelope sender is at %(bounce)s. Remove aspf=s, or DKIM alone counts."
    ),
    "spf_alignment_broken": _(
        "The domains belong together, but the SPF of the envelope sender (%(bounce)s) does not work."
    ),
    # DKIM
    "dkim_ok": _("Published, and equal to our key. Mails are signed with it."),
    "dkim_ready": _("Published, and equal to our key. Next: sign with it."),
    "dkim_waiting": _("Not published yet. Publish the record below, then check again."),
    "dkim_missing": _(
        "The key signs, but is not published: receivers see a broken signature. Publish the record below."
    ),
    "dkim_gone": _(
        "Removed too early: mails on their way cannot be verified. Publish it again until %(until)s."
    ),
    "dkim_kept": _("No longer signs, still published, as it should be. It can be revoked from %(until)s."),
    "dkim_other": _("Another key is published (%(bits)s bits). Replace it by the record below."),
    "dkim_empty": _("The published key is empty, that is revoked. Publish the record below."),
    "dkim_several": _("There is more than one record under this name. Keep only the one below."),
    "dkim_unreadable": _("What is published is no DKIM key. Publish the record below."),
    "dkim_algorithm": _("The record says k=%(found)s, our key is %(wanted)s. Publish the record below."),
    "dkim_testing": _("Published, but marked as a test (t=y): receivers may ignore it. Remove t=y."),
    "dkim_revoked": _("Revoked: no receiver accepts it any more."),
    "dkim_still_there": _(
        "Revoked here, but still published. Publish the record below (empty p=), or remove it."
    ),
    "dkim_dns": _("DNS did not answer (%(at)s). Check again later."),
    "dkim_no_key": _("No key signs yet, so mails leave without a signature. Make a key below."),
    "dkim_not_registered": _("This domain is not registered here: its mails are not signed."),
    "dkim_key_lost": _(
        "The private key cannot be read: SMP_SECRET_KEY is not the one it was made with. Make a new key."
    ),
    "dkim_foreign_ok": _("A readable key of %(bits)s bits."),
    "dkim_foreign_ed25519": _("A readable %(found)s key."),
    "dkim_foreign_none": _("There is no record."),
    "dkim_foreign_weak": _("The key has only %(bits)s bits. Use 2048."),
    "dkim_aligned": _(
        "Signatures carry d=%(domain)s, so they count for every address at it and its sub-domains."
    ),
    "dkim_strict": _(
        "DMARC asks for strict alignment (adkim=s): addresses at sub-domains do not count. Register those domains too."
    ),
    "dkim_alignment_broken": _("There is no published key that signs, so nothing aligns; see above."),
    # DMARC
    "dmarc_ok": _("One valid record with p=%(policy)s."),
    "dmarc_watching": _(
        "One valid record with p=none: receivers only report. When the reports are clean, go on to quarantine."
    ),
    "dmarc_inherited": _("The record of %(at)s holds, with %(policy)s for this domain."),
    "dmarc_no_reports": _(
        "It works, but nobody gets the reports. Add rua=mailto:… to learn who sends in your name."
    ),
    "dmarc_missing": _(
        "There is no DMARC record. Gmail, Outlook.com and docomo expect one from senders of many mails. Publish the one below."
    ),
    "dmarc_several": _("There is more than one DMARC record, so receivers ignore all of them. Keep one."),
    "dmarc_syntax": _("Receivers cannot read the record. Replace it by the one below."),
    "dmarc_no_policy": _("It has no valid p= (none, quarantine or reject). Replace it by the one below."),
    "dmarc_dns": _("DNS did not answer (%(at)s). Check again later."),
    # where answers and bounces go
    "reply_ok": _("Replies reach %(host)s."),
    "reply_a": _(
        "There is no MX; receivers fall back to the address of %(domain)s. Publish an MX to be sure."
    ),
    "reply_null": _(
        "The MX says that this domain takes no mail, so nobody can reply, and some receivers refuse."
    ),
    "reply_none": _(
        "There is no mail server for this domain, so nobody can reply, and some receivers refuse. Publish an MX."
    ),
    "reply_private": _("%(host)s has no public address, so replies do not arrive."),
    "reply_dns": _("DNS did not answer (%(at)s). Check again later."),
    "bounce_mx_ok": _("Bounces reach %(host)s. That host must hand them to the intake."),
    "bounce_mx_a": _(
        "There is no MX; servers fall back to the address of %(domain)s. Publish an MX that leads to the intake."
    ),
    "bounce_mx_null": _(
        "The MX says that this domain takes no mail, so no bounce comes back. Let it lead to the intake."
    ),
    "bounce_mx_none": _(
        "There is no mail server for this domain, so no bounce comes back. Publish an MX that leads to the intake."
    ),
    "bounce_mx_private": _("%(host)s has no public address, so no bounce comes back."),
    "bounce_mx_dns": _("DNS did not answer (%(at)s). Check again later."),
    # source addresses
    "ptr_ok": _("%(host)s, and that name leads back to the address."),
    "ptr_missing": _(
        "There is no PTR record. Ask whoever gave you the address to set one; Gmail refuses without."
    ),
    "ptr_unconfirmed": _(
        "The PTR names %(host)s, but that name does not lead back to the address. Publish its A or AAAA record."
    ),
    "ptr_generic": _("%(host)s looks like a customer's dial-up address. Ask for a name of your own."),
    "ptr_other": _("The PTR says %(host)s, but we greet as %(helo)s. Make them the same."),
    "ptr_private": _("A private address: receivers see the one it is translated to. Check that one's PTR."),
    "ptr_dns": _("DNS did not answer (%(at)s). Check again later."),
    "ptr_relay": _(
        "Mail leaves through the relay %(relay)s. Ask its operator whether its address has a PTR."
    ),
    "ptr_no_source": _(
        "No source IP is registered, so nothing can be checked. Register those mail goes out from."
    ),
    # this installation
    "tls_ok": _("Mail is encrypted on its way wherever the receiver offers it (STARTTLS)."),
    "tls_relay": _(
        "Mail to the relay is encrypted when it offers STARTTLS; from there it is the relay's task."
    ),
    "tls_never": _("Encryption is switched off for: %(rules)s. Gmail and others expect it."),
    "tls_relay_never": _("SMP_RELAY_STARTTLS=0: mail to the relay is not encrypted."),
    "one_click_ok": _(
        "Opt-out links begin with https, and advertising carries the one-click headers (RFC 8058)."
    ),
    "one_click_http": _(
        "SMP_BASE_URL is not https. Mail services offer the one-click button only for https addresses. Set up TLS."
    ),
    "one_click_private": _("SMP_BASE_URL (%(url)s) cannot be reached from outside, so nobody can opt out."),
}

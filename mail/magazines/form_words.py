"""The texts of a magazine's public pages that come with the product: {page: {part: text}}, parts in the order of the page.
mail/magazines/form_texts.py says which of them a magazine replaced."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

_STILL_ON_ITS_WAY = _(
    "Mails that were handed over for delivery before this moment may still arrive. They cannot be called back."
)
_NOT_DONE = _("It is not done yet.")

STANDARD: dict[str, dict[str, Promise]] = {
    "register": {
        "title": _("Register for the mail magazine"),
        "body": _("Enter the address at which you want to read it."),
        "consent": _(
            "By registering you agree to get this mail magazine, which may contain advertising. You can leave at any time."
        ),
        "button": _("Go on to check"),
    },
    "register_confirm": {
        "title": _("Check your registration"),
        "warning": _NOT_DONE,
        "body": _("Look over your entries, and press the button."),
        "button": pgettext_lazy("magazine", "Register"),
    },
    "register_sent": {
        "title": _("We sent you a mail to confirm"),
        "warning": _NOT_DONE,
        "body": _(
            "Open the link in the mail within 48 hours, and complete your registration there.\n\n"
            "No mail? Check the address you entered and your spam folder. If you asked several times, one mail is sent."
        ),
    },
    "register_accepted": {
        "title": _("We accepted your registration"),
        "body": _(
            "Thank you. We send you the magazine from the next issue on.\n\n"
            "If you had left it before, we send you a mail: open its link to complete your registration."
        ),
    },
    "prove": {
        "title": _("Complete your registration"),
        "warning": _NOT_DONE,
        "body": _("Press the button, and we will send you this mail magazine."),
        "button": _("Complete the registration"),
    },
    "registered": {
        "title": _("Your registration is complete"),
        "body": _("Thank you. We send you the magazine from the next issue on."),
    },
    "closed": {
        "title": _("No registrations at the moment"),
        "body": _("This mail magazine takes no new readers now. Thank you for your interest."),
    },
    "leave": {
        "title": _("Leave the mail magazine"),
        "body": _("Enter the address at which you get it."),
        "button": _("Go on to check"),
    },
    "leave_confirm": {
        "title": _("Check before you leave"),
        "warning": _NOT_DONE,
        "body": _("Delivery goes on until you press the button."),
        "button": pgettext_lazy("magazine", "Leave"),
    },
    "opt_out": {
        "title": _("Stop mails"),
        "warning": _NOT_DONE,
        "body": _("Choose what you want to stop, and press the button."),
        "button": pgettext_lazy("magazine", "Stop delivery"),
    },
    "one_click": {
        "title": _("Stop the mail magazine"),
        "warning": _NOT_DONE,
        "body": _("Press the button, and we will send you this mail magazine no more."),
        "button": pgettext_lazy("magazine", "Stop delivery"),
    },
    "left": {
        "title": _("We accepted it: delivery is stopped"),
        "body": _STILL_ON_ITS_WAY,
    },
}

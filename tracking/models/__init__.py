"""Hits and page views. One file per noun; import them from here."""

from tracking.models.mail_hit import HitKind, MailHit, Verdict
from tracking.models.page_view import Identification, IdentifiedBy, PageView, TrackedSite, Visitor
from tracking.models.refused_hit import RefusedHit

__all__ = [
    "HitKind",
    "Identification",
    "IdentifiedBy",
    "MailHit",
    "PageView",
    "RefusedHit",
    "TrackedSite",
    "Verdict",
    "Visitor",
]

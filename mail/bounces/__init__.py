"""Mail that comes back: signed address → delivery, report → result."""

from mail.bounces.receive import Received, receive

__all__ = ["Received", "receive"]

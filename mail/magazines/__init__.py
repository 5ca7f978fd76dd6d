"""Magazines and their readers (SPEC section MAG): who reads what, in which state, and why. No sending: mail/stories/."""

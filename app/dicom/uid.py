"""Unique identifiers as they occur in objects and URLs (PS3.5 §9.1)."""

import re

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_LONGEST = 64


def is_uid(text: str) -> bool:
    """Tell whether a text can be a UID; components with leading zeros, seen in the wild, pass."""
    return len(text) <= _LONGEST and _UID.fullmatch(text) is not None

"""Attribute tags as DICOM JSON and the Native DICOM Model spell them (PS3.18 §F.2.2)."""

import re

_TAG = re.compile(r"[0-9A-F]{8}")


def is_tag(text: str) -> bool:
    """Tell whether a text is a tag: eight hex digits, letters in upper case."""
    return _TAG.fullmatch(text) is not None

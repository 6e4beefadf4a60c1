"""Content-Type and Accept values, read leniently (RFC 9110 §8.3, RFC 2045 §5.1)."""

import re

_PARAMETER = re.compile(r';\s*([^=;\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))')
_ESCAPED = re.compile(r"\\(.)")
_LIST_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')


def parse_content_type(value: str) -> tuple[str, dict[str, str]]:
    """Return the media type and the parameters, names in lower case; of a repeated one the first counts."""
    media_type, _, _ = value.partition(";")
    parameters: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(value):
        text = _ESCAPED.sub(r"\1", quoted) if quoted else token.strip()
        parameters.setdefault(name.lower(), text)
    return media_type.strip().lower(), parameters


def split_list(value: str) -> list[str]:
    """Return the items of a comma-separated list; a comma within quotes separates nothing."""
    items = (item.strip() for item in _LIST_ITEM.findall(value))
    return [item for item in items if item]

"""Rows of a search as CSV (RFC 4180), for spreadsheets and data frames.

One column an attribute, named by its keyword; a path through sequences has dots. Several values are
separated by a backslash, as DICOM does; a sequence that is wanted whole is JSON. A cell that a spreadsheet
would take for a formula begins with an apostrophe instead: what is in a data set was written by others.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from pydicom.datadict import keyword_for_tag

from app.dicom.attribute_path import AttributePath, is_private, step_in
from app.dicom.instance import BASE_URL_MARK

# the signs that begin a formula, their full-width forms too
_FORMULA = re.compile("\\s*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\\{_NUMBER})*", re.ASCII)
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_NAMES_KNOWN = 4096


class _Lines(list[str]):
    """What `csv` writes to."""

    write = list.append


def csv_chunks(
    groups: Iterable[Sequence[Mapping[str, Any]]], columns: Sequence[AttributePath], base: str
) -> Iterator[bytes]:
    """Yield a head, then a chunk for each group of rows; URLs in them begin with `base`."""
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow([_safe(column_name(path)) for path in columns])
    for rows in groups:
        writer.writerows([_cell(row, path, base) for path in columns] for row in rows)
        yield "".join(lines).encode()
        lines.clear()
    if lines:
        yield "".join(lines).encode()


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[AttributePath]:
    """Return a column for every attribute that some row has."""
    return [(step,) for step in sorted({step_in(row, tag) for row in rows for tag in row})]


@lru_cache(maxsize=_NAMES_KNOWN)
def column_name(path: AttributePath) -> str:
    """Return keywords, or tags of what has none."""
    return ".".join(
        (not is_private(step) and keyword_for_tag(int(step, 16))) or step for step in path
    )


def _cell(row: Mapping[str, Any], path: AttributePath, base: str) -> str:
    return _safe("\\".join(_texts(row, path, base)))


def _texts(dataset: Mapping[str, Any], path: AttributePath, base: str) -> Iterator[str]:
    """Yield the values of an attribute, of each item that has it."""
    element = _element(dataset, path[0])
    if element is None:
        return
    values = element.get("Value", ())
    if len(path) > 1:
        for item in values:
            yield from _texts(item, path[1:], base)
    elif element["vr"] == "SQ":
        yield orjson.dumps(values).decode() if values else ""
    elif "BulkDataURI" in element:
        yield _resolved(element["BulkDataURI"], base)
    elif "InlineBinary" in element:
        yield element["InlineBinary"]
    else:
        yield from (_resolved(_text(value), base) for value in values)


def _element(dataset: Mapping[str, Any], step: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = dataset.get(step)
    if found is None and is_private(step):
        tags = (tag for tag in dataset if is_private(tag) and step_in(dataset, tag) == step)
        found = next((dataset[tag] for tag in tags), None)
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):  # a person name
        return "=".join(value.get(group, "") for group in _GROUPS).rstrip("=")
    return "" if value is None else str(value)


def _resolved(text: str, base: str) -> str:
    return base + text.removeprefix(BASE_URL_MARK) if text.startswith(BASE_URL_MARK) else text


def _safe(text: str) -> str:
    """Return a cell that no spreadsheet calculates."""
    if _FORMULA.match(text) and not _NUMBERS.fullmatch(text):
        return f"'{text}"
    return text

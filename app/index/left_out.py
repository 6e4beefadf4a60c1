"""What the index lacks of the attributes that a query asks for, so that the client can be told.

An instance names the attributes with values that were not indexed (`app.index.tokens`). Who stores it hears of
those. For a query's keys they are counted beside the search itself, in one request with it, and each becomes
the text of a Warning.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.dicom.attribute_path import AttributePath, dotted, is_private, shown
from app.dicom.instance import NOT_SEARCHED, Finding
from app.dicom.match_keys import Key
from app.dicom.qido_grammar import Level
from app.index.clauses import filters_of, sequences_told_apart
from app.index.key_clause import Clause
from app.index.levels import level_of
from app.index.tokens import NOT_NAMED, SEVERAL

# no other value of an attribute of patient, study or series comes near a limit
_LONG_VRS = frozenset({"LT", "ST", "UC", "UN", "UR", "UT"})
# without a valid one nothing is stored
_ALWAYS_VALID = frozenset({"00080016", "00080018"})  # SOPClassUID, SOPInstanceUID
_MOST_TOLD = 8  # attributes in one answer's warnings: a header has little room
_ITEM_NUMBER = re.compile(r"\.\d{1,7}(?=\.)")
_PLURAL = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}


def left_out_findings(document: Mapping[str, Any], known: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return what the sender of an instance should hear of its document, besides what is known already."""
    told = {_ITEM_NUMBER.sub("", finding.tag) for finding in known}
    return tuple(
        Finding(name, "Not all of it can be searched for.", NOT_SEARCHED)
        for name in map(_shown, document.get("not_indexed", ()))
        if name not in told
    )


def left_out_body(
    keys: Sequence[Key], scope: Sequence[Clause], *, value_bytes: int
) -> dict[str, Any] | None:
    """Return the search that counts what the index lacks for these keys; None if it can lack nothing.

    Counted are documents within `scope` that meet the keys of which the index lacks nothing: no other one could
    be missing from the answer.
    """
    names = _names(keys)
    if not names:
        return None
    certain = [key for key in keys if dotted(key.path) not in names and len(key.path) == 1]
    scope = [*scope, *filters_of(certain, value_bytes=value_bytes)]
    each = {name: lacks([name, NOT_NAMED]) for name in names}
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [*scope, lacks([*names, NOT_NAMED])]}},
        "aggs": {"left_out": {"filters": {"filters": each}}},
    }


def left_out_warnings(
    keys: Sequence[Key], level: Level, response: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the texts of Warning: 299 that the response to `left_out_body` makes necessary."""
    counts = response["aggregations"]["left_out"]["buckets"]
    texts = [
        _text(path, apart, counts[name]["doc_count"], _PLURAL[level])
        for name, (path, apart) in _names(keys).items()
        if counts[name]["doc_count"]
    ]
    return tuple(texts[:_MOST_TOLD])


def _shown(name: str) -> str:
    return "others" if name == NOT_NAMED else shown((name.removesuffix(SEVERAL),))


def _names(keys: Sequence[Key]) -> dict[str, tuple[AttributePath, bool]]:
    """Return what instances would name: attributes, and sequences whose items are to be told apart."""
    names = {dotted(key.path): (key.path, False) for key in keys if _may_exceed(key)}
    sequences = sequences_told_apart(keys)
    return names | {dotted(path) + SEVERAL: (path, True) for path in sequences}


def _may_exceed(key: Key) -> bool:
    top = key.path[0]
    return (
        len(key.path) > 1
        or key.vr in _LONG_VRS
        or is_private(top)
        or (level_of(top) is Level.INSTANCE and top not in _ALWAYS_VALID)
    )


def lacks(names: Iterable[str]) -> Clause:
    """Return the clause of the documents that name one of these as not indexed."""
    return {"terms": {"not_indexed": list(names)}}


def _text(path: AttributePath, apart: bool, count: int, documents: str) -> str:
    if apart:
        return (
            f"The items of {shown(path)} are not told apart in {count} {documents}, which have too many: "
            "the match keys in it may be met by different items"
        )
    return (
        f"The attribute {shown(path)} is not wholly searched: {count} {documents} have values of it "
        "that exceed a limit of the index or are not valid"
    )

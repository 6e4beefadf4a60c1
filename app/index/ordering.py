"""The order of an answer: newest studies first, or by the attributes that `orderby` names.

Strategy: a document has one key, `order`, which sorts newest studies first and is total. What else it can be
sorted and counted by stands in `values`, one field for any number of attributes (`flattened`, of which only
columns are kept): tag → its values, in the form in which they are compared and sort. Documents of studies and
series have all their attributes there; those of instances, of which there are many, what `levels.toml` lists.
Whatever is sorted by, `order` decides between equals, so that every order is total.
"""

from collections.abc import Container, Iterable
from typing import Any

from app.dicom.attribute_path import vr_of
from app.dicom.qido_grammar import Level, Query
from app.dicom.qido_ordering import OrderKey
from app.errors import BadQuery
from app.index.comparable import NAME, NUMBER, TEMPORAL, TEXT
from app.index.levels import COMPUTED, columns_of_instances, tags_of

VALUES = "values"
ORDER = "order"
NEWEST = "newest"  # what `order` begins with, as a number
LONGEST = 128  # characters by which values are told apart
MOST = 16  # values of one attribute
_TAG = 8  # characters before the form of a value that is not nested
_COMPARED = frozenset({TEXT, NAME, NUMBER, *TEMPORAL.values()})
_UNSORTED_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})

Sort = list[dict[str, Any]]


def column_values(tokens: Iterable[str], tags: Container[str]) -> dict[str, list[str]]:
    """Return tag → what a document with these tokens is sorted and counted by; of a name its first group."""
    found: dict[str, list[str]] = {}
    for token in tokens:
        tag, mark = token[:_TAG], token[_TAG : _TAG + 1]
        if mark not in _COMPARED or tag not in tags:
            continue
        column = found.setdefault(tag, [])
        if len(column) < (1 if mark == NAME else MOST):
            column.append(token[_TAG : _TAG + LONGEST])
    return found


def sort_of(query: Query) -> Sort:
    """Return the sort of a search. Raises BadQuery for what entries of the level are not sorted by."""
    wanted: Sort = []
    for key in query.orderby:
        if not is_column(query.level, key.tag):
            raise BadQuery(f"The parameter orderby cannot sort by {key.tag} here.")
        wanted.append({f"{VALUES}.{key.tag}": {"order": direction(key), "missing": "_last"}})
    return [*wanted, {ORDER: "asc"}]


def direction(key: OrderKey) -> str:
    """Return how Elasticsearch names the direction."""
    return "desc" if key.descending else "asc"


def is_column(level: Level, tag: str) -> bool:
    """Tell whether documents of a level can be sorted and counted by an attribute."""
    if tag in COMPUTED:
        return COMPUTED[tag] is level
    if level is Level.INSTANCE:
        return tag in columns_of_instances()
    return tag in tags_of(level) and vr_of(tag) not in _UNSORTED_VRS

"""Documents that were found, as rows of a search's answer (PS3.18 §10.6.3, Table 10.6.3-3 and following).

A row has the level's default attributes, those of the levels above where the URL does not name them, the
attributes that were matched, and those that `includefield` asks for; a sequence is cut down to the
attributes that are asked for, unless it is asked for itself. What is counted of a level above
(ModalitiesInStudy, NumberOfStudyRelatedInstances …) comes from that level's own documents, given beside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from app.dicom.attribute_path import AttributePath, creator_tag, is_private, step_in
from app.dicom.instance import BASE_URL_MARK
from app.dicom.qido_grammar import Level, Query
from app.index.documents import read_metadata
from app.index.levels import COMPUTED, returned, returned_empty

AVAILABILITY, RETRIEVE_URL = "00080056", "00081190"
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_UPWARDS = (Level.SERIES, Level.STUDY)
_PLACES = {
    Level.STUDY: (("studies", _STUDY_UID),),
    Level.SERIES: (("studies", _STUDY_UID), ("series", _SERIES_UID)),
    Level.INSTANCE: (
        ("studies", _STUDY_UID),
        ("series", _SERIES_UID),
        ("instances", _INSTANCE_UID),
    ),
}

WHOLE = ""  # in a tree of wanted attributes: the attribute itself is wanted
_PRIVATE = "private"  # the same: some of these are, and have to be looked for

Tree = dict[str, "Tree"]
Row = dict[str, Any]
# for each document found, in order, that of a higher level; None where it was deleted in this moment
Above = Mapping[Level, Sequence[Mapping[str, Any] | None]]


def answer(
    query: Query, sources: Iterable[Mapping[str, Any]], above: Above | None = None
) -> Iterator[Row]:
    """Yield the rows, in order."""
    wanted = wanted_of(query)
    counts = _Counts(above or {})
    empty = returned_empty() if Level.STUDY in _levels_shown(query) else {}
    for number, source in enumerate(sources):
        attributes = orjson.loads(read_metadata(source))
        counts.put_into(query.level, attributes, number)
        row = attributes.copy() if wanted is None else selected(attributes, wanted)
        for tag, vr in empty.items():
            if tag not in row:
                row[tag] = {"vr": vr}
        row[AVAILABILITY] = {"vr": "CS", "Value": ["ONLINE"]}
        row[RETRIEVE_URL] = {"vr": "UR", "Value": [_retrieve_url(query.level, attributes)]}
        yield dict(sorted(row.items()))


def levels_above(query: Query) -> tuple[Level, ...]:
    """Return the levels above whose documents the rows take counts from."""
    if query.include_all:
        wanted: Iterable[str] = COMPUTED
    else:
        wanted = (wanted_of(query) or {}).keys() & COMPUTED.keys()
    needed = {COMPUTED[tag] for tag in wanted}
    higher = _UPWARDS[1:] if query.level is Level.SERIES else _UPWARDS
    return () if query.level is Level.STUDY else tuple(each for each in higher if each in needed)


def wanted_of(query: Query) -> Tree | None:
    """Return the attributes that rows have, as a tree of steps; None for all."""
    if query.include_all:
        return None
    tree: Tree = {}
    defaults = [path for level in _levels_shown(query) for path in returned(level)]
    uids = [(_STUDY_UID,), (_SERIES_UID,)][: 1 if query.level is Level.STUDY else 2]
    for path in (*defaults, *uids, *(key.path for key in query.keys), *query.include):
        _plant(tree, path)
    return tree


def columns_of_rows(query: Query) -> list[AttributePath] | None:
    """Return the paths of what rows have, ascending; None where that is up to each row."""
    tree = wanted_of(query)
    if tree is None:
        return None
    return sorted({*paths_of(tree), (AVAILABILITY,), (RETRIEVE_URL,)})


def paths_of(tree: Tree, before: AttributePath = ()) -> Iterator[AttributePath]:
    """Yield the paths of a tree, those that are wanted whole, ascending."""
    for step, within in sorted(tree.items()):
        if WHOLE in within:
            yield (*before, step)
        elif within:
            yield from paths_of(within, (*before, step))


class _Counts:
    """What is counted of the levels above, read once for each of their documents."""

    def __init__(self, above: Above) -> None:
        self._above = above
        self._read: dict[tuple[Level, int], Row] = {}

    def put_into(self, level: Level, attributes: Row, number: int) -> None:
        """Put counts as they are now among a document's attributes; an object's own mean nothing."""
        for tag, held in COMPUTED.items():
            if held is not level and tag in attributes:
                del attributes[tag]
        for higher, sources in self._above.items():
            source = sources[number]
            if source is not None:
                attributes |= self._of(higher, source)

    def _of(self, level: Level, source: Mapping[str, Any]) -> Row:
        known = self._read.get((level, id(source)))
        if known is None:
            found = orjson.loads(read_metadata(source))
            known = {
                tag: found[tag] for tag, held in COMPUTED.items() if held is level and tag in found
            }
            self._read[level, id(source)] = known
        return known


def _retrieve_url(level: Level, attributes: Row) -> str:
    steps = [f"/{name}/{attributes[tag]['Value'][0]}" for name, tag in _PLACES[level]]
    return BASE_URL_MARK + "".join(steps)


def _levels_shown(query: Query) -> list[Level]:
    """Return the level that is asked for, and those above that the URL leaves open."""
    shown = [query.level]
    if query.level is Level.INSTANCE and query.scope.series_instance_uid is None:
        shown.append(Level.SERIES)
    if query.level is not Level.STUDY and query.scope.study_instance_uid is None:
        shown.append(Level.STUDY)
    return shown


def _plant(tree: Tree, path: AttributePath) -> None:
    for step in path:
        if is_private(step):
            tree.setdefault(_PRIVATE, {})
        tree = tree.setdefault(step, {})
    tree.setdefault(WHOLE, {})


def selected(dataset: Mapping[str, Any], wanted: Tree) -> Row:
    """Return the wanted attributes of a data set; a private one with what reserves its block."""
    found: Row = {}
    for step, within in wanted.items():
        if step in dataset:
            found[step] = _cut_down(dataset[step], within)
    if _PRIVATE in wanted:
        _select_private(dataset, wanted, found)
    return found


def _select_private(dataset: Mapping[str, Any], wanted: Tree, found: Row) -> None:
    for tag, element in dataset.items():
        if not is_private(tag):
            continue
        within = wanted.get(step_in(dataset, tag))
        if within is None:
            continue
        if creator_tag(tag) in dataset:
            found[creator_tag(tag)] = dataset[creator_tag(tag)]
        found[tag] = _cut_down(element, within)


def _cut_down(element: Mapping[str, Any], wanted: Tree) -> Mapping[str, Any]:
    """Return a sequence with the wanted attributes of its items; anything else as it is."""
    if WHOLE in wanted or element["vr"] != "SQ" or "Value" not in element:
        return element
    return {"vr": "SQ", "Value": [selected(item, wanted) for item in element["Value"]]}

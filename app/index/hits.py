"""Documents that were found, as rows of a search's answer (PS3.18 §10.6.3, Table 10.6.3-3 and following).

A row has the level's default attributes, those of the levels above where the URL does not name them, the
attributes that were matched, and those that `includefield` asks for; a sequence is cut down to the
attributes that are asked for, unless it is asked for itself.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from app.dicom.attribute_path import AttributePath, creator_tag, is_private, step_in
from app.dicom.instance import BASE_URL_MARK
from app.dicom.qido_grammar import Level, Query
from app.index.documents import read_metadata
from app.index.levels import returned, returned_empty

_AVAILABILITY, _RETRIEVE_URL = "00080056", "00081190"
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"

_WHOLE = ""  # in a tree of wanted attributes: the attribute itself is wanted

Tree = dict[str, "Tree"]


def answer(query: Query, sources: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, in order."""
    wanted = None if query.include_all else _wanted(query)
    return [_row(query, orjson.loads(read_metadata(source)), wanted) for source in sources]


def _row(query: Query, attributes: Mapping[str, Any], wanted: Tree | None) -> dict[str, Any]:
    row = dict(attributes) if wanted is None else _selected(attributes, wanted)
    if Level.STUDY in _levels_shown(query):
        row = {**{tag: {"vr": vr} for tag, vr in returned_empty().items()}, **row}
    row[_AVAILABILITY] = {"vr": "CS", "Value": ["ONLINE"]}
    row[_RETRIEVE_URL] = {"vr": "UR", "Value": [_retrieve_url(query.level, attributes)]}
    return dict(sorted(row.items()))


def _retrieve_url(level: Level, attributes: Mapping[str, Any]) -> str:
    named = {Level.STUDY: 1, Level.SERIES: 2, Level.INSTANCE: 3}[level]
    parts = (("studies", _STUDY_UID), ("series", _SERIES_UID), ("instances", _INSTANCE_UID))
    path = "".join(f"/{name}/{attributes[tag]['Value'][0]}" for name, tag in parts[:named])
    return BASE_URL_MARK + path


def _levels_shown(query: Query) -> list[Level]:
    """Return the level that is asked for, and those above that the URL leaves open."""
    shown = [query.level]
    if query.level is Level.INSTANCE and query.scope.series_instance_uid is None:
        shown.append(Level.SERIES)
    if query.level is not Level.STUDY and query.scope.study_instance_uid is None:
        shown.append(Level.STUDY)
    return shown


def _wanted(query: Query) -> Tree:
    tree: Tree = {}
    defaults = [path for level in _levels_shown(query) for path in returned(level)]
    uids = [(_STUDY_UID,), (_SERIES_UID,)][: 1 if query.level is Level.STUDY else 2]
    for path in (*defaults, *uids, *(key.path for key in query.keys), *query.include):
        _plant(tree, path)
    return tree


def _plant(tree: Tree, path: AttributePath) -> None:
    for step in (*path, _WHOLE):
        tree = tree.setdefault(step, {})


def _selected(dataset: Mapping[str, Any], wanted: Tree) -> dict[str, Any]:
    """Return the wanted attributes of a data set; a private one with what reserves its block."""
    selected: dict[str, Any] = {}
    for tag, element in dataset.items():
        within = wanted.get(step_in(dataset, tag))
        if within is None:
            continue
        if is_private(tag) and creator_tag(tag) in dataset:
            selected[creator_tag(tag)] = dataset[creator_tag(tag)]
        if _WHOLE not in within and element["vr"] == "SQ" and "Value" in element:
            items = [_selected(item, within) for item in element["Value"]]
            selected[tag] = {"vr": "SQ", "Value": items}
        else:
            selected[tag] = element
    return selected

"""Clauses on tokens find what comparing value by value finds, whatever is stored and asked."""

import io
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RawDataStorage, generate_uid

from app.dicom.part10 import read_instance
from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.index.clauses import filters_of
from app.index.tokens import indexed_values
from app.limits import Limits
from tests.unit.index.evaluation import holds
from tests.unit.index.oracle import matches
from tests.unit.index.random_archive import element, flags, instance, keys, together, uid

LIMITS = Limits()


def document(attributes: dict[str, Any]) -> dict[str, Any]:
    values = indexed_values(attributes, LIMITS)
    return {"tokens": values.tokens, "items": [{"tokens": item} for item in values.items]}


def finds(query: Query, attributes: dict[str, Any]) -> bool:
    clauses = filters_of(query.keys, value_bytes=LIMITS.index_value_bytes)
    made = document(attributes)
    return all(holds(clause, made) for clause in clauses)


def asked(rng: random.Random) -> Query:
    merged = together(rng.sample(keys(rng), rng.choice([1, 1, 2, 3])))
    turned_on = {"emptyvaluematching": "true"} | dict(flags(rng))
    return parse_query(Level.INSTANCE, Scope(), list((turned_on | merged).items()), LIMITS)


@given(st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_query_agrees_with_comparing_every_value(rng: random.Random) -> None:
    """PS3.4 §C.2.2.2: every kind of matching, on data sets and queries of every kind."""
    attributes = instance(rng, uid(rng), uid(rng), 1).record.attributes
    query = asked(rng)

    assert finds(query, dict(attributes)) == matches(attributes, query.keys), query.keys


def test_random_queries_find_something_often_enough_to_tell() -> None:
    """The generator is no good if what it asks for is never there, in any of the kinds of matching."""
    hits: Counter[str] = Counter()
    for seed in range(600):
        rng = random.Random(seed)
        attributes = instance(rng, uid(rng), uid(rng), 1).record.attributes
        query = asked(rng)
        found = finds(query, dict(attributes))
        assert found == matches(attributes, query.keys), seed
        hits.update({type(key.matching).__name__ for key in query.keys} if found else ())

    kinds = ("AnyOf", "Wildcard", "Fuzzy", "Numbers", "Times", "DateAndTime", "Empty", "Either")
    assert {kind: hits[kind] for kind in kinds if not hits[kind]} == {}


@pytest.mark.parametrize(
    ("character_set", "name", "asked_for"),
    [
        ("ISO_IR 100", "Müller^Jürgen", ["müller*", "MULLER^JURGEN", "~mueller juergen"]),
        ("ISO_IR 144", "Иванов^Иван", ["иванов*", "~ivan ivanov"]),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东", ["*=王^小东", "王*", "~wang"]),
        ("GB18030", "Wang^XiaoDong=王^小东", ["*=王^小东", "~xiaodong"]),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", ["山田*", "~taro yamada"]),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", ["홍^길동", "*=洪*", "~gil"]),
    ],
)
def test_name_in_any_character_set_is_found_by_utf_8(
    character_set: str | list[str], name: str, asked_for: list[str]
) -> None:
    """PS3.3 §C.12.1.1.2; a `~` here turns fuzzy matching on."""
    made = Dataset()
    made.SpecificCharacterSet = character_set
    made.SOPClassUID, made.SOPInstanceUID = RawDataStorage, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.PatientName = "P", name
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    attributes = dict(read_instance(file.getvalue(), LIMITS).attributes)

    for each in asked_for:
        fuzzy = str(each.startswith("~")).lower()
        parameters = [("PatientName", each.lstrip("~")), ("fuzzymatching", fuzzy)]
        assert finds(parse_query(Level.INSTANCE, Scope(), parameters, LIMITS), attributes), each


def test_branches_of_keys_are_met_within_one_outer_item() -> None:
    """PS3.4 §C.2.2.2.6: two codes of one content item, one of them with several items of its own."""
    parameters = [
        ("00400275.00081032.00080100", "X"),
        ("00400275.00400008.00400009", "A"),
        ("00400275.00400008.00401001", "1"),
    ]
    query = parse_query(Level.INSTANCE, Scope(), parameters, LIMITS)
    code = {"00081032": {"vr": "SQ", "Value": [{"00080100": element("SH", "X")}]}}
    one = {"00400009": element("SH", "A")}
    other = {"00401001": element("SH", "1")}
    apart, whole = [one, other], [one | other, {}]

    same = {"vr": "SQ", "Value": [code | {"00400008": {"vr": "SQ", "Value": whole}}, {}]}
    different = {
        "vr": "SQ",
        "Value": [
            code | {"00400008": {"vr": "SQ", "Value": apart}},
            {"00400008": {"vr": "SQ", "Value": whole}},
        ],
    }

    assert finds(query, {"00400275": same})
    assert not finds(query, {"00400275": different})

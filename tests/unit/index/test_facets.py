"""Counting values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.qido_grammar import Level, Query, Scope, parse_query
from app.dicom.qido_ordering import Attribute, parse_attributes
from app.errors import BadQuery
from app.index.comparable import ordered_number
from app.index.facets import Facets, _number, facet_steps
from app.index.packing import pack_json
from app.index.query import PAGE
from app.index.steps import Request
from app.limits import Limits

LIMITS = Limits()


def query(level: Level, *parameters: tuple[str, str]) -> Query:
    return parse_query(level, Scope(), parameters, LIMITS)


def by(*names: str, creators: tuple[tuple[str, str], ...] = ()) -> tuple[Attribute, ...]:
    return parse_attributes(names, creators, LIMITS.facet_attributes)


def carried_out(
    asked: Query, attributes: tuple[Attribute, ...], *responses: dict[str, Any]
) -> tuple[Facets, list[Request]]:
    """Return the facets that these responses make, and what was asked for."""
    steps = facet_steps(asked, attributes, LIMITS)
    seen = [next(steps)]
    try:
        for response in responses:
            step = steps.send((response, None))
            seen.append(step)
    except StopIteration as done:
        return done.value, seen
    raise AssertionError(f"still asks for {seen[-1]}")


def total(number: int, **aggregations: Any) -> dict[str, Any]:
    return {"hits": {"total": {"value": number}, "hits": []}, "aggregations": aggregations}


def column(missing: int = 0, **counts: int) -> dict[str, Any]:
    buckets = [{"key": f"={key}", "doc_count": count} for key, count in counts.items()]
    return {"values": {"buckets": buckets}, "missing": {"doc_count": missing}}


def columns(number: int, **each: dict[str, Any]) -> dict[str, Any]:
    return total(
        number,
        **{f"{kind}_{tag[1:]}": found[kind] for tag, found in each.items() for kind in found},
    )


def pairs(*found: tuple[str, str]) -> dict[str, Any]:
    buckets = [{"key": {"uid": uid, "value": value}} for uid, value in found]
    return {"aggregations": {"pairs": {"buckets": buckets, "after_key": {"uid": "x"}}}}


def uids(*found: str) -> dict[str, Any]:
    return {"aggregations": {"uids": {"buckets": [{"key": {"uid": uid}} for uid in found]}}}


def documents(number: int, *attributes: dict[str, Any]) -> dict[str, Any]:
    hits = [
        {
            "sort": [str(n)],
            "_source": {
                "metadata": pack_json(each),
                "study_instance_uid": f"1.{n % 2}",
                "sop_instance_uid": f"1.{n % 2}.{n}",
            },
        }
        for n, each in enumerate(attributes)
    ]
    return {"hits": {"total": {"value": number}, "hits": hits}}


def test_values_come_most_frequent_first_with_what_is_left() -> None:
    """A column is counted in one request."""
    response = columns(10, _00080060=column(2, CT=2, MR=5, US=1))

    found, seen = carried_out(query(Level.SERIES, ("limit", "2")), by("Modality"), response)

    (facet,) = found.facets
    assert found.total == 10
    assert facet.values == (("MR", 5), ("CT", 2))
    assert (facet.further, facet.missing) == (1, 2)
    assert len(seen) == 1


def test_modalities_of_studies_are_those_that_their_documents_count() -> None:
    response = columns(10, _00080061=column(CT=4), _00080062=column(X=1))

    found, seen = carried_out(query(Level.STUDY), by("Modality,SOPClassUID"), response)

    assert [facet.values for facet in found.facets] == [(("CT", 4),), (("X", 1),)]
    assert [facet.attribute.path for facet in found.facets] == [("00080060",), ("00080016",)]
    assert [step.index for step in seen] == ["studies"]


def test_study_counts_once_for_each_value_of_its_series() -> None:
    found, seen = carried_out(
        query(Level.STUDY, ("PatientID", "P")),
        by("Manufacturer"),
        total(4),
        uids("1.1", "1.2", "1.3"),
        pairs(("1.1", "=A"), ("1.1", "=B"), ("1.2", "=A")),
    )

    assert found.facets[0].values == (("A", 2), ("B", 1))
    assert found.facets[0].missing == 2
    assert [step.index for step in seen] == ["studies", "studies", "series"]
    filters = seen[-1].body["query"]["bool"]["filter"]
    assert filters == [{"terms": {"study_instance_uid": ["1.1", "1.2", "1.3"]}}]


def test_pairs_of_more_than_one_response_are_counted_together() -> None:
    first = pairs(*((f"1.{n}", "=A") for n in range(PAGE)))

    found, seen = carried_out(
        query(Level.STUDY), by("Manufacturer"), total(PAGE), first, pairs((f"1.{PAGE - 1}", "=B"))
    )

    assert found.facets[0].values == (("A", PAGE), ("B", 1))
    assert found.facets[0].missing == 0
    assert seen[-1].body["aggs"]["pairs"]["composite"]["after"] == {"uid": "x"}


def test_attribute_that_is_no_column_is_read_from_the_documents() -> None:
    kvp = {"00180060": {"vr": "DS", "Value": [120]}}
    response = documents(3, kvp, kvp, {})

    found, seen = carried_out(query(Level.INSTANCE), by("KVP"), total(3), response)

    assert found.facets[0].values == ((120, 2),)
    assert found.facets[0].missing == 1
    assert seen[-1].index == "instances"


def test_nested_and_private_attributes_count_in_every_item() -> None:
    item = {"00080100": {"vr": "SH", "Value": ["T-1"]}}
    other = {"00080100": {"vr": "SH", "Value": ["T-2"]}}
    private = {
        "00190011": {"vr": "LO", "Value": ["ACME"]},
        "00191101": {"vr": "LO", "Value": ["x"]},
        "00082218": {"vr": "SQ", "Value": [item, other, item]},
    }
    asked = by("AnatomicRegionSequence.CodeValue", "00191001", creators=(("00190010", "ACME"),))
    response = documents(2, private, private)

    found, _ = carried_out(query(Level.INSTANCE), asked, total(2), response, response)

    assert [facet.values for facet in found.facets] == [(("T-1", 2), ("T-2", 2)), (("x", 2),)]


def test_study_counts_once_for_each_value_of_its_instances() -> None:
    kvp = {"00180060": {"vr": "DS", "Value": [120]}}
    response = documents(3, kvp, kvp, kvp)  # of two studies

    found, _ = carried_out(query(Level.STUDY), by("KVP"), total(2), response)

    assert found.facets[0].values == ((120, 2),)


def test_more_documents_than_the_limit_are_not_looked_at() -> None:
    with pytest.raises(BadQuery, match=f"00180060.*{LIMITS.facet_documents}"):
        carried_out(
            query(Level.INSTANCE), by("KVP"), total(1), documents(LIMITS.facet_documents + 1)
        )


def test_every_page_of_documents_is_looked_at() -> None:
    kvp = {"00180060": {"vr": "DS", "Value": [120]}}
    full = documents(1001, *([kvp] * 1000))

    found, seen = carried_out(query(Level.INSTANCE), by("KVP"), total(1001), full, documents(0, {}))

    assert found.facets[0].values == ((120, 1000),)
    assert seen[-1].body["search_after"] == ["999"]


def test_facets_are_told_in_the_order_they_were_asked_for() -> None:
    response = columns(1, _00080020=column(x=1), _00100010=column(y=1))

    found, _ = carried_out(query(Level.STUDY), by("StudyDate,PatientName,StudyDate"), response)

    assert [facet.values for facet in found.facets] == [(("x", 1),), (("y", 1),)]


def test_facets_of_nothing_are_empty() -> None:
    asked = query(Level.STUDY, ("KVP", "120"))

    found, seen = carried_out(asked, by("Modality"), uids())

    assert (found.total, found.facets[0].values, len(seen)) == (0, (), 1)


def test_private_attribute_is_named_with_its_creator() -> None:
    (attribute,) = by("00191001", creators=(("00190010", "ACME"),))

    assert attribute.path == ('0019"ACME"01',)
    with pytest.raises(BadQuery, match="00190010"):
        by("00191001")


def test_attribute_with_too_many_values_is_refused() -> None:
    many = column(**{f"v{number}": 1 for number in range(LIMITS.facet_values + 1)})

    with pytest.raises(BadQuery, match=f"00100020.*{LIMITS.facet_values}"):
        carried_out(query(Level.STUDY), by("PatientID"), columns(9, _00100020=many))


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (Level.SERIES, "NumberOfStudyRelatedInstances"),
        (Level.INSTANCE, "ModalitiesInStudy"),
        (Level.STUDY, "PixelData"),
        (Level.STUDY, "RequestAttributesSequence"),
    ],
)
def test_what_cannot_be_counted_is_refused(level: Level, name: str) -> None:
    with pytest.raises(BadQuery, match="by"):
        next(facet_steps(query(level), by(name), LIMITS))


@pytest.mark.parametrize("names", [(), ("",), (" , ",)])
def test_by_is_needed(names: tuple[str, ...]) -> None:
    with pytest.raises(BadQuery, match="by"):
        by(*names)


def test_by_has_a_limit() -> None:
    with pytest.raises(BadQuery, match=str(LIMITS.facet_attributes)):
        by(*(f"0010{number:04X}" for number in range(0x1000, 0x1001 + LIMITS.facet_attributes)))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_back(number: float) -> None:
    assert _number(ordered_number(number)) == number

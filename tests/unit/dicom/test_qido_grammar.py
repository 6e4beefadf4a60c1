"""The query string of a search, understood as clients write it (PS3.18 §8.3.4)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.attribute_matching import (
    AllOf,
    AnyOf,
    Either,
    Empty,
    Fuzzy,
    Matching,
    Universal,
    Wildcard,
)
from app.dicom.qido_grammar import Level, Query, Scope, parse_query, scope_keys
from app.dicom.range_matching import DateAndTime, Numbers, Times
from app.errors import BadQuery
from app.limits import Limits

LIMITS = Limits()


def parse(*parameters: tuple[str, str], level: Level = Level.STUDY) -> Query:
    return parse_query(level, Scope(), parameters, LIMITS)


def matching(name: str, value: str, *flags: str) -> Matching:
    (key,) = parse((name, value), *((flag, "true") for flag in flags)).keys
    return key.matching


@pytest.mark.parametrize("name", ["PatientName", "patientname", "00100010"])
def test_attribute_by_keyword_or_tag_is_the_same_key(name: str) -> None:
    (key,) = parse((name, "Doe")).keys

    assert key.path == ("00100010",)
    assert key.vr == "PN"
    assert key.matching == AnyOf(("Doe",))


def test_hex_tag_in_lower_case_is_understood() -> None:
    (key,) = parse(("0008103e", "x")).keys

    assert key.path == ("0008103E",)


def test_sequence_path_of_keywords_and_tags_is_understood() -> None:
    (key,) = parse(("RequestAttributesSequence.00400009", "x")).keys

    assert key.path == ("00400275", "00400009")
    assert key.vr == "SH"


def test_path_through_something_else_than_a_sequence_is_refused() -> None:
    with pytest.raises(BadQuery, match="not a sequence"):
        parse(("PatientID.00400009", "x"))


@pytest.mark.parametrize("name", ["NoSuchKeyword", "PatientID.Foo", "00400275.xyz"])
def test_name_that_looks_like_an_attribute_but_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadQuery, match="dictionary"):
        parse((name, "x"))


def test_tag_that_the_dictionary_lacks_is_a_key_of_unknown_vr() -> None:
    (key,) = parse(("00109999", "x")).keys

    assert key.vr == "UN"


def test_file_meta_attribute_is_refused() -> None:
    with pytest.raises(BadQuery, match="data set"):
        parse(("TransferSyntaxUID", "1.2"))


def test_other_parameters_are_ignored_with_a_warning() -> None:
    query = parse(("unheardOf", "StudyDate"), ("_dc", "1"), ("accept", "application/json"))

    assert query.keys == ()
    assert [("unheardOf" in warning, "_dc" in warning) for warning in query.warnings] == [
        (True, False),
        (False, True),
    ]


def test_warning_holds_only_plain_characters_of_an_ignored_name() -> None:
    (warning,) = parse(('x"\r\n<b>' + "y" * 500, "1")).warnings

    assert not set('"\r\n<>') & set(warning)
    assert len(warning) < 200


def test_attribute_named_twice_in_any_spelling_is_refused_without_its_value() -> None:
    with pytest.raises(BadQuery) as caught:
        parse(("PatientID", "secret"), ("00100020", "secret"))

    assert "00100020" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StudyDate", "20201301"),
        ("StudyDate", "20200231"),
        ("StudyDate", "20200201-20201331"),
        ("StudyDate", "2020-01-01"),
        ("StudyDate", "20200102-20200101"),
        ("StudyDate", "-"),
        ("StudyDate", "20200101-x"),
        ("StudyTime", "2500"),
        ("StudyTime", "1000-0900"),
        ("AcquisitionDateTime", "20200101+9900"),
        ("SliceThickness", "thin"),
        ("SliceThickness", "5-1"),
        ("StudyInstanceUID", "1.2.x"),
        ("StudyInstanceUID", "1." * 40 + "1"),
        ("Modality", "C*,MR"),
        ("FrameIncrementPointer", "0018"),
        ("RequestAttributesSequence", "x"),
        ("PixelData", "x"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("offset", "1.5"),
        ("offset", "²"),
        ("fuzzymatching", "yes"),
    ],
)
def test_value_that_is_not_valid_is_refused_by_name_not_value(name: str, value: str) -> None:
    with pytest.raises(BadQuery) as caught:
        parse((name, value))

    assert value not in caught.value.message.split()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("StudyDate", "20200101", Times("20200101", "20200101")),
        ("StudyDate", "2020.01.01", Times("20200101", "20200101")),
        # clients end any month with day 31
        ("StudyDate", "20200201-20200231", Times("20200201", "20200231")),
        ("StudyDate", "20200101-", Times("20200101", None)),
        ("StudyDate", "-20200101", Times(None, "20200101")),
        ("StudyDate", "20200101 - 20200102", Times("20200101", "20200102")),
        ("StudyTime", "10", Times("100000000000", "105959999999")),
        ("StudyTime", "1030-1045", Times("103000000000", "104559999999")),
        ("StudyTime", "103000.5", Times("103000500000", "103000599999")),
        ("AcquisitionDateTime", "2020", Times("20200101" + "0" * 12, "20201231235959999999")),
        ("AcquisitionDateTime", "202002", Times("20200201" + "0" * 12, "20200229235959999999")),
        ("AcquisitionDateTime", "2019-2020", Times("20190101" + "0" * 12, "20201231235959999999")),
        (
            "AcquisitionDateTime",
            "20200101100000+0200-20200101110000+0200",
            Times("20200101080000000000", "20200101090000999999", utc=True),
        ),
        # a plus that was not percent-encoded arrives as a space
        (
            "AcquisitionDateTime",
            "20200101100000 0200-20200101110000 0200",
            Times("20200101080000000000", "20200101090000999999", utc=True),
        ),
        (
            "AcquisitionDateTime",
            "20200101 - 20200102",
            Times("20200101" + "0" * 12, "20200102235959999999"),
        ),
        (
            "AcquisitionDateTime",
            "20200101100000-0500-",
            Times("20200101150000000000", None, utc=True),
        ),
        ("SliceThickness", "1.50", Numbers(1.5, 1.5)),
        ("SliceThickness", "-1", Numbers(-1, -1)),
        ("SliceThickness", "1-2", Numbers(1, 2)),
        ("SliceThickness", "-2--1", Numbers(-2, -1)),
        ("SliceThickness", "1e1-", Numbers(10, None)),
        ("SliceThickness", "-5-", Numbers(-5, None)),
        ("SliceThickness", "-5-5", Numbers(-5, 5)),
        # up to five; a plus in a URL arrives as a space
        ("SliceThickness", "-+5", Numbers(None, 5)),
        ("SliceThickness", "- 5", Numbers(None, 5)),
        ("SliceThickness", "--5", Numbers(None, -5)),
        ("Rows", "512", Numbers(512, 512)),
        ("StudyInstanceUID", "1.2,1.3", AnyOf(("1.2", "1.3"))),
        ("StudyInstanceUID", "1.2\\1.3\\1.2", AnyOf(("1.2", "1.3"))),
        ("Modality", "CT,MR", AnyOf(("CT", "MR"))),
        ("ModalitiesInStudy", "CT\\MR", AnyOf(("CT", "MR"))),
        ("ModalitiesInStudy", "CT\\MR,PT", AnyOf(("CT", "MR", "PT"))),
        ("StudyDescription", "a,b", AnyOf(("a,b",))),
        ("PatientName", "Doe*", Wildcard("Doe*")),
        ("PatientID", "A?", Wildcard("A?")),
        ("PatientID", "*", Universal()),
        ("PatientID", "**", Universal()),
        ("PatientID", "", Universal()),
        ("PatientID", " A ", AnyOf(("A",))),
        ("PatientAge", "0*Y", AnyOf(("0*Y",))),
        ("FrameIncrementPointer", "0018106a", AnyOf(("0018106A",))),
        ("RequestAttributesSequence", "", Universal()),
    ],
)
def test_value_chooses_its_kind_of_matching(name: str, value: str, expected: Matching) -> None:
    """PS3.4 §C.2.2.2."""
    assert matching(name, value) == expected


def test_two_quotes_ask_for_an_empty_value_only_where_turned_on() -> None:
    assert matching("PatientID", '""', "emptyvaluematching") == Empty()
    assert matching("PatientID", '""') == AnyOf(('""',))
    assert matching("StudyDate", '""', "emptyvaluematching") == Empty()


def test_multiple_values_have_to_be_there_all_where_turned_on() -> None:
    both = AllOf((AnyOf(("CT",)), AnyOf(("PT",))))
    assert matching("ModalitiesInStudy", "CT\\PT", "multiplevaluematching") == both
    with pytest.raises(BadQuery):
        matching("ModalitiesInStudy", "CT\\P*", "multiplevaluematching")


def test_list_of_values_asks_for_one_of_them_where_not_turned_on() -> None:
    """PS3.4 §C.2.2.2.8 leaves the meaning open; it is that of a list of UIDs."""
    assert matching("PatientID", "P1\\P2") == AnyOf(("P1", "P2"))
    assert matching("PatientName", "A^B\\C") == AnyOf(("A^B", "C"))
    assert matching("ImageComments", "back\\slash") == AnyOf(("back\\slash",))  # LT has one value


def test_fuzzy_matching_widens_what_a_name_matches_literally() -> None:
    assert matching("PatientName", "Doe^J*", "fuzzymatching") == Fuzzy("Doe^J*", Wildcard("Doe^J*"))
    assert matching("PatientName", "Doe", "fuzzymatching") == Fuzzy("Doe", AnyOf(("Doe",)))
    assert matching("PatientID", "Doe*", "fuzzymatching") == Wildcard("Doe*")
    several = matching("OtherPatientNames", "A\\B", "fuzzymatching", "multiplevaluematching")
    assert several == AllOf((Fuzzy("A", AnyOf(("A",))), Fuzzy("B", AnyOf(("B",)))))


@pytest.mark.parametrize("value", ["^", "=", "^^=^", "*", " "])
def test_name_without_a_word_matches_whatever_there_is(value: str) -> None:
    assert matching("PatientName", value, "fuzzymatching") == Universal()


def test_ranges_of_a_date_and_its_time_are_one_range() -> None:
    """PS3.4 §C.2.2.2.5.4: the note's example."""
    date, time = parse(("StudyDate", "20060705-20060707"), ("StudyTime", "1000-1800")).keys

    assert date.path == ("00080020",)
    assert date.matching == DateAndTime(
        "00080030", ("20060705", "100000000000"), ("20060707", "180059999999")
    )
    assert (time.path, time.matching) == (("00080030",), Universal())


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20060705-", "1000-", DateAndTime("00080030", ("20060705", "100000000000"), None)),
        ("-20060705", "-10", DateAndTime("00080030", None, ("20060705", "105959999999"))),
        # from one evening to the next morning
        (
            "20060705-20060706",
            "22-06",
            DateAndTime("00080030", ("20060705", "220000000000"), ("20060706", "065959999999")),
        ),
    ],
)
def test_combined_range_may_be_open_and_may_cross_midnight(
    date: str, time: str, expected: DateAndTime
) -> None:
    first, _ = parse(("StudyTime", time), ("StudyDate", date)).keys[::-1]

    assert first.matching == expected


@pytest.mark.parametrize(
    ("date", "time"),
    [("20060705", "1000-1800"), ("20060705-20060707", "1000"), ("20060705-", "1000-1800")],
)
def test_date_and_time_of_different_forms_are_matched_each_by_itself(date: str, time: str) -> None:
    keys = parse(("StudyDate", date), ("StudyTime", time)).keys

    assert all(isinstance(key.matching, Times) for key in keys)


@pytest.mark.parametrize(
    ("date", "time"),
    [("20060707-20060705", "10-18"), ("20060705-20060705", "18-10"), ("20060732-", "10-")],
)
def test_combined_range_that_is_not_valid_is_refused(date: str, time: str) -> None:
    with pytest.raises(BadQuery, match="00080020"):
        parse(("StudyDate", date), ("StudyTime", time))


def test_date_and_time_in_one_item_are_one_range() -> None:
    start = "ScheduledProcedureStepSequence.ScheduledProcedureStepStart"
    date, _ = parse((f"{start}Date", "20240101-20240102"), (f"{start}Time", "08-12")).keys

    assert date.path == ("00400100", "00400002")
    assert isinstance(date.matching, DateAndTime)
    assert date.matching.time == "00400003"


def test_value_of_unknown_vr_is_read_in_each_way_it_allows() -> None:
    found = matching("00109999", "20200101-20201231")

    assert isinstance(found, Either)
    assert dict(found.readings) == {
        "LO": AnyOf(("20200101-20201231",)),
        "PN": AnyOf(("20200101-20201231",)),
        "DS": Numbers(20200101, 20201231),
        "DA": Times("20200101", "20201231"),
        "DT": Times("20200101" + "0" * 12, "20201231235959999999"),
    }


def test_private_attribute_is_named_by_its_creator_not_by_its_block() -> None:
    (key,) = parse(("0019E10A", "4"), ("001900E1", "SIEMENS MR HEADER")).keys

    assert key.path == ('0019"SIEMENS MR HEADER"0A',)
    assert key.vr == "US"
    assert key.matching == Numbers(4, 4)


def test_private_attribute_without_creator_is_refused() -> None:
    with pytest.raises(BadQuery, match="00190010"):
        parse(("0019100A", "x"))


def test_private_creator_alone_is_a_key_in_whichever_block() -> None:
    (key,) = parse(("001900E1", "ACME")).keys

    assert key.path == ("00190010",)
    assert key.matching == AnyOf(("ACME",))


def test_private_creator_within_a_sequence_qualifies_there() -> None:
    (key,) = parse(("00400275.00191001", "x"), ("00400275.00190010", "ACME")).keys

    assert key.path == ("00400275", '0019"ACME"01')


def test_included_fields_come_repeated_or_in_a_list() -> None:
    query = parse(("includefield", "StudyDescription, 00080060"), ("includefield", "00100030"))

    assert query.include == (("00081030",), ("00080060",), ("00100030",))
    assert not query.include_all


def test_all_fields_may_be_asked_for_beside_others() -> None:
    query = parse(("includefield", "all,00080060"))

    assert query.include_all


def test_included_field_that_is_no_attribute_is_ignored_with_a_warning() -> None:
    query = parse(("includefield", "Nonsense,00080060"))

    assert query.include == (("00080060",),)
    assert "Nonsense" in query.warnings[0]


def test_limit_has_a_default_and_a_maximum() -> None:
    assert parse().limit == LIMITS.query_results
    assert parse(("limit", "0")).limit == 0
    assert parse(("limit", "9" * 400)).limit == LIMITS.query_results_max
    assert parse(("limit", "7"), ("offset", "30")).offset == 30


@pytest.mark.parametrize("name", ["SpecificCharacterSet", "InstanceAvailability", "RetrieveURL"])
def test_attribute_that_is_never_matched_is_returned_with_a_warning(name: str) -> None:
    query = parse((name, "x"))

    assert [key.matching for key in query.keys] == [Universal()]
    assert len(query.warnings) == 1


def test_too_many_keys_are_refused() -> None:
    parameters = [(f"0010{number:04X}", "1") for number in range(0x4000, 0x4000 + 65)]

    with pytest.raises(BadQuery, match="64"):
        parse(*parameters)


def test_too_many_uids_are_refused() -> None:
    uids = ",".join(f"1.{number}" for number in range(LIMITS.query_values + 1))

    with pytest.raises(BadQuery, match="values"):
        parse(("StudyInstanceUID", uids))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PatientID", "*a" + "?" * 20 + "b*"),
        ("PatientID", "*" + "a?" * 64 + "*"),
        ("PatientID", "a" * 2000 + "*"),
        ("00190010.00080100", "x"),
        (".".join(["00400275"] * 100), "x"),
    ],
)
def test_query_that_would_cost_too_much_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadQuery) as caught:
        parse((name, value))

    assert len(caught.value.message) < 200


def test_private_creator_that_is_too_long_is_refused() -> None:
    with pytest.raises(BadQuery, match="too long"):
        parse(("00191001", "x"), ("00190010", "A" * 65))


def test_run_of_asterisks_is_one() -> None:
    assert matching("PatientID", "**a***b**") == Wildcard("*a*b*")


def test_scope_of_the_url_gives_keys() -> None:
    study, series = scope_keys(Scope("1.2", "1.3"))

    assert (study.path, study.matching) == (("0020000D",), AnyOf(("1.2",)))
    assert (series.path, series.matching) == (("0020000E",), AnyOf(("1.3",)))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5))
def test_any_text_is_understood_or_refused(parameters: list[tuple[str, str]]) -> None:
    """No input makes the parser fail in another way."""
    with contextlib.suppress(BadQuery):
        parse(*parameters)


NAMES = st.sampled_from(["PatientName", "StudyDate", "StudyTime", "00080021", "SliceThickness"])
VALUES = st.text(alphabet="0123456789-+. *?\\=^,:eE", max_size=24)


@given(NAMES, VALUES, st.booleans())
def test_any_value_of_a_key_is_understood_or_refused(name: str, value: str, fuzzy: bool) -> None:
    try:
        (key,) = parse((name, value), ("fuzzymatching", str(fuzzy))).keys
    except BadQuery:
        return
    match key.matching:
        case Times(low, high) if low and high:
            assert low <= high
        case Numbers(low, high) if low is not None and high is not None:
            assert low <= high

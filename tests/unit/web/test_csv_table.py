"""Rows as CSV (RFC 4180), safe in a spreadsheet."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.csv_table import column_name, columns_of, csv_chunks

BASE = "http://here/dicom-web"
NAME, NUMBER, SEQUENCE = ("00100010",), ("00201041",), ("00400275",)


def table(rows: list[dict[str, Any]], *columns: tuple[str, ...]) -> list[list[str]]:
    text = b"".join(csv_chunks([rows], columns, BASE)).decode()
    return list(csv.reader(io.StringIO(text)))


def cell(vr: str, *values: Any) -> str:
    ((_,), (only,)) = table([{"00081030": {"vr": vr, "Value": list(values)}}], ("00081030",))
    return only


def test_columns_are_named_by_keywords() -> None:
    assert column_name(("00400275", "00400009")) == (
        "RequestAttributesSequence.ScheduledProcedureStepID"
    )
    assert column_name(('0019"ACME"02',)) == '0019"ACME"02'
    assert column_name(("00091001",)) == "00091001"


def test_values_are_written_as_dicom_writes_them() -> None:
    assert cell("LO", "Thorax") == "Thorax"
    assert cell("CS", "CT", "MR") == "CT\\MR"
    assert cell("CS", "CT", None) == "CT\\"
    assert cell("DS", 1.5, -2) == "1.5\\-2"
    assert cell("PN", {"Alphabetic": "Doe^Jane"}) == "Doe^Jane"
    assert cell("PN", {"Alphabetic": "Yamada", "Phonetic": "やまだ"}) == "Yamada==やまだ"


def test_attribute_that_is_not_there_is_an_empty_cell() -> None:
    assert table([{}], NAME) == [["PatientName"], [""]]
    assert table([{"00100010": {"vr": "PN"}}], NAME)[1] == [""]


def test_path_has_the_values_of_every_item() -> None:
    items = [{"00400009": {"vr": "SH", "Value": [name]}} for name in ("A", "B")]
    row = {"00400275": {"vr": "SQ", "Value": items}}

    assert table([row], ("00400275", "00400009"))[1] == ["A\\B"]


def test_sequence_that_is_wanted_whole_is_json() -> None:
    row = {"00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["A"]}}]}}

    assert table([row], SEQUENCE)[1] == ['[{"00400009":{"vr":"SH","Value":["A"]}}]']
    assert table([{"00400275": {"vr": "SQ"}}], SEQUENCE)[1] == [""]


def test_private_attribute_is_found_wherever_its_block_lies() -> None:
    row = {
        "00190011": {"vr": "LO", "Value": ["ACME"]},
        "00191102": {"vr": "LO", "Value": ["x"]},
    }

    assert table([row], ('0019"ACME"02',)) == [['0019"ACME"02'], ["x"]]


def test_urls_begin_with_the_address_of_the_server() -> None:
    row = {
        "00081190": {"vr": "UR", "Value": ["coregister:/studies/1.2"]},
        "00281201": {"vr": "OW", "BulkDataURI": "coregister:/studies/1.2/bulkdata"},
        "00420011": {"vr": "OB", "InlineBinary": "AAA="},
    }

    assert table([row], *columns_of([row]))[1] == [
        f"{BASE}/studies/1.2",
        f"{BASE}/studies/1.2/bulkdata",
        "AAA=",
    ]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "=cmd|' /C calc'!A0"],
)
def test_formula_becomes_text(text: str) -> None:
    assert cell("LO", text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+0100", "-1.5e-3", "-10.5\\0\\12.25", "20240101", "a=b"])
def test_number_stays_one(text: str) -> None:
    assert cell("LO", text) == text


@given(st.lists(st.lists(st.text(), max_size=3), min_size=1, max_size=5))
def test_any_text_is_read_back_as_it_was_and_is_no_formula(names: list[list[str]]) -> None:
    rows = [{"00081030": {"vr": "LO", "Value": values}} for values in names]
    text = b"".join(csv_chunks([rows[:2], rows[2:]], [("00081030",)], BASE)).decode()

    read = list(csv.reader(io.StringIO(text, newline="")))

    assert read[0] == ["StudyDescription"]
    for values, line in zip(names, read[1:], strict=True):
        found = line[0] if line else ""
        assert found.removeprefix("'") == "\\".join(values).removeprefix("'")
        assert not found.startswith(("=", "@", "\t", "\r"))


def test_head_comes_with_the_first_rows_and_each_group_is_a_chunk() -> None:
    row = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}}
    chunks = list(csv_chunks([[row], [row, row]], [NAME], BASE))

    assert chunks == [b"PatientName\r\nA\r\n", b"A\r\nA\r\n"]
    assert list(csv_chunks([], [NAME], BASE)) == [b"PatientName\r\n"]


def test_columns_of_rows_are_all_that_they_have() -> None:
    rows = [{"00100010": {"vr": "PN"}}, {"00201041": {"vr": "DS"}}]

    assert columns_of(rows) == [NAME, NUMBER]

"""Values that strict validation refuses (PS3.5 Table 6.2-1)."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from app.dicom.part10 import read_instance
from app.dicom.value_rules import broken_rules
from app.limits import Limits

BROKEN: dict[str, tuple[str, Any]] = {
    "AE too long": ("AE", "A" * 17),
    "AS without unit": ("AS", "045"),
    "AS with two digits": ("AS", "45Y"),
    "CS in lower case": ("CS", "mr"),
    "CS too long": ("CS", "A" * 17),
    "IS out of range": ("IS", 2**31),
    "LO too long": ("LO", "x" * 65),
    "LT too long": ("LT", "x" * 10_241),
    "PN group too long": ("PN", {"Alphabetic": "x" * 65}),
    "SH too long": ("SH", "x" * 17),
    "ST too long": ("ST", "x" * 1_025),
}
KEPT: dict[str, tuple[str, Any]] = {
    "AE": ("AE", "A" * 16),
    "AS": ("AS", "045Y"),
    "CS": ("CS", "DERIVED_1 X"),
    "IS": ("IS", -(2**31)),
    "LO in three-byte characters": ("LO", "山" * 64),
    "PN": ("PN", {"Alphabetic": "x" * 64, "Ideographic": "y" * 64}),
    "UC of any length": ("UC", "x" * 100_000),
    "nothing among several": ("CS", None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_value_that_breaks_a_rule_is_found_with_its_path(name: str) -> None:
    vr, value = BROKEN[name]
    element = {"vr": vr, "Value": [None, value]}

    found = broken_rules({"00400275": {"vr": "SQ", "Value": [{}, {"00181030": element}]}})

    assert [finding.tag for finding in found] == ["00400275.2.00181030"]
    assert str(value) not in found[0].message


@pytest.mark.parametrize("name", KEPT)
def test_a_value_within_the_rules_is_not_found(name: str) -> None:
    vr, value = KEPT[name]

    assert broken_rules({"00181030": {"vr": vr, "Value": [value]}, "00081030": {"vr": "LO"}}) == ()


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "waveform_ecg.dcm"])
def test_real_objects_break_no_rule(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)

    assert broken_rules(read_instance(Path(path).read_bytes(), Limits()).attributes) == ()


def test_the_number_of_findings_is_bounded() -> None:
    attributes = {f"0018{n:04X}": {"vr": "CS", "Value": ["x"]} for n in range(1, 1000)}

    assert len(broken_rules(attributes)) == 100

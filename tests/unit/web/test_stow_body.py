"""Where each part of a STOW request goes (PS3.18 §10.5.2)."""

from typing import Any
from unittest.mock import Mock

import pytest

from app.services.intake import Intake
from app.services.metadata_intake import Form, MetadataIntake
from app.web.stow_body import DICOM, DICOM_JSON, DICOM_XML, Parts

OCTETS = "application/octet-stream"


def begun(kind: str | None, *parts: dict[str, str]) -> list[Any]:
    """Return for each part what was begun with it, or why it is refused."""
    intake, metadata = Mock(spec=Intake), Mock(spec=MetadataIntake)
    sink = Parts(intake, metadata, kind)
    found: list[Any] = []
    for headers in parts:
        intake.reset_mock()
        metadata.reset_mock()
        _, refusal = sink.begin(headers)
        if refusal is not None:
            found.append(refusal.message)
        elif intake.begin.called:
            found.append(DICOM)
        elif metadata.begin_document.called:
            found.append(metadata.begin_document.call_args.args[0])
        else:
            found.append(metadata.begin_bulk.call_args.args)
    return found


def headers(content_type: str = "", **others: str) -> dict[str, str]:
    found = {name.replace("_", "-"): value for name, value in others.items()}
    return found | ({"content-type": content_type} if content_type else {})


@pytest.mark.parametrize(
    ("kind", "part", "expected"),
    [
        (DICOM, headers(), DICOM),
        (DICOM, headers(OCTETS), DICOM),
        (DICOM, headers("APPLICATION/DICOM; charset=x"), DICOM),
        (DICOM, headers("text/html"), "The part is not application/dicom."),
        (DICOM, headers(DICOM_JSON), Form.JSON),
        (DICOM_JSON, headers(), Form.JSON),
        (DICOM_JSON, headers("application/json"), Form.JSON),
        (DICOM_JSON, headers(DICOM), DICOM),
        (DICOM_XML, headers("text/xml; charset=utf-8"), Form.XML),
        (DICOM_XML, headers(), Form.XML),
        (DICOM_JSON, headers(content_location="a b"), ("a b", OCTETS, None)),
        (DICOM_JSON, headers("Image/JPEG", content_location="<u>"), ("u", "image/jpeg", None)),
        (
            DICOM_XML,
            headers('image/jls; transfer-syntax="1.2.3"', content_id="<x@y>"),
            ("cid:x@y", "image/jls", "1.2.3"),
        ),
        (
            DICOM_XML,
            headers(f"{OCTETS}; transfer-syntax=*", content_location="u"),
            ("u", OCTETS, None),
        ),
        (
            DICOM_JSON,
            headers(OCTETS),
            "The part is no metadata, and has no Content-Location as bulk data have.",
        ),
    ],
)
def test_a_part_goes_where_its_headers_and_the_request_say(
    kind: str, part: dict[str, str], expected: object
) -> None:
    assert begun(kind, part) == [expected]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (headers(DICOM_JSON), [Form.JSON, ("u", OCTETS, None)]),
        (headers(DICOM_XML), [Form.XML, ("u", OCTETS, None)]),
        (headers(), [DICOM, DICOM]),
    ],
)
def test_the_first_part_says_what_a_request_without_type_is(
    first: dict[str, str], expected: list[object]
) -> None:
    assert begun(None, first, headers(OCTETS, content_location="u")) == expected

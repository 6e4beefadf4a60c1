"""The parameters of WADO-URI (PS3.18 §9.1.2)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadQuery, NotAcceptable
from app.web.wado_uri_query import WadoUriQuery, parse_wado_uri

NEEDED = [("requestType", "WADO"), ("studyUID", "1.2"), ("seriesUID", "1.3"), ("objectUID", "1.4")]


def parse(**parameters: str) -> WadoUriQuery:
    return parse_wado_uri([*NEEDED, *parameters.items()])


def test_only_the_object_has_to_be_named() -> None:
    assert parse() == WadoUriQuery("1.2", "1.3", "1.4")


def test_every_parameter_is_read() -> None:
    query = parse(
        contentType="image/jpeg;q=0.9, application/dicom+xml",
        transferSyntax="1.2.840.10008.1.2.1",
        frameNumber="3",
        rows="10",
        columns="20",
        region="0,0.25,1.0,.5",
        windowCenter="-40.5",
        windowWidth="400",
        imageQuality="80",
        annotation="patient,technique",
        charset="utf-8,iso-8859-1",
        anonymize="no",
    )

    assert query == WadoUriQuery(
        "1.2",
        "1.3",
        "1.4",
        content_types=("image/jpeg;q=0.9", "application/dicom+xml"),
        transfer_syntax="1.2.840.10008.1.2.1",
        frame=3,
        rows=10,
        columns=20,
        region=(0.0, 0.25, 1.0, 0.5),
        window=("-40.5", "400"),
        quality="80",
        annotation="patient,technique",
        charset="utf-8",
    )


def test_a_plus_that_nobody_escaped_is_a_plus() -> None:
    assert parse(contentType="application/dicom json").content_types == ("application/dicom+json",)


def test_a_star_asks_for_an_object_as_it_is_stored() -> None:
    """As npm's dicomweb-client sends it."""
    assert parse(transferSyntax="*").transfer_syntax == "*"


def test_unknown_parameters_are_ignored() -> None:
    assert parse(overlays="true") == parse()


@pytest.mark.parametrize("name", ["requestType", "studyUID", "seriesUID", "objectUID"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(BadQuery, match=name):
        parse_wado_uri([pair for pair in NEEDED if pair[0] != name])


def test_a_parameter_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(BadQuery, match="studyUID is given twice"):
        parse_wado_uri([*NEEDED, ("studyUID", "9.9")])


@pytest.mark.parametrize("value", ["yes", "YES", "true"])
def test_an_anonymous_object_is_never_promised(value: str) -> None:
    with pytest.raises(NotAcceptable, match="anonymize"):
        parse(anonymize=value)


@given(st.dictionaries(st.sampled_from([
    "contentType", "transferSyntax", "frameNumber", "rows", "columns", "region", "windowCenter",
    "windowWidth", "imageQuality", "annotation", "charset", "anonymize", "presentationUID",
]), st.text(max_size=12)))  # fmt: skip
def test_whatever_comes_is_understood_or_refused(parameters: dict[str, str]) -> None:
    with contextlib.suppress(BadQuery, NotAcceptable):  # and nothing else is raised
        assert parse(**parameters).sop_instance_uid == "1.4"

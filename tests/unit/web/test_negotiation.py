"""The representation that is sent is one that the client accepts (PS3.18 §8.7)."""

from collections.abc import Sequence

import pytest
from starlette.requests import Request

from app.errors import NotAcceptable
from app.web.negotiation import DICOM_JSON, METADATA, Accepted, Offer, accepted, choose

INSTANCES = (Offer("application/dicom", multipart=True), Offer("application/dicom"))
OCTETS = (Offer("application/octet-stream", multipart=True), Offer("application/octet-stream"))


def request(*accept: str, query: str = "") -> Request:
    headers = [(b"accept", value.encode()) for value in accept]
    return Request({"type": "http", "headers": headers, "query_string": query.encode()})


def chosen(offers: Sequence[Offer], *accept: str, query: str = "") -> Offer:
    return choose(accepted(request(*accept, query=query)), offers)


@pytest.mark.parametrize("accept", [(), ("*/*",), ("",)])
def test_without_a_preference_the_default_is_sent(accept: tuple[str, ...]) -> None:
    assert chosen(INSTANCES, *accept) == INSTANCES[0]


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"',
        "multipart/related; type=application/dicom",
        'Multipart/Related; TYPE="Application/DICOM"',
        "multipart/related",
        'multipart/related;type="application/dicom";transfer-syntax=*',
        'text/html, multipart/related; type="application/dicom"; q=0.5',
    ],
)
def test_multipart_is_understood_however_it_is_written(accept: str) -> None:
    assert chosen(INSTANCES, accept) == INSTANCES[0]


def test_a_single_part_is_sent_to_whom_asks_for_one() -> None:
    assert chosen(INSTANCES, "application/dicom; transfer-syntax=*") == INSTANCES[1]


def test_multipart_is_not_sent_to_whom_asks_for_a_single_part() -> None:
    with pytest.raises(NotAcceptable):
        chosen(INSTANCES[:1], "application/dicom")


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+json",
        "application/json",
        "application/*",
        'application/dicom+json, multipart/related; type="application/octet-stream"; transfer-syntax=*',
    ],
)
def test_a_json_resource_finds_itself_in_what_viewers_send(accept: str) -> None:
    assert chosen(DICOM_JSON, accept) == DICOM_JSON[0]


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom+xml",
        "image/*",
        "application/dicom+json; q=0",
        'multipart/related; type="x/y"',
    ],
)
def test_what_cannot_be_sent_is_a_406_that_says_what_can(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"served as application/dicom\+json"):
        chosen(DICOM_JSON, accept)


def test_the_highest_quality_wins() -> None:
    both = (
        'multipart/related; type="application/octet-stream"; q=0.1, application/octet-stream; q=0.9'
    )

    assert chosen(OCTETS, both) == OCTETS[1]


def test_of_equals_parts_are_sent() -> None:
    """PS3.18 §8.7.8 leaves it open; clients that offer parts expect them."""
    equal = 'application/octet-stream, multipart/related; type="application/octet-stream"'

    assert chosen(OCTETS, equal) == OCTETS[0]


def test_what_is_named_goes_before_what_a_wildcard_covers() -> None:
    assert chosen(OCTETS, "application/octet-stream, */*") == OCTETS[1]
    assert chosen(OCTETS, "*/*, application/octet-stream") == OCTETS[1]
    assert chosen(METADATA, 'multipart/related; type="application/dicom+xml", */*') == METADATA[1]


def test_the_most_specific_alternative_says_how_much_an_offer_is_wanted() -> None:
    """RFC 9110 §12.5.1."""
    assert chosen(OCTETS, "*/*, multipart/related; q=0") == OCTETS[1]
    assert chosen(OCTETS, "application/octet-stream; q=0.2, */*; q=0.9") == OCTETS[0]


def test_a_plus_that_nobody_escaped_is_a_plus() -> None:
    """In a query string it would be a space."""
    assert chosen(METADATA, "image/png", query="accept=application/dicom+json") == METADATA[0]
    xml = "accept=multipart/related;type=%22application/dicom%2Bxml%22"
    assert chosen(METADATA, "application/json", query=xml) == METADATA[1]


@pytest.mark.parametrize("quality", ["high", "nan", "2", "-1", ""])
def test_a_quality_that_is_none_counts_as_one(quality: str) -> None:
    (alternative,) = accepted(request(f"application/json; q={quality}"))

    assert alternative.quality == 1.0


def test_several_headers_count_as_one_list() -> None:
    assert chosen(DICOM_JSON, "image/png", "application/json") == DICOM_JSON[0]


def test_the_query_parameter_goes_before_the_header() -> None:
    assert chosen(OCTETS, "image/png", query="accept=application/octet-stream") == OCTETS[1]


def test_the_transfer_syntax_that_is_asked_for_is_kept() -> None:
    (alternative,) = accepted(request("application/dicom; transfer-syntax=1.2.840.10008.1.2.1"))

    assert alternative == Accepted("application/dicom", transfer_syntax="1.2.840.10008.1.2.1")


def test_an_alias_is_as_good_as_the_name() -> None:
    offer = Offer("image/jls", multipart=True, aliases=("image/x-jls",))

    assert chosen((offer,), 'multipart/related; type="image/x-jls"') == offer

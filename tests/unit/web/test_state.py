"""The base of URLs in answers is the one that the client can use."""

import pytest
from starlette.requests import Request

from app.settings import Settings
from app.web.state import State, base_url


def request(
    *, host: str | None, public_url: str | None = None, scheme: str = "http"
) -> Request[State]:
    headers = [] if host is None else [(b"host", host.encode())]
    return Request(
        {
            "type": "http",
            "scheme": scheme,
            "path": "/dicom-web/studies",
            "query_string": b"",
            "headers": headers,
            "server": ("127.0.0.1", 8080),
            "state": {"settings": Settings(public_url=public_url)},
        }
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("archive.example:8080", "http://archive.example:8080/dicom-web"),
        ("[::1]:8080", "http://[::1]:8080/dicom-web"),
        ("archive.example", "http://127.0.0.1:8080/dicom-web"),
        (None, "http://127.0.0.1:8080/dicom-web"),
    ],
)
def test_the_address_that_the_client_called_is_used_where_it_names_the_port(
    host: str | None, expected: str
) -> None:
    assert base_url(request(host=host)) == expected


def test_the_public_url_wins_over_what_the_client_called() -> None:
    public = "https://pacs.example.org/dicom-web/"

    assert base_url(request(host="archive:8080", public_url=public)) == public.rstrip("/")


def test_the_scheme_is_that_of_the_request() -> None:
    assert base_url(request(host="archive:8080", scheme="https")).startswith(
        "https://archive:8080/"
    )

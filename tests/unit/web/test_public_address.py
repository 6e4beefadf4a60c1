"""The address that a client called is told by proxies, and only by those that are trusted."""

import re
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from app.errors import ConfigurationError
from app.settings import Settings
from app.web.public_address import origin_of

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("::1/128")]


def origin(caller: str = "10.0.0.1", **headers: str) -> str:
    sent = {"host": "inner:8080", **headers}
    connection: HTTPConnection[Any] = HTTPConnection(
        {
            "type": "http",
            "scheme": "http",
            "path": "/dicom-web/studies",
            "query_string": b"",
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in sent.items()],
            "server": ("10.9.9.9", 8080),
            "client": (caller, 5555),
        }
    )
    return origin_of(connection, TRUSTED)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"forwarded": "proto=https;host=pacs.example"}, "https://pacs.example"),
        ({"forwarded": 'For="[2001:db8::1]";Proto=HTTPS;Host="pacs:444"'}, "https://pacs:444"),
        ({"forwarded": "for=1.2.3.4, for=10.0.0.2;host=inner;proto=http"}, "http://inner"),
        (
            {"forwarded": "for=1.2.3.4;host=outer;proto=https, for=10.0.0.2;host=inner;proto=http"},
            "https://outer",
        ),
        (
            {"x_forwarded_proto": "https", "x_forwarded_host": "pacs.example"},
            "https://pacs.example",
        ),
        ({"x_forwarded_proto": "https"}, "https://inner:8080"),
        ({"x_forwarded_host": "pacs", "x_forwarded_port": "8443"}, "http://pacs:8443"),
        (
            {"x_forwarded_host": "p", "x_forwarded_port": "443", "x_forwarded_proto": "https"},
            "https://p",
        ),
        ({"x_forwarded_host": "pacs:1", "x_forwarded_port": "2"}, "http://pacs:1"),
        ({"x_forwarded_host": "p", "x_forwarded_prefix": "/imaging/"}, "http://p/imaging"),
        ({"x_forwarded_prefix": "/imaging"}, "http://inner:8080/imaging"),
        (
            {"x_forwarded_for": "1.2.3.4, 10.0.0.2", "x_forwarded_host": "outer, inner"},
            "http://outer",
        ),
        ({"x_forwarded_for": "6.6.6.6", "x_forwarded_host": "forged, real"}, "http://real"),
        ({"forwarded": "host=real", "x_forwarded_host": "other"}, "http://real"),
    ],
)
def test_what_a_trusted_proxy_says_counts(headers: dict[str, str], expected: str) -> None:
    assert origin(**headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"forwarded": "host=evil.example;proto=https"},
        {"x_forwarded_host": "evil.example", "x_forwarded_proto": "https"},
        {"x_forwarded_prefix": "/evil"},
    ],
)
@pytest.mark.parametrize("caller", ["127.0.0.1", "11.0.0.1", "testclient", ""])
def test_what_anybody_else_says_does_not(headers: dict[str, str], caller: str) -> None:
    assert origin(caller, **headers) == "http://inner:8080"


def test_an_element_that_a_client_brought_along_does_not_count() -> None:
    """The proxy appends its own; the forged one came from an address that is not trusted."""
    forged = "for=10.0.0.3;host=evil.example;proto=https"

    assert origin(forwarded=f"{forged}, for=6.6.6.6;host=pacs;proto=https") == "https://pacs"


@pytest.mark.parametrize(
    "host", ["evil.example/path", "a b", "a@b", "<script>", "", "-x", "[::1", "a:99999999", "a\\b"]
)
def test_what_is_no_host_does_not_count(host: str) -> None:
    assert origin(x_forwarded_host=host) == "http://inner:8080"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_proto": "javascript"},
        {"x_forwarded_prefix": "//evil.example"},
        {"x_forwarded_prefix": "/a b"},
        {"x_forwarded_port": "8o"},
        {"forwarded": "proto=ftp"},
        {"forwarded": ";;=,"},
    ],
)
def test_what_makes_no_address_does_not_count(headers: dict[str, str]) -> None:
    assert origin(**headers) == "http://inner:8080"


HEADER = st.text(alphabet='abfhoprst=;,"./:[]@#?<> -_%12\\', max_size=40)


@given(HEADER, HEADER, HEADER, HEADER)
def test_whatever_comes_the_address_is_one(
    forwarded: str, host: str, prefix: str, sender: str
) -> None:
    """It goes into JSON, XML and headers as it is."""
    found = origin(
        forwarded=forwarded,
        x_forwarded_host=host,
        x_forwarded_prefix=prefix,
        x_forwarded_for=sender,
    )

    assert re.fullmatch(r"https?://[A-Za-z0-9._:\[\]-]+(/[^\s<>\"\\/]+)*", found)


def test_ipv6_networks_are_known() -> None:
    assert origin("::1", x_forwarded_host="pacs") == "http://pacs"


def test_nobody_is_trusted_by_default() -> None:
    assert Settings().trusted_networks == ()


def test_networks_are_a_list() -> None:
    settings = Settings(trusted_proxies="10.0.0.1, 192.168.0.0/16,fd00::/8")

    assert [str(each) for each in settings.trusted_networks] == [
        "10.0.0.1/32",
        "192.168.0.0/16",
        "fd00::/8",
    ]


def test_what_is_no_network_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="COREGISTER_TRUSTED_PROXIES"):
        Settings(trusted_proxies="everybody")

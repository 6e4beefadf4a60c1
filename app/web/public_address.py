"""The address under which a client reaches this server (RFC 7239, and the X-Forwarded headers before it).

What proxies say counts only from a proxy that the setting `trusted_proxies` names: anybody can send such
headers, and an answer with somebody else's address in it would lead clients, and what they send, there.

Strategy: each proxy adds an element at the end of the list. Beginning with the last, which the proxy that
called added, an element counts as long as the one after it was added by a trusted proxy.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import takewhile
from typing import Any

from starlette.requests import HTTPConnection

from app.dicom.media_type import parse_content_type, split_list

Networks = Sequence[IPv4Network | IPv6Network]

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_HAS_PORT = re.compile(r":\d+$")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Said:
    """What the outermost trusted proxy was called as."""

    scheme: str | None = None
    host: str | None = None
    port: str | None = None
    prefix: str = ""


def origin_of(connection: HTTPConnection[Any], networks: Networks) -> str:
    """Return scheme, host, port and what a proxy put before the path, without a slash at the end."""
    said = _said(connection, networks)
    scheme = said.scheme if said.scheme in _DEFAULT_PORTS else connection.url.scheme
    host = said.host if said.host and _HOST.fullmatch(said.host) else None
    if host is None:
        return f"{scheme}://{_called(connection, scheme)}{said.prefix}"
    if said.port and not _HAS_PORT.search(host) and said.port != str(_DEFAULT_PORTS[scheme]):
        host = f"{host}:{said.port}"
    return f"{scheme}://{host}{said.prefix}"


def _called(connection: HTTPConnection[Any], scheme: str) -> str:
    """Return host and port as the client called; where it left the port out, where it arrived.

    Some clients send `Host` without the port even where that is not the default one.
    """
    host = connection.headers.get("host", "")
    if _HOST.fullmatch(host) and _HAS_PORT.search(host):
        return host
    address, port = connection.scope.get("server") or ("127.0.0.1", None)
    if port in (None, _DEFAULT_PORTS[scheme]) and _HOST.fullmatch(host):
        return host
    name = f"[{address}]" if ":" in address else address
    return name if port is None else f"{name}:{port}"


def _said(connection: HTTPConnection[Any], networks: Networks) -> _Said:
    """Return what trusted proxies say, nothing where the caller is none."""
    caller = connection.client.host if connection.client else ""
    if not _is_trusted(caller, networks):
        return _Said()
    elements = _listed(connection, "forwarded")
    if elements:
        return _from_forwarded(elements, networks)
    senders = _listed(connection, "x-forwarded-for")
    inner = len(list(takewhile(lambda each: _is_trusted(each, networks), reversed(senders))))
    proto, host, port, prefix = (
        _nth_last(_listed(connection, f"x-forwarded-{name}"), inner)
        for name in ("proto", "host", "port", "prefix")
    )
    return _Said(
        scheme=proto.lower() if proto else None,
        host=host,
        port=port if port and port.isdecimal() else None,
        prefix=prefix.rstrip("/") if prefix and _PREFIX.fullmatch(prefix) else "",
    )


def _from_forwarded(elements: Sequence[str], networks: Networks) -> _Said:
    said = _Said()
    for element in reversed(elements):
        _, pairs = parse_content_type(f";{element}")
        scheme, host = pairs.get("proto"), pairs.get("host")
        said = _Said(scheme.lower() if scheme else said.scheme, host or said.host)
        if not _is_trusted(pairs.get("for", ""), networks):
            break
    return said


def _listed(connection: HTTPConnection[Any], name: str) -> list[str]:
    return split_list(",".join(connection.headers.getlist(name)))


def _nth_last(values: Sequence[str], inner: int) -> str | None:
    """Return the value that was added before those of `inner` proxies; a proxy may set the only one."""
    if not values:
        return None
    return values[max(len(values) - 1 - inner, 0)]


def _is_trusted(sender: str, networks: Networks) -> bool:
    """Tell whether an address, perhaps with a port, is one of the networks."""
    if sender.startswith("["):
        sender = sender[1:].partition("]")[0]
    elif sender.count(":") == 1:
        sender = sender.partition(":")[0]
    try:
        address = ip_address(sender)
    except ValueError:
        return False
    return any(address in network for network in networks)

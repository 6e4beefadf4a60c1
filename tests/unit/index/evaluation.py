"""Elasticsearch's query language, as far as the product speaks it, on a document in memory."""

import re
from collections.abc import Mapping
from typing import Any

Tokens = frozenset[str]


def holds(clause: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Tell whether a document meets a clause."""
    items = [frozenset(item["tokens"]) for item in document.get("items", [])]
    return _holds(clause, frozenset(document["tokens"]), items)


def _holds(clause: Mapping[str, Any], tokens: Tokens, items: list[Tokens]) -> bool:
    ((kind, body),) = clause.items()
    match kind:
        case "match_all":
            return True
        case "bool":
            should = [_holds(each, tokens, items) for each in body.get("should", [])]
            return (
                all(_holds(each, tokens, items) for each in body.get("filter", []))
                and not any(_holds(each, tokens, items) for each in body.get("must_not", []))
                and sum(should) >= body.get("minimum_should_match", 0)
            )
        case "nested":
            assert body["path"] == "items"
            return any(_holds(body["query"], item, []) for item in items)
    ((field, asked),) = body.items()
    assert field in ("tokens", "items.tokens")
    return any(_meets(kind, asked, token) for token in tokens)


def _meets(kind: str, asked: Any, token: str) -> bool:
    match kind:
        case "term":
            return bool(token == asked)
        case "terms":
            return token in asked
        case "prefix":
            return token.startswith(asked["value"])
        case "wildcard":
            return _pattern(asked["value"]).fullmatch(token) is not None
        case "range":
            compare = {
                "gt": token.encode().__gt__,
                "gte": token.encode().__ge__,
                "lt": token.encode().__lt__,
                "lte": token.encode().__le__,
            }
            return all(compare[end](bound.encode()) for end, bound in asked.items())
    raise AssertionError(kind)


def _pattern(wildcard: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", wildcard, re.DOTALL)
    special = {"*": ".*", "?": "."}
    return re.compile(
        "".join(special.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL
    )

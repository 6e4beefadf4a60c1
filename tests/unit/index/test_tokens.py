"""What a data set can be found by."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.index.tokens import NOT_NAMED, PATHS_NAMED, indexed_values
from app.limits import Limits

LIMITS = Limits()


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def sequence(*items: dict[str, Any]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def test_every_value_is_a_token_behind_its_path() -> None:
    values = indexed_values({"00080008": element("CS", "A", "B")}, LIMITS)

    assert set(values.tokens) == {"00080008", "00080008=A", "00080008=B"}
    assert values.items == []
    assert values.not_indexed == []


def test_attribute_without_value_has_no_token() -> None:
    attributes = {
        "00080050": {"vr": "SH"},
        "00100010": element("PN", {}),
        "00100020": element("LO", ""),
    }

    assert indexed_values(attributes, LIMITS).tokens == []


def test_private_attribute_is_found_in_whichever_block_it_lies() -> None:
    one = {"00190010": element("LO", "ACME "), "00191001": element("LO", "x")}
    other = {"001900E0": element("LO", "ACME"), "0019E001": element("LO", "x")}

    assert indexed_values(one, LIMITS).tokens == indexed_values(other, LIMITS).tokens
    assert '0019"ACME"01=x' in indexed_values(one, LIMITS).tokens


def test_private_attribute_without_creator_keeps_its_tag() -> None:
    assert "00191001=x" in indexed_values({"00191001": element("LO", "x")}, LIMITS).tokens


def test_private_creator_holds_for_its_own_item_only() -> None:
    attributes = {
        "00190010": element("LO", "OUTER"),
        "00400275": sequence({"00190010": element("LO", "INNER"), "00191001": element("LO", "x")}),
    }

    assert '00400275.0019"INNER"01=x' in indexed_values(attributes, LIMITS).tokens


def test_binary_value_is_known_to_be_there_but_not_compared() -> None:
    attributes = {
        "00282000": {"vr": "OB", "InlineBinary": "AAAA"},
        "7FE00010": {"vr": "OW", "BulkDataURI": "coregister:/x"},
    }
    values = indexed_values(attributes, LIMITS)

    assert values.tokens == ["00282000", "7FE00010"]
    assert values.not_indexed == []


def test_text_kept_as_bulk_is_named_as_not_indexed() -> None:
    values = indexed_values({"0040A160": {"vr": "UT", "BulkDataURI": "coregister:/x"}}, LIMITS)

    assert values.tokens == ["0040A160"]
    assert values.not_indexed == ["0040A160"]


def test_single_item_needs_no_list_of_its_own() -> None:
    attributes = {"00400275": sequence({"00400009": element("SH", "A")})}
    values = indexed_values(attributes, LIMITS)

    assert set(values.tokens) == {"00400275", "00400275.00400009", "00400275.00400009=A"}
    assert values.items == []


def test_each_of_several_items_is_listed_with_what_is_around_and_within() -> None:
    inner = sequence({"00080100": element("SH", "I")}, {"00080100": element("SH", "J")})
    attributes = {
        "00080060": element("CS", "CT"),
        "00400275": sequence({"00400009": element("SH", "A"), "00400008": inner}, {}),
    }
    values = indexed_values(attributes, LIMITS)

    assert {"00400275+", "00400275.00400008+"} <= set(values.tokens)
    first, second, third, fourth = (set(item) for item in values.items)
    assert first == {
        "@00400275",
        "@00400275@0",
        "00400275.00400009",
        "00400275.00400009=A",
        "00400275.00400008",
        "00400275.00400008.00080100",
        "00400275.00400008.00080100=I",
        "00400275.00400008.00080100=J",
    }
    assert second == {"@00400275", "@00400275@1"}
    assert {
        "@00400275.00400008",
        "@00400275.00400008@0",
        "@00400275@0",
        "00400275.00400009=A",
        "00400275.00400008.00080100=I",
    } <= third
    assert "00400275.00400008.00080100=J" in fourth - third


def test_long_value_is_cut_between_characters_and_named() -> None:
    values = indexed_values({"00104000": element("LT", "ä" * 1000)}, LIMITS)

    token = max(values.tokens, key=len)
    assert len(token.encode()) <= LIMITS.index_value_bytes + len("00104000")
    assert token.endswith("ä")
    assert values.not_indexed == ["00104000"]


def test_attribute_with_too_many_values_is_found_by_the_first() -> None:
    values = indexed_values({"30060050": element("DS", *range(10_000))}, LIMITS)

    assert len(values.tokens) == LIMITS.index_values + 1
    assert values.not_indexed == ["30060050"]


def test_contours_by_the_million_leave_other_attributes_findable() -> None:
    """An RT structure set: bounded tokens and items, and the rest is indexed."""
    contours = [
        {"30060050": element("DS", *(index + n / 7919 for n in range(300)))} for index in range(500)
    ]
    attributes = {
        "00080060": element("CS", "RTSTRUCT"),
        "30060039": sequence({"30060040": sequence(*contours)}),
        "300E0002": element("CS", "APPROVED"),
    }
    values = indexed_values(attributes, LIMITS)

    assert len(values.tokens) <= LIMITS.index_tokens + LIMITS.index_items
    assert sum(map(len, values.items)) <= LIMITS.index_tokens
    assert "30060039.30060040.30060050" in values.not_indexed
    assert "00080060=RTSTRUCT" in values.tokens
    assert "300E0002=APPROVED" in values.tokens


def test_five_thousand_functional_groups_match_over_all_items_together() -> None:
    """An enhanced object: too many items to tell apart are named, and stay findable."""
    frames = [
        {
            "00209111": sequence({"00209057": element("UL", number % 7)}),
            "00280008": element("IS", 1),
        }
        for number in range(5_000)
    ]
    attributes = {
        "52009230": sequence(*frames),
        "00400275": sequence({"00400009": element("SH", "A")}, {"00400009": element("SH", "B")}),
    }
    values = indexed_values(attributes, LIMITS)

    assert len(values.items) == 2
    assert set(values.not_indexed) == {"52009230+", "52009230.00209111+"}
    assert "52009230+" not in values.tokens
    assert any(token.startswith("52009230.00209111.00209057#") for token in values.tokens)


def test_attributes_left_out_beyond_those_named_are_said_to_be_there() -> None:
    creators = {"00190010": element("LO", "ACME"), "00190011": element("LO", "OTHER")}
    private = {f"00191{n:03X}": element("LO", "x" * 2000) for n in range(256)} | {
        f"0019{0x1100 + n:04X}": element("DA", "never") for n in range(100)
    }

    values = indexed_values({**creators, **private}, LIMITS)

    assert values.not_indexed[-1] == NOT_NAMED
    assert len(values.not_indexed) <= PATHS_NAMED + 1


def test_what_is_too_long_to_be_a_creator_does_not_lengthen_tokens() -> None:
    """Elasticsearch refuses a document with a term of more than 32,766 bytes."""
    attributes = {"00190010": element("LO", "A" * 40_000), "00191001": element("LO", "x")}

    tokens = indexed_values(attributes, LIMITS).tokens

    assert "00191001=x" in tokens
    assert max(map(len, tokens)) < 2_000


TAGS = st.from_regex(r"[0-9A-F]{3}[02468ACE][0-9A-F]{4}", fullmatch=True)
DATASETS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(
        TAGS,
        st.one_of(
            st.builds(
                lambda v: {"vr": "LO", "Value": v}, st.lists(st.text(max_size=5), max_size=3)
            ),
            st.builds(
                lambda v: {"vr": "DS", "Value": v}, st.lists(st.floats() | st.none(), max_size=3)
            ),
            st.just({"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}),
            st.just({"vr": "OB", "InlineBinary": "AA=="}),
        ),
        max_size=4,
    ),
    lambda inner: st.dictionaries(
        TAGS,
        st.builds(lambda items: {"vr": "SQ", "Value": items}, st.lists(inner, max_size=3)),
        max_size=3,
    ),
    max_leaves=12,
)


@given(DATASETS)
def test_any_data_set_is_indexed_within_the_limits(attributes: dict[str, Any]) -> None:
    tight = LIMITS.model_copy(update={"index_tokens": 10, "index_items": 3, "index_values": 2})

    values = indexed_values(attributes, tight)

    assert len(values.tokens) <= 10 + 3
    assert len(values.tokens) == len(set(values.tokens))
    assert len(values.items) <= 3
    full = indexed_values(attributes, LIMITS)
    assert set(values.tokens) <= set(full.tokens)
    assert values.not_indexed or set(values.tokens) == set(full.tokens)
    named = {name.rstrip("+") for name in values.not_indexed}
    assert {token.rstrip("+") for token in full.tokens if token not in values.tokens} <= {
        token
        for token in (token.rstrip("+") for token in full.tokens)
        if any(token.startswith(name) for name in named)
    }

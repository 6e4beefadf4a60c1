"""The query parameters of rendered resources (PS3.18 §8.3.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadQuery
from app.limits import Limits
from app.pixels.render_options import (
    Annotation,
    IccProfile,
    RenderOptions,
    Viewport,
    VoiFunction,
    Window,
)
from app.web.rendered_query import RenderedQuery, parse_rendered, parse_thumbnail, parse_viewport

LIMITS = Limits()


def parsed(**parameters: str) -> RenderOptions:
    return parse_rendered(list(parameters.items()), LIMITS).options


def test_nothing_asked_is_the_image_as_it_is() -> None:
    assert parse_rendered([], LIMITS) == RenderedQuery(RenderOptions())


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", Window(40, 400)),
        ("-600.5,1.5e3,LINEAR-EXACT", Window(-600.5, 1500, VoiFunction.LINEAR_EXACT)),
        ("0,0.5,linear-exact", Window(0, 0.5, VoiFunction.LINEAR_EXACT)),
        (" 40 , 400 , sigmoid ", Window(40, 400, VoiFunction.SIGMOID)),
        ("40,400,linear_exact", Window(40, 400, VoiFunction.LINEAR_EXACT)),
    ],
)
def test_a_window_has_center_width_and_function(text: str, window: Window) -> None:
    assert parsed(window=text).window == window


@pytest.mark.parametrize(
    ("text", "viewport"),
    [
        ("100,50", Viewport(100, 50)),
        ("100,50,10,20,30,40", Viewport(100, 50, 10, 20, 30, 40)),
        ("100,50,,,30,40", Viewport(100, 50, 0, 0, 30, 40)),
        ("100,50,10.5,20.25", Viewport(100, 50, 10.5, 20.25)),
        ("100,50,10", Viewport(100, 50, 10)),
        (
            "100,50,0,0,-30,-40",
            Viewport(100, 50, 0, 0, 30, 40, flip_horizontally=True, flip_vertically=True),
        ),
        ("100,50,-10,-20,-30,40", Viewport(100, 50, 10, 20, 30, 40, flip_horizontally=True)),
    ],
)
def test_a_viewport_has_a_size_and_may_have_a_region(text: str, viewport: Viewport) -> None:
    assert parsed(viewport=text).viewport == viewport


@pytest.mark.parametrize(
    ("text", "annotations"),
    [
        ("patient", (Annotation.PATIENT,)),
        ("technique,patient", (Annotation.PATIENT, Annotation.TECHNIQUE)),
        ("Patient,patient", (Annotation.PATIENT,)),
    ],
)
def test_annotations_are_a_list(text: str, annotations: tuple[Annotation, ...]) -> None:
    assert parsed(annotation=text).annotations == annotations


@pytest.mark.parametrize("text", ["no", "yes", "srgb", "adobergb", "rommrgb", "SRGB"])
def test_a_colour_space_is_named(text: str) -> None:
    assert parsed(iccprofile=text).icc_profile == IccProfile(text.lower())


@pytest.mark.parametrize("text", ["1", "100", "75"])
def test_a_quality_is_from_1_to_100(text: str) -> None:
    assert parsed(quality=text).quality == int(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("quality", each) for each in ("0", "101", "-1", "5.5", "", "best", "1e1", "٣", "9" * 99)],
        *[
            ("window", each)
            for each in (
                "", "40", "40,400", "40,400,cubic", "40,400,", "a,400,linear", "40,b,linear",
                "40,0.5,linear", "40,0,linear-exact", "40,-3,sigmoid", "nan,400,linear",
                "40,inf,linear", "40,400,linear,5",
            )
        ],
        *[
            ("viewport", each)
            for each in (
                "", "100", "100,", "0,50", "-100,50", "1.5,2", "a,b", "100,50,x", "100,50,0,0,0,9",
                "100,50,0,0,9,0", "100,50,1,2,3,4,5", "100,50,nan", "999999,999999", "5000,5000",
            )
        ],
        *[("annotation", each) for each in ("", "physician", "patient,", "patient;technique")],
        *[("iccprofile", each) for each in ("", "cmyk", "maybe")],
        *[("charset", each) for each in ("", "klingon", "utf-7", "utf-16", "rot13", "hex", "ü")],
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_refused_by_the_name_of_its_parameter(name: str, text: str) -> None:
    with pytest.raises(BadQuery, match=name):
        parse_rendered([(name, text)], LIMITS)


@pytest.mark.parametrize("name", ["rows", "Window", "frameNumber"])
def test_a_parameter_that_is_none_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(BadQuery, match=f"^{name} "):
        parse_rendered([(name, "1")], LIMITS)


def test_a_name_that_could_be_anything_is_not_repeated() -> None:
    with pytest.raises(BadQuery) as caught:
        parse_rendered([("Smith^John", "1")], LIMITS)

    assert "Smith" not in caught.value.message


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    with pytest.raises(BadQuery, match="quality"):
        parse_rendered([("quality", "5"), ("quality", "6")], LIMITS)


def test_several_values_of_accept_are_left_to_negotiation() -> None:
    parameters = [("accept", "image/png"), ("accept", "image/jpeg")]

    assert parse_rendered(parameters, LIMITS) == RenderedQuery(RenderOptions())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("UTF-8", "utf-8"),
        ("ISO-8859-1", "iso8859-1"),
        ("us-ascii", "ascii"),
        ("GB18030", "gb18030"),
    ],
)
def test_a_character_set_is_known_by_any_of_its_names(text: str, name: str) -> None:
    assert parse_rendered([("charset", text)], LIMITS).charset == name


def test_a_thumbnail_is_as_large_as_is_set_and_never_enlarged() -> None:
    options = parse_thumbnail([], LIMITS, 128).options

    assert options.viewport == Viewport(128, 128, enlarges=False)
    assert not options.overlays


def test_a_thumbnail_takes_a_viewport_and_nothing_else() -> None:
    assert parse_thumbnail([("viewport", "9,9")], LIMITS, 1).options.viewport == Viewport(9, 9)
    for name in ("window", "quality", "annotation", "iccprofile", "rows"):
        with pytest.raises(BadQuery, match=name):
            parse_thumbnail([(name, "40,400,linear")], LIMITS, 128)


@given(st.text(max_size=30))
def test_any_viewport_is_understood_or_refused(text: str) -> None:
    refusal = ""
    try:
        viewport = parse_viewport(text, LIMITS)
    except BadQuery as error:
        refusal = error.message
    else:
        assert viewport.width > 0
        assert viewport.left >= 0
    assert not refusal or "viewport" in refusal


@given(
    name=st.sampled_from(["window", "quality", "annotation", "iccprofile", "charset"]),
    text=st.text(max_size=30),
)
def test_any_value_is_understood_or_refused(name: str, text: str) -> None:
    refusal = ""
    try:
        parse_rendered([(name, text)], LIMITS)
    except BadQuery as error:
        refusal = error.message
    assert not refusal or name in refusal

import re

from hypothesis import given
from hypothesis import strategies as st

from app.fhir.ids import endpoint_id, imaging_study_id, patient_id

FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_input_gives_ids_that_hapi_lets_a_client_assign(one: str, two: str) -> None:
    """HAPI keeps purely numeric ids for itself."""
    for made in (imaging_study_id(one), patient_id(one, two), endpoint_id(one)):
        assert FHIR_ID.fullmatch(made)
        assert not made.isdecimal()


def test_the_same_study_gives_the_same_id_in_every_process() -> None:
    assert imaging_study_id("1.2.3") == "42d5e23b-3a02-5135-85c6-52d1102f1f00"


def test_a_separator_inside_a_value_does_not_mix_patients_up() -> None:
    assert patient_id("a|b", "c") != patient_id("a", "b|c")


def test_a_trailing_slash_does_not_make_another_endpoint() -> None:
    assert endpoint_id("http://a/dicom-web/") == endpoint_id("http://a/dicom-web")

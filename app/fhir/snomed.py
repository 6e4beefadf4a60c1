"""SNOMED CT codes for the codes of SNOMED RT that DICOM used before (PS3.16 Annex O)."""

from functools import cache


def sct_of(snomed_rt: str) -> str:
    """Return the SNOMED CT code of a code such as `T-D1100`, or nothing where PS3.16 has none."""
    return _table().get(snomed_rt, "")


@cache
def _table() -> dict[str, str]:
    # at its first use: 8,000 entries, and few data sets still have such codes
    from pydicom.sr._snomed_dict import mapping  # noqa: PLC0415

    return {str(old): str(new) for old, new in mapping["SRT"].items()}

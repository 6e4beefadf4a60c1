"""What a data set says about showing the values of one frame (PS3.3 §C.11, §C.7.6.16.2)."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from app.errors import NotAcceptable
from app.pixels.render_lut import LookUpTable, segmented_table_of, table_of
from app.pixels.render_options import VoiFunction, Window

_SEGMENTATION = frozenset(
    {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}  # and label map segmentation
)
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_COLORS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class Rescale:
    """A linear Modality LUT."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class GrayscaleDisplay:
    """The way of a frame's stored values to the screen."""

    modality: Rescale | LookUpTable = Rescale()
    voi: Window | LookUpTable | None = None  # None: from the smallest to the largest value
    extent: tuple[float, float] | None = None  # what None for `voi` means where values have a range
    inverse: bool = False
    padding: tuple[float, float] | None = None  # stored values that show nothing


def value_of(dataset: Dataset, attribute: str | int) -> Any:
    """Return the value of an attribute, named by keyword or tag, or None where it is missing or broken."""
    try:
        found = dataset.get(attribute)
        return found.value if isinstance(found, DataElement) else found
    except Exception:  # noqa: BLE001 - pydicom converts when asked; a broken value can raise anything
        return None


def numbers_of(dataset: Dataset, attribute: str | int) -> list[float]:
    """Return an attribute's values that are finite numbers."""
    value = value_of(dataset, attribute)
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    numbers = []
    for each in values:
        try:
            number = float(each)
        except (TypeError, ValueError):
            continue
        if isfinite(number):
            numbers.append(number)
    return numbers


def number_of(dataset: Dataset, attribute: str | int) -> float | None:
    """Return an attribute's first value that is a finite number."""
    return next(iter(numbers_of(dataset, attribute)), None)


def macro_of(dataset: Dataset, index: int, keyword: str) -> Dataset | None:
    """Return the functional group of a frame, its own or the one shared by all (PS3.3 §C.7.6.16)."""
    own = value_of(dataset, "PerFrameFunctionalGroupsSequence") or []
    shared = value_of(dataset, "SharedFunctionalGroupsSequence") or []
    for groups in (own[index : index + 1], shared[:1]):
        for group in groups:
            items = value_of(group, keyword)
            if items:
                found: Dataset = items[0]
                return found
    return None


def display_of(dataset: Dataset, index: int) -> GrayscaleDisplay:
    """Return how the frame at `index` is shown. Raises NotAcceptable for look-up tables that are none."""
    modality = _modality(dataset, index)
    return GrayscaleDisplay(
        modality=modality,
        voi=_voi(dataset, index, modality),
        extent=_extent(dataset),
        inverse=_is_inverse(dataset),
        padding=_padding(dataset),
    )


def _modality(dataset: Dataset, index: int) -> Rescale | LookUpTable:
    group = macro_of(dataset, index, "PixelValueTransformationSequence")
    if group is not None:
        return _rescale(group)
    items = value_of(dataset, "ModalityLUTSequence")
    if items:
        return _table(items[0], dataset, signed=_is_signed(dataset))
    return _rescale(dataset)


def _rescale(dataset: Dataset) -> Rescale:
    slope = number_of(dataset, "RescaleSlope")
    intercept = number_of(dataset, "RescaleIntercept")
    return Rescale(slope or 1.0, intercept or 0.0)  # a slope of 0 would show nothing


def _voi(
    dataset: Dataset, index: int, modality: Rescale | LookUpTable
) -> Window | LookUpTable | None:
    group = macro_of(dataset, index, "FrameVOILUTSequence")
    if group is not None:
        return _window(group)
    items = value_of(dataset, "VOILUTSequence")
    if items:
        below_zero = isinstance(modality, Rescale) and modality.intercept < 0
        return _table(items[0], dataset, signed=below_zero or _is_signed(dataset))
    return _window(dataset)


def _window(dataset: Dataset) -> Window | None:
    """Return the first window, if its function is defined for it."""
    center, width = number_of(dataset, "WindowCenter"), number_of(dataset, "WindowWidth")
    if center is None or width is None:
        return None
    named = str(value_of(dataset, "VOILUTFunction") or VoiFunction.LINEAR).strip().upper()
    function = VoiFunction(named) if named in set(VoiFunction) else VoiFunction.LINEAR
    window = Window(center, width, function)
    return window if window.is_valid else None


def _table(item: Dataset, dataset: Dataset, *, signed: bool) -> LookUpTable:
    descriptor, data = value_of(item, "LUTDescriptor"), value_of(item, "LUTData")
    if descriptor is None or data is None:
        raise NotAcceptable("A look-up table of the instance is incomplete.")
    return table_of(descriptor, data, little_endian=is_little_endian(dataset), signed=signed)


def _extent(dataset: Dataset) -> tuple[float, float] | None:
    if value_of(dataset, "BitsAllocated") == 1:
        return 0, 1
    if value_of(dataset, "SOPClassUID") not in _SEGMENTATION:
        return None
    largest = number_of(dataset, "MaximumFractionalValue")
    if value_of(dataset, "SegmentationType") == "FRACTIONAL" and largest:
        return 0, largest
    return (0, 1) if value_of(dataset, "SegmentationType") == "BINARY" else None


def _is_inverse(dataset: Dataset) -> bool:
    """Tell whether the least value is white (PS3.3 §C.7.6.3.1.2, §C.11.6.1.2)."""
    shape = value_of(dataset, "PresentationLUTShape")
    photometric = value_of(dataset, "PhotometricInterpretation")
    return bool(photometric == "MONOCHROME1" or shape == "INVERSE")


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    """Return the range of stored values that stand for no image (PS3.3 §C.7.5.1.1.2)."""
    for value_keyword, limit_keyword in (
        ("PixelPaddingValue", "PixelPaddingRangeLimit"),
        ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
        ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
    ):
        value = number_of(dataset, value_keyword)
        if value is not None:
            limit = number_of(dataset, limit_keyword)
            ends = [
                _as_stored(each, dataset) for each in (value, value if limit is None else limit)
            ]
            return min(ends), max(ends)
    return None


def _as_stored(padding: float, dataset: Dataset) -> float:
    """Return a padding value as a stored one: some writers give it without its sign."""
    return padding - 65536 if _is_signed(dataset) and padding >= 1 << 15 else padding


def _is_signed(dataset: Dataset) -> bool:
    return bool(value_of(dataset, "PixelRepresentation") == 1)


def is_little_endian(dataset: Dataset) -> bool:
    """Tell the byte order of words that are kept as bytes."""
    little: bool | None = dataset.original_encoding[1]
    return little is not False


def palette_of(dataset: Dataset) -> tuple[LookUpTable, LookUpTable, LookUpTable]:
    """Return the red, green and blue tables of a palette (PS3.3 §C.7.9). Raises NotAcceptable."""
    red, green, blue = (_palette_table(dataset, color) for color in _COLORS)
    return red, green, blue


def _palette_table(dataset: Dataset, color: str) -> LookUpTable:
    descriptor = value_of(dataset, f"{color}PaletteColorLookupTableDescriptor")
    data = value_of(dataset, f"{color}PaletteColorLookupTableData")
    segments = value_of(dataset, f"Segmented{color}PaletteColorLookupTableData")
    if descriptor is None or (data is None and segments is None):
        raise NotAcceptable("The palette of the instance is incomplete.")
    make, values = (table_of, data) if data is not None else (segmented_table_of, segments)
    return make(
        descriptor,
        values,
        little_endian=is_little_endian(dataset),
        signed=_is_signed(dataset),
    )


def pixel_aspect_of(dataset: Dataset, index: int) -> float:
    """Return how much taller than wide a pixel is (PS3.3 §C.7.6.3.1.7)."""
    group = macro_of(dataset, index, "PixelMeasuresSequence")
    candidates = [(dataset, "PixelAspectRatio"), *((dataset, keyword) for keyword in _SPACINGS)]
    if group is not None:
        candidates.insert(0, (group, "PixelSpacing"))
    for place, keyword in candidates:
        match numbers_of(place, keyword):
            case [vertical, horizontal] if vertical > 0 and horizontal > 0:
                return vertical / horizontal
    return 1.0

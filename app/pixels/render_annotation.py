"""Text that a request wants on the image: who it is, and how it was made (PS3.18 §8.3.5.1.1)."""

from collections.abc import Collection, Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from app.pixels.render_display import number_of, value_of
from app.pixels.render_options import Annotation, Window

_LONGEST = 64  # characters of a line, as long as a component of a name may be
_SMALLEST, _LARGEST = 11, 36  # pixels of height
_LINES_A_SIDE = 34  # text is so small that this many lines fit
_NO_CHARACTER = "\uffff"  # drawn as all that the font lacks are

# label, keyword, unit
_TECHNIQUE = (
    ("", "SeriesDescription", ""),
    ("", "ProtocolName", ""),
    ("", "SliceThickness", " mm thick"),
    ("Loc ", "SliceLocation", " mm"),
    ("", "KVP", " kV"),
    ("", "XRayTubeCurrent", " mA"),
    ("", "Exposure", " mAs"),
    ("TR ", "RepetitionTime", " ms"),
    ("TE ", "EchoTime", " ms"),
    ("FA ", "FlipAngle", "\N{DEGREE SIGN}"),
)


def annotate(
    image: Image.Image, dataset: Dataset, wanted: Collection[Annotation], window: Window | None
) -> None:
    """Write what is wanted onto the image: the patient top left, the technique bottom left."""
    if Annotation.PATIENT in wanted:
        _write(image, patient_lines(dataset), at_bottom=False)
    if Annotation.TECHNIQUE in wanted:
        _write(image, technique_lines(dataset, window), at_bottom=True)


def patient_lines(dataset: Dataset) -> list[str]:
    """Return name, identifier, birth date and sex of the patient."""
    name = value_of(dataset, "PatientName")
    spelled = "" if name is None else ", ".join(filter(None, str(name).split("=")[0].split("^")))
    lines = (
        spelled,
        _text(dataset, "PatientID"),
        " ".join(filter(None, (_date(dataset, "PatientBirthDate"), _text(dataset, "PatientSex")))),
    )
    return [line for line in lines if line]


def technique_lines(dataset: Dataset, window: Window | None) -> list[str]:
    """Return how and when the image was acquired, and the window it is shown with."""
    acquired = (
        _text(dataset, "Modality"),
        _date(dataset, "StudyDate"),
        _time(dataset, "StudyTime"),
    )
    lines = [" ".join(filter(None, acquired))]
    for label, keyword, unit in _TECHNIQUE:
        number = number_of(dataset, keyword) if label or unit else None
        shown = _text(dataset, keyword) if not (label or unit) else _spelled(number)
        if shown:
            lines.append(f"{label}{shown}{unit}")
    if window is not None:
        lines.append(f"C {_spelled(window.center)} W {_spelled(window.width)}")
    return [line for line in lines if line]


def _text(dataset: Dataset, keyword: str) -> str:
    value = value_of(dataset, keyword)
    return "" if value is None else str(value).strip()


def _spelled(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _date(dataset: Dataset, keyword: str) -> str:
    text = _text(dataset, keyword)
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else text  # noqa: PLR2004


def _time(dataset: Dataset, keyword: str) -> str:
    text = _text(dataset, keyword)
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 else text  # noqa: PLR2004 - HHMM


def _write(image: Image.Image, lines: Sequence[str], *, at_bottom: bool) -> None:
    size = min(max(image.height // _LINES_A_SIDE, _SMALLEST), _LARGEST)
    font = ImageFont.load_default(size)
    text = "\n".join(_drawable((line[:_LONGEST] for line in lines), font))
    draw = ImageDraw.Draw(image)
    white, black = (255, 0) if image.mode == "L" else ((255, 255, 255), (0, 0, 0))
    left, top = size // 2, image.height - size // 2 if at_bottom else size // 2
    shadow = max(1, size // 12)  # what is white is read on white, too
    for offset, color in ((shadow, black), (0, white)):
        draw.multiline_text(
            (left + offset, top + offset),
            text,
            fill=color,
            font=font,
            anchor="ld" if at_bottom else "la",
            spacing=size // 5,
        )


def _drawable(
    lines: Iterable[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[str]:
    """Return lines with a question mark for each character that the font does not have."""
    missing = bytes(font.getmask(_NO_CHARACTER))

    def drawn(character: str) -> str:
        lacks = character.isprintable() and bytes(font.getmask(character)) == missing
        return "?" if lacks or not character.isprintable() else character

    return ["".join(drawn(character) for character in line) for line in lines]

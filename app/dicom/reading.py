"""What one reading of an object has come across so far, and how much more it may."""

from binascii import b2a_base64
from typing import Any

from app.dicom.character_set import DEFAULT_REPERTOIRE, CharacterSet
from app.dicom.element_header import Buffer
from app.dicom.instance import ByteRange, Finding
from app.errors import InstanceTooLarge, Truncated
from app.limits import Limits

Element = dict[str, Any]

_FINDINGS_KEPT = 100
_STEP = 64 * 1024  # bytes


class Scope:
    """What the elements of one level have to know of the level and of those around it."""

    __slots__ = ("character_set", "depth", "prefix", "signed")

    def __init__(
        self,
        prefix: str = "",
        depth: int = 0,
        character_set: CharacterSet = DEFAULT_REPERTOIRE,
        *,
        signed: bool = False,
    ) -> None:
        """Begin a level; `prefix` is the path of its item with a dot, `signed` the Pixel Representation."""
        self.prefix = prefix
        self.depth = depth
        self.character_set = character_set
        self.signed = signed

    @property
    def name(self) -> str:
        """Return how errors call this level."""
        return f"The item {self.prefix[:-1]}" if self.prefix else "The data set"


class Reading:
    """The findings and bulk values of one object."""

    def __init__(self, data: Buffer, limits: Limits) -> None:
        """Read from `data`, within `limits`."""
        self.data = data
        self.limits = limits
        self.findings: list[Finding] = []
        self.bulk: dict[str, ByteRange] = {}
        self._outside: list[Element] = []
        self._elements_left = limits.elements

    def find(self, path: str, message: str) -> None:
        """Note something that the sender should hear of."""
        if len(self.findings) < _FINDINGS_KEPT:
            self.findings.append(Finding(path, message))

    def count(self, number: int = 1) -> None:
        """Count elements, items and fragments. Raises InstanceTooLarge."""
        self._elements_left -= number
        if self._elements_left < 0:
            raise InstanceTooLarge("The object has more elements than the limit elements.")

    def outside(self, path: str, vr: str, place: ByteRange) -> Element:
        """Return an element whose value stays where it is; its URI is only the path as yet."""
        element = {"vr": vr, "BulkDataURI": path}
        self.bulk.setdefault(path, place)
        self._outside.append(element)
        return element

    def address(self, base: str) -> None:
        """Put `base` in front of every path."""
        for element in self._outside:
            element["BulkDataURI"] = base + element["BulkDataURI"]


def only_zeros(data: Buffer, position: int) -> bool:
    """Tell whether nothing but zeros follows, as some writers pad files."""
    for start in range(position, len(data), _STEP):
        if bytes(data[start : start + _STEP]).strip(b"\0"):
            return False
    return True


def inline(vr: str, raw: bytes) -> Element:
    """Return an element with a binary value (PS3.18 §F.2.7)."""
    if not raw:
        return {"vr": vr}
    return {"vr": vr, "InlineBinary": b2a_base64(raw, newline=False).decode("ascii")}


def cut_short(what: str, start: int, length: int, left: int) -> Truncated:
    """Return the error for a value that is longer than what is left for it."""
    tag = what.rpartition(" ")[2].rpartition(".")[2]
    return Truncated(
        f"{what} has {length} bytes from byte {start}, but only {left} are left there.",
        attributes=(tag,) if len(tag) == 8 else (),  # noqa: PLR2004 - a tag has 8 digits
    )

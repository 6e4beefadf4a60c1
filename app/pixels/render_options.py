"""How an image is asked to be rendered (PS3.18 §8.3.5)."""

from dataclasses import dataclass
from enum import StrEnum


class Annotation(StrEnum):
    """What to write onto the image (PS3.18 §8.3.5.1.1)."""

    PATIENT = "patient"
    TECHNIQUE = "technique"


class VoiFunction(StrEnum):
    """How values between the ends of a window are mapped (PS3.3 §C.11.2.1.3)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class IccProfile(StrEnum):
    """Which colour space to render to, and whether to say so in the image (PS3.18 §8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"


@dataclass(frozen=True, slots=True)
class Window:
    """A window of interest over what the Modality LUT gives."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    @property
    def is_valid(self) -> bool:
        """Tell whether the function is defined for the width (PS3.3 §C.11.2.1.2, §C.11.2.1.3)."""
        return self.width >= 1 if self.function is VoiFunction.LINEAR else self.width > 0


@dataclass(frozen=True, slots=True)
class Viewport:
    """The largest size of the rendered image, and the region of the source that it shows.

    A region without a width or height ends where the image ends (PS3.18 §8.3.5.1.3).
    """

    width: int
    height: int
    left: float = 0
    top: float = 0
    region_width: float | None = None
    region_height: float | None = None
    enlarges: bool = True  # an image that is smaller than the viewport
    flip_horizontally: bool = False
    flip_vertically: bool = False


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Everything that a request says about the rendered image."""

    media_type: str = "image/jpeg"
    quality: int | None = None
    viewport: Viewport | None = None
    window: Window | None = None
    annotations: tuple[Annotation, ...] = ()
    icc_profile: IccProfile | None = None
    overlays: bool = True

"""Segmentations, parametric maps, presentation states and reports about a CT image, made by highdicom."""

from collections.abc import Callable, Iterator
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.sr.coding import CodedConcept
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

MAKER = {
    "manufacturer": "Coregister",
    "manufacturer_model_name": "tests",
    "software_versions": "1",
    "device_serial_number": "1",
}
ALGORITHM = hd.AlgorithmIdentificationSequence(
    name="threshold", version="1", family=codes.DCM.ArtificialIntelligence
)
BRIGHT = 1000  # where the segment begins


def made_objects() -> Iterator[tuple[str, Dataset]]:
    """Yield each object with what it is called."""
    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    for name, make in _MAKERS.items():
        yield name, make(image)


def _new() -> dict[str, Any]:
    return {
        "series_instance_uid": generate_uid(),
        "series_number": 100,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        **MAKER,
    }


def _segmentation(kind: hd.seg.SegmentationTypeValues) -> Callable[[Dataset], Dataset]:
    def make(image: Dataset) -> Dataset:
        mask = image.pixel_array > BRIGHT
        described = hd.seg.SegmentDescription(
            segment_number=1,
            segment_label="bright",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=ALGORITHM,
        )
        fractional = kind is hd.seg.SegmentationTypeValues.FRACTIONAL
        return hd.seg.Segmentation(
            [image],
            pixel_array=mask.astype(np.float32) / 2 if fractional else mask.astype(np.uint8),
            segmentation_type=kind,
            segment_descriptions=[described],
            **_new(),
        )

    return make


def _parametric_map(image: Dataset) -> Dataset:
    unit = CodedConcept("1", "UCUM", "no units")
    return hd.pm.ParametricMap(
        [image],
        pixel_array=image.pixel_array.astype(np.float32) / BRIGHT,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            hd.pm.RealWorldValueMapping(
                lut_label="1", lut_explanation="bright", unit=unit, value_range=(0.0, 100.0),
                slope=1, intercept=0,
            )
        ],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=1.0, window_width=2.0)],
        **_new(),
    )  # fmt: skip


def _presentation_state(image: Dataset) -> Dataset:
    return hd.pr.GrayscaleSoftcopyPresentationState(
        [image],
        content_label="BRIGHT",
        voi_lut_transformations=[
            hd.pr.SoftcopyVOILUTTransformation(window_center=1000, window_width=500)
        ],
        **_new(),
    )


def measurement_report(image: Dataset) -> Dataset:
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid()
        ),
    )
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.CIRCLE,
        graphic_data=np.array([[64.0, 64.0], [80.0, 64.0]]),
        source_image=hd.sr.SourceImageForRegion.from_source_image(image),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=generate_uid(), identifier="bright spot"),
        referenced_region=region,
        finding_type=codes.SCT.Lesion,
        measurements=[
            hd.sr.Measurement(
                name=codes.SCT.AreaOfDefinedRegion, value=804.2, unit=codes.UCUM.SquareMillimeter
            )
        ],
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    return hd.sr.ComprehensiveSR(
        evidence=[image], content=report, is_verified=False, is_final=True, **_new()
    )


def _key_objects(image: Dataset) -> Dataset:
    return hd.ko.KeyObjectSelectionDocument(
        evidence=[image],
        content=hd.ko.KeyObjectSelection(
            document_title=codes.DCM.OfInterest, referenced_objects=[image]
        ),
        series_instance_uid=generate_uid(),
        series_number=100,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MAKER["manufacturer"],
    )


def _secondary_capture(image: Dataset) -> Dataset:
    pixels = (image.pixel_array // 16).astype(np.uint8)
    return hd.sc.SCImage.from_ref_dataset(
        ref_dataset=image,
        pixel_array=pixels,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        series_instance_uid=generate_uid(),
        series_number=100,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MAKER["manufacturer"],
        patient_orientation=("L", "P"),
    )


_MAKERS: dict[str, Callable[[Dataset], Dataset]] = {
    "binary segmentation": _segmentation(hd.seg.SegmentationTypeValues.BINARY),
    "fractional segmentation": _segmentation(hd.seg.SegmentationTypeValues.FRACTIONAL),
    "label map segmentation": _segmentation(hd.seg.SegmentationTypeValues.LABELMAP),
    "parametric map": _parametric_map,
    "presentation state": _presentation_state,
    "measurement report": measurement_report,
    "key object selection": _key_objects,
    "secondary capture": _secondary_capture,
}

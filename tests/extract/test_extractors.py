"""Every attribute of every table is read from where the standard keeps it."""

from __future__ import annotations

import datetime as dt
import io
import warnings
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pydicom
import pytest
from header.windows import SYNTAXES, file_of, window_of
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    RTDoseStorage,
    RTIonPlanStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    SurfaceSegmentationStorage,
)

from dcmdask.dicom.values import (
    DATE,
    INTEGER,
    INTEGERS,
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    TIME,
    convert,
)
from dcmdask.extract.base import BASE
from dcmdask.extract.ct import CT
from dcmdask.extract.mr import MR
from dcmdask.extract.other import OTHER
from dcmdask.extract.pt import PT
from dcmdask.extract.reading import GROUPS, wanted_tags
from dcmdask.extract.registry import EXTRACTORS, all_attributes, attributes_of, extractor_for
from dcmdask.extract.rtdose import RTDOSE
from dcmdask.extract.rtplan import RTPLAN
from dcmdask.extract.rtstruct import RTSTRUCT
from dcmdask.extract.seg import LABEL_MAP_SEGMENTATION, SEG
from dcmdask.extract.sr import SR
from dcmdask.extract.table import Attribute, Extractor
from dcmdask.header.deep import describe_header
from dcmdask.header.notes import Remark
from dcmdask.header.reader import quiet_pydicom
from dcmdask.tables.schema import CRAWL_DB, DESCRIBED
from dcmdask.types import Note

EVERY = (*EXTRACTORS, OTHER)

PEERS = {
    "": """PatientID SeriesInstanceUID StudyInstanceUID Modality BodyPartExamined
        DataCollectionDiameter FrameOfReferenceUID NumberOfSlices SliceThickness PatientPosition
        PixelSpacing ImageOrientationPatient ImagePositionPatient SpacingBetweenSlices RescaleType
        RescaleSlope RescaleIntercept Manufacturer ManufacturerModelName DeviceSerialNumber
        SoftwareVersions InstitutionName StationName ScanType ScanProgressionDirection ScanOptions
        AcquisitionNumber ProtocolName StudyDate StudyTime SeriesDate SeriesTime ContentDate
        ContentTime AcquisitionDate AcquisitionTime InstanceCreationDate InstanceCreationTime""",
    "CT": """ContrastFlowDuration ContrastFlowRate ContrastBolusAgent ContrastBolusVolume
        ContrastBolusStartTime ContrastBolusStopTime ContrastBolusIngredient
        ContrastBolusIngredientConcentration KVP XRayTubeCurrent ExposureTime Exposure
        ExposureModulationType CTDIvol ReconstructionAlgorithm ReconstructionDiameter
        ReconstructionMethod ReconstructionTargetCenterPatient ReconstructionFieldOfView
        ConvolutionKernel SpiralPitchFactor SingleCollimationWidth TotalCollimationWidth TableSpeed
        TableMotion GantryDetectorTilt DetectorType DetectorConfiguration
        DataCollectionCenterPatient""",
    "MR": """MagneticFieldStrength ImagingFrequency TransmitCoilName SequenceName ScanningSequence
        SequenceVariant AcquisitionContrast AcquisitionType EchoTime RepetitionTime InversionTime
        EchoTrainLength NumberOfAverages FlipAngle PercentSampling PercentPhaseFieldOfView
        PixelBandwidth SpacingBetweenSlices DiffusionGradientDirectionSequence
        DiffusionBMatrixSequence ParallelAcquisitionTechnique ParallelReductionFactorInPlane
        ParallelReductionFactorOutOfPlane NumberOfTemporalPositions TemporalResolution
        FrameReferenceTime""",
    "PT": """Radiopharmaceutical RadiopharmaceuticalStartTime RadionuclideTotalDose
        RadionuclideHalfLife RadionuclidePositronFraction RadiopharmaceuticalVolume
        RadiopharmaceuticalSpecificActivity RadiopharmaceuticalStartDateTime
        RadiopharmaceuticalStopDateTime RadiopharmaceuticalRoute RadiopharmaceuticalCodeSequence
        DecayCorrection DecayFactor AttenuationCorrectionMethod ScatterCorrectionMethod
        DecayCorrected DeadTimeCorrectionFlag ReconstructionMethod SUVType FrameReferenceTime
        FrameTime ActualFrameDuration AcquisitionStartCondition AcquisitionTerminationCondition
        TimeSliceVector DetectorType CoincidenceWindowWidth EnergyWindowLowerLimit
        EnergyWindowUpperLimit""",
    "SEG": """SegmentationType SegmentationFractionalType MaximumFractionalValue
        ROINames ROIDescriptions SegSpacing SegDirection""",
    "RTSTRUCT": """StructureSetLabel StructureSetName StructureSetDate StructureSetTime
        ROINames NumROIs""",
    "RTDOSE": "DoseType DoseUnits DoseSummationType DoseGridScaling ReferencedSeriesSOPUIDs",
    "RTPLAN": "RTPlanLabel RTPlanName RTPlanDate RTPlanTime",
    "SR": "Manufacturer ContentDate ContentTime SeriesDescription",
}
"""The tag sets of Med-ImageTools 2 and the computed fields of seed B: the least to extract."""

UNITS = {
    "DataCollectionDiameter": "mm",
    "SliceThickness": "mm",
    "PixelSpacing": "mm",
    "ImagePositionPatient": "mm",
    "SpacingBetweenSlices": "mm",
    "ContrastFlowDuration": "s",
    "ContrastFlowRate": "ml/s",
    "ContrastBolusVolume": "ml",
    "ContrastBolusIngredientConcentration": "mg/ml",
    "KVP": "kV",
    "XRayTubeCurrent": "mA",
    "ExposureTime": "ms",
    "Exposure": "mAs",
    "CTDIvol": "mGy",
    "ReconstructionDiameter": "mm",
    "ReconstructionTargetCenterPatient": "mm",
    "ReconstructionFieldOfView": "mm",
    "SingleCollimationWidth": "mm",
    "TotalCollimationWidth": "mm",
    "TableSpeed": "mm/s",
    "GantryDetectorTilt": "degree",
    "DataCollectionCenterPatient": "mm",
    "MagneticFieldStrength": "T",
    "ImagingFrequency": "MHz",
    "EchoTime": "ms",
    "RepetitionTime": "ms",
    "InversionTime": "ms",
    "FlipAngle": "degree",
    "PercentSampling": "%",
    "PercentPhaseFieldOfView": "%",
    "PixelBandwidth": "Hz/px",
    "DiffusionBValue": "s/mm2",
    "DiffusionBMatrixSequence": "s/mm2",
    "TemporalResolution": "ms",
    "RadionuclideTotalDose": "Bq (MBq in enhanced objects)",
    "RadionuclideHalfLife": "s",
    "RadiopharmaceuticalVolume": "cm3",
    "RadiopharmaceuticalSpecificActivity": "Bq/micromole",
    "FrameReferenceTime": "ms",
    "FrameTime": "ms",
    "ActualFrameDuration": "ms",
    "CoincidenceWindowWidth": "ns",
    "EnergyWindowLowerLimit": "keV",
    "EnergyWindowUpperLimit": "keV",
    "SegSpacing": "mm",
    "DoseGridScaling": "DoseUnits per stored value",
}
"""Units of PS3.3."""

LATE = {
    "RTSTRUCT": {"ScanType"},
    "SR": {"NumberOfSlices", "ScanType", "ScanProgressionDirection", "SourceInstanceSequence"},
}
"""What images or encapsulated documents have, and these objects not: reading stops before it."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_pydicom():
        yield


def sample(keyword: str, number: int) -> tuple[Any, Any]:
    """Give a value for an attribute as its VR and VM want it, and what a column holds of it."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    vr = dictionary_VR(tag).split(" ")[0]
    several = dictionary_VM(tag) != "1"
    values: dict[str, tuple[Any, Any]] = {
        "DA": (f"201{number % 10}0203", dt.date(2010 + number % 10, 2, 3)),
        "TM": (f"10{number % 60:02d}05.25", dt.time(10, number % 60, 5, 250_000)),
        "DT": (f"20100203{number % 24:02d}0000+0100", f"20100203{number % 24:02d}0000+0100"),
        "UI": (f"1.2.{number}", f"1.2.{number}"),
        **dict.fromkeys(("DS", "FD", "FL"), (number + 0.5, number + 0.5)),
        **dict.fromkeys(("IS", "US", "SS", "UL", "SL"), (number, number)),
    }
    value, expected = values.get(vr, (f"T{number}", f"T{number}"))
    return ([value, value], [expected, expected]) if several else (value, expected)


def place(dataset: Dataset, path: str, value: Any) -> None:
    """Set a value where a path of a table leads."""
    holder, _, keyword = path.rpartition(".")
    if holder:
        if holder not in dataset:
            setattr(dataset, holder, Sequence([Dataset()]))
        dataset = dataset[holder].value[0]
    setattr(dataset, keyword, value)


def describe(dataset: Dataset, extractor: Extractor, syntax: str = SYNTAXES[0]) -> dict[str, Any]:
    """Give the attributes of a dataset after a trip through a file."""
    window, _ = window_of(file_of(dataset, syntax))
    return describe_header(window, extractor, attributes=True).attributes


def names(extractor: Extractor) -> set[str]:
    """Give the names of an extractor's attributes, base ones included."""
    return {attribute.name for attribute in attributes_of(extractor)}


# The tables


@pytest.mark.parametrize("extractor", EVERY, ids=lambda extractor: extractor.modality or "other")
def test_tables_hold_what_peers_read(extractor: Extractor) -> None:
    """Base and modality sets are at least those of the nearest relative."""
    least = set(f"{PEERS['']} {PEERS[extractor.modality]}".split())
    assert set() == least - names(extractor)


def test_measured_attributes_have_a_unit() -> None:
    """Whatever is measured says in what."""
    units = {attribute.name: attribute.unit for attribute in all_attributes() if attribute.unit}
    assert UNITS == units


def test_every_modality_agrees_on_a_shared_column() -> None:
    """A column that several modalities fill has one type, one unit, and stands in the schema."""
    found: dict[str, Attribute] = {}
    for extractor in EVERY:
        for attribute in attributes_of(extractor):
            first = found.setdefault(attribute.name, attribute)
            assert (first.type, first.unit) == (attribute.type, attribute.unit)
    for name, attribute in found.items():
        assert attribute.type == CRAWL_DB.field(name).type
        assert attribute.type == DESCRIBED.field(name).type


def test_no_table_names_an_attribute_twice() -> None:
    """A column has one row in the tables of a modality."""
    for extractor in EVERY:
        listed = [attribute.name for attribute in extractor.attributes]
        assert sorted(set(listed)) == sorted(listed)


@pytest.mark.parametrize("extractor", EVERY, ids=lambda extractor: extractor.modality or "other")
def test_nothing_that_is_wanted_stands_behind_the_stop(extractor: Extractor) -> None:
    """Where reading stops before the bulk, all that is asked for stands before it."""
    last = extractor.bulk or GROUPS[1]
    wanted = wanted_tags(extractor, attributes=True, fallback=False)
    late = {keyword_for_tag(tag) for tag in wanted if tag >= last and tag not in GROUPS}
    assert LATE.get(extractor.modality, set()) == late
    if extractor.bulk is not None:
        asked = wanted_tags(extractor, attributes=False, fallback=True)
        assert extractor.bulk in asked


@pytest.mark.parametrize("extractor", EVERY, ids=lambda extractor: extractor.modality or "other")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_attribute_is_read_back(extractor: Extractor, syntax: str) -> None:
    """An object that holds every attribute of the table gives each as its column wants it."""
    dataset, expected = Dataset(), {}
    for number, attribute in enumerate(attributes_of(extractor), start=1):
        if attribute.compute is None and attribute.name not in LATE.get(extractor.modality, ()):
            value, expected[attribute.name] = sample(attribute.name, number)
            place(dataset, attribute.paths[0], value)
    found = describe(dataset, extractor, syntax)
    assert expected == {name: found[name] for name in expected}
    for name, value in expected.items():
        assert 1 == len(pa.array([value], CRAWL_DB.field(name).type))


@pytest.mark.parametrize("extractor", EVERY, ids=lambda extractor: extractor.modality or "other")
def test_every_path_of_every_attribute_is_read(extractor: Extractor) -> None:
    """Each further place of an attribute serves where those before it are empty."""
    stop = extractor.bulk or GROUPS[1]
    for number, attribute in enumerate(attributes_of(extractor), start=1):
        paths = () if attribute.compute else attribute.paths
        for path in paths:
            top = GROUPS[0] if path.startswith("*.") else tag_for_keyword(path.split(".")[0])
            assert top is not None
            if top < stop:
                dataset, expected = holding(path, number, attribute)
                assert expected == describe(dataset, extractor)[attribute.name]


def holding(path: str, number: int, attribute: Attribute) -> tuple[Dataset, Any]:
    """Give a dataset that holds an attribute in one of its places only, and the column's value."""
    value, expected = sample(path.rpartition(".")[2], number)
    if isinstance(value, list) and not pa.types.is_list(attribute.type):
        value, expected = value[:1], expected[0]
    dataset = Dataset()
    if path.startswith("*."):
        groups = {"PixelMeasuresSequence": macro(**{path[2:]: value})}
        return enhanced({}, [groups]), expected
    place(dataset, path, value)
    return dataset, expected


@pytest.mark.parametrize("extractor", EVERY, ids=lambda extractor: extractor.modality or "other")
def test_an_object_that_says_nothing_has_nulls(extractor: Extractor) -> None:
    """No attribute is made up; only the number of ROIs is always known."""
    found = describe(Dataset(), extractor)
    assert names(extractor) == set(found)
    known = {name: value for name, value in found.items() if value is not None}
    assert ({"NumROIs": 0} if extractor is RTSTRUCT else {}) == known


def test_values_are_those_of_pydicom() -> None:
    """The values of the table are what pydicom reads, converted as a column wants them."""
    dataset = Dataset()
    for number, attribute in enumerate(BASE, start=1):
        setattr(dataset, attribute.name, sample(attribute.name, number)[0])
    content = file_of(dataset)
    whole = pydicom.dcmread(io.BytesIO(content))
    window, _ = window_of(content)
    found = describe_header(window, OTHER, attributes=True).attributes
    expected = {a.name: convert(whole.get(a.name), a.type) for a in BASE}
    assert expected == found


# Positron emission


def emission(**values: Any) -> Dataset:
    """Give a PET dataset with a dose item of some values."""
    dose = Dataset()
    for word, value in values.items():
        setattr(dose, word, value)
    dataset = Dataset()
    dataset.RadiopharmaceuticalInformationSequence = Sequence([dose])
    return dataset


def test_a_dose_lives_in_its_sequence() -> None:
    """The dose is read from its item, and not from top level where it never stands."""
    dataset = emission(RadionuclideTotalDose="4.1e8", RadiopharmaceuticalStartTime="101600")
    found = describe(dataset, PT)
    assert (4.1e8, dt.time(10, 16)) == (
        found["RadionuclideTotalDose"],
        found["RadiopharmaceuticalStartTime"],
    )
    top = Dataset()
    top.RadionuclideTotalDose = "4.1e8"
    assert None is describe(top, PT)["RadionuclideTotalDose"]


def test_codes_of_a_radiopharmaceutical() -> None:
    """Each code is its value, its scheme and its meaning; what it lacks is empty."""
    full, bare = Dataset(), Dataset()
    full.CodeValue, full.CodingSchemeDesignator, full.CodeMeaning = "C-B1031", "SRT", "FDG"
    bare.CodeValue = "x"
    dataset = emission(RadiopharmaceuticalCodeSequence=Sequence([full, bare]))
    expected = ['(C-B1031, SRT, "FDG")', '(x, , "")']
    assert expected == describe(dataset, PT)["RadiopharmaceuticalCodeSequence"]


def test_energy_windows_live_in_their_sequence() -> None:
    """The limits are those of the first window."""
    first, second = Dataset(), Dataset()
    first.EnergyWindowLowerLimit, first.EnergyWindowUpperLimit = "425", "650"
    second.EnergyWindowLowerLimit = "1"
    dataset = Dataset()
    dataset.EnergyWindowRangeSequence = Sequence([first, second])
    found = describe(dataset, PT)
    assert (425.0, 650.0) == (found["EnergyWindowLowerLimit"], found["EnergyWindowUpperLimit"])


# Enhanced objects


def enhanced(shared: dict[str, Dataset], frames: list[dict[str, Dataset]]) -> Dataset:
    """Give a dataset of functional groups: macro to its item, shared and frame by frame."""

    def group(macros: dict[str, Dataset]) -> Dataset:
        dataset = Dataset()
        for macro, entry in macros.items():
            setattr(dataset, macro, Sequence([entry]))
        return dataset

    dataset = Dataset()
    dataset.SharedFunctionalGroupsSequence = Sequence([group(shared)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([group(macros) for macros in frames])
    return dataset


def macro(**values: Any) -> Dataset:
    """Give the item of a macro."""
    dataset = Dataset()
    for word, value in values.items():
        setattr(dataset, word, value)
    return dataset


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("extractor", "sequence", "keyword", "value", "name", "expected"),
    [
        (CT, "PixelMeasuresSequence", "PixelSpacing", [0.5, 0.25], "PixelSpacing", [0.5, 0.25]),
        (CT, "PixelMeasuresSequence", "SliceThickness", 2, "SliceThickness", 2.0),
        (
            CT,
            "PlanePositionSequence",
            "ImagePositionPatient",
            [1, 2, 3],
            "ImagePositionPatient",
            [1, 2, 3],
        ),
        (CT, "PixelValueTransformationSequence", "RescaleSlope", 2, "RescaleSlope", 2.0),
        (CT, "CTXRayDetailsSequence", "KVP", 120, "KVP", 120.0),
        (CT, "CTExposureSequence", "XRayTubeCurrentInmA", 210.5, "XRayTubeCurrent", 210.5),
        (CT, "CTExposureSequence", "ExposureTimeInms", 500.5, "ExposureTime", 500.5),
        (CT, "CTExposureSequence", "ExposureInmAs", 105.25, "Exposure", 105.25),
        (CT, "CTExposureSequence", "CTDIvol", 7.5, "CTDIvol", 7.5),
        (
            CT,
            "CTReconstructionSequence",
            "ConvolutionKernel",
            ["B30f"],
            "ConvolutionKernel",
            ["B30f"],
        ),
        (CT, "CTTableDynamicsSequence", "SpiralPitchFactor", 0.9, "SpiralPitchFactor", 0.9),
        (MR, "MREchoSequence", "EffectiveEchoTime", 30.5, "EchoTime", 30.5),
        (
            MR,
            "MRTimingAndRelatedParametersSequence",
            "RepetitionTime",
            500,
            "RepetitionTime",
            500.0,
        ),
        (MR, "MRTimingAndRelatedParametersSequence", "FlipAngle", 52, "FlipAngle", 52.0),
        (MR, "MRModifierSequence", "InversionTimes", 900.0, "InversionTime", 900.0),
        (
            MR,
            "MRModifierSequence",
            "ParallelReductionFactorInPlane",
            2.0,
            "ParallelReductionFactorInPlane",
            2.0,
        ),
        (MR, "MRImagingModifierSequence", "TransmitterFrequency", 123.2, "ImagingFrequency", 123.2),
        (MR, "MRTransmitCoilSequence", "TransmitCoilName", "Body", "TransmitCoilName", "Body"),
        (MR, "MRAveragesSequence", "NumberOfAverages", 2, "NumberOfAverages", 2.0),
        (MR, "MRDiffusionSequence", "DiffusionBValue", 1000.0, "DiffusionBValue", 1000.0),
        (PT, "PETFrameCorrectionFactorsSequence", "DecayFactor", 1.5, "DecayFactor", 1.5),
        (PT, "PixelMeasuresSequence", "SliceThickness", 3, "SliceThickness", 3.0),
    ],
)
def test_functional_groups_serve_enhanced_objects(
    shared: bool,
    extractor: Extractor,
    sequence: str,
    keyword: str,
    value: Any,
    name: str,
    expected: Any,
) -> None:
    """What a plain object says at top level stands in a macro, shared or of the first frame."""
    own = {sequence: macro(**{keyword: value})}
    other = {sequence: macro(**{keyword: value})}
    dataset = enhanced(own, [{}, {}]) if shared else enhanced({}, [own, other])
    assert expected == describe(dataset, extractor)[name]


def test_shared_groups_come_before_those_of_the_first_frame() -> None:
    """What holds for all frames is said first; an empty value there leaves it to the frame."""
    thick, thin = macro(SliceThickness="2"), macro(SliceThickness="1")
    dataset = enhanced({"PixelMeasuresSequence": thick}, [{"PixelMeasuresSequence": thin}])
    assert 2.0 == describe(dataset, CT)["SliceThickness"]
    dataset = enhanced(
        {"PixelMeasuresSequence": macro(SliceThickness="")}, [{"PixelMeasuresSequence": thin}]
    )
    assert 1.0 == describe(dataset, CT)["SliceThickness"]


def test_the_first_frame_speaks_for_its_series() -> None:
    """Of values that differ frame by frame the first one's is taken."""
    frames = [{"PlanePositionSequence": macro(ImagePositionPatient=[0, 0, z])} for z in (5, 6, 7)]
    assert [0, 0, 5] == describe(enhanced({}, frames), CT)["ImagePositionPatient"]


def test_private_groups_are_not_asked() -> None:
    """A vendor's own sequence of a frame may repeat a keyword with another meaning."""
    dataset = enhanced({}, [{}])
    group = dataset.PerFrameFunctionalGroupsSequence[0]
    block = group.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
    block.add_new(0x0F, "SQ", Sequence([macro(EchoTime="99")]))
    assert None is describe(dataset, MR)["EchoTime"]


def test_top_level_names_of_enhanced_magnetic_resonance() -> None:
    """The sequence of an enhanced object has a name of its own."""
    dataset = Dataset()
    dataset.PulseSequenceName = "*epfid2d1_64"
    assert "*epfid2d1_64" == describe(dataset, MR)["SequenceName"]


def test_several_values_for_one_column_are_none() -> None:
    """Of several inversion times none is picked."""
    dataset = enhanced({"MRModifierSequence": macro(InversionTimes=[900.0, 950.0])}, [{}])
    window, _ = window_of(file_of(dataset))
    description = describe_header(window, MR, attributes=True)
    assert (None, ["InversionTime"]) == (
        description.attributes["InversionTime"],
        description.malformed,
    )


# Computed fields


MATRIX = dict(zip(("XX", "XY", "XZ", "YY", "YZ", "ZZ"), range(6), strict=True))


@pytest.mark.parametrize("place_", ["top", "shared", "frame"])
def test_diffusion(place_: str) -> None:
    """Gradient direction and b-matrix are read from the macro, or from top level."""
    gradient = macro(DiffusionGradientOrientation=[0.0, 0.6, 0.8])
    matrix = macro(**{f"DiffusionBValue{axes}": float(value) for axes, value in MATRIX.items()})
    holder = Dataset()
    holder.DiffusionGradientDirectionSequence = Sequence([gradient])
    holder.DiffusionBMatrixSequence = Sequence([matrix])
    datasets = {
        "top": holder,
        "shared": enhanced({"MRDiffusionSequence": holder}, [{}]),
        "frame": enhanced({}, [{"MRDiffusionSequence": holder}]),
    }
    found = describe(datasets[place_], MR)
    assert [0.0, 0.6, 0.8] == found["DiffusionGradientDirectionSequence"]
    assert [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] == found["DiffusionBMatrixSequence"]


def test_an_incomplete_matrix_is_none() -> None:
    """Five of six elements are no matrix."""
    dataset = Dataset()
    dataset.DiffusionBMatrixSequence = Sequence([macro(DiffusionBValueXX=1.0)])
    assert None is describe(dataset, MR)["DiffusionBMatrixSequence"]


def test_rois_of_a_structure_set() -> None:
    """Names stand in the order of the ROIs; one without a name keeps its place."""
    dataset = Dataset()
    rois = [macro(ROIName="Heart"), macro(ROINumber=2), macro(ROIName=""), macro(ROIName="Lung é")]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StructureSetROISequence = Sequence(rois)
    found = describe(dataset, RTSTRUCT)
    assert (["Heart", None, None, "Lung é"], 4) == (found["ROINames"], found["NumROIs"])


def test_segments_of_a_segmentation() -> None:
    """Labels and descriptions stand in the order of the segments."""
    dataset = Dataset()
    segments = [
        macro(SegmentLabel="Liver", SegmentDescription="whole"),
        macro(SegmentLabel="Spleen"),
    ]
    dataset.SegmentSequence = Sequence(segments)
    found = describe(dataset, SEG)
    assert ["Liver", "Spleen"] == found["ROINames"]
    assert ["whole", None] == found["ROIDescriptions"]
    del segments[0].SegmentDescription
    assert [None, None] == describe(dataset, SEG)["ROIDescriptions"]


def test_a_dose_names_its_structure_set_else_its_plan() -> None:
    """As Med-ImageTools has it: a list of one SOP Instance UID; none where none is named."""
    dataset = Dataset()
    dataset.ReferencedRTPlanSequence = Sequence([macro(ReferencedSOPInstanceUID="1.2")])
    assert ["1.2"] == describe(dataset, RTDOSE)["ReferencedSeriesSOPUIDs"]
    sets = [macro(ReferencedSOPInstanceUID=uid) for uid in ("1.3", "1.4")]
    dataset.ReferencedStructureSetSequence = Sequence(sets)
    assert ["1.3"] == describe(dataset, RTDOSE)["ReferencedSeriesSOPUIDs"]


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        (
            {"PixelSpacing": [0.5, 0.25], "SpacingBetweenSlices": 3, "SliceThickness": 2},
            [0.5, 0.25, 3],
        ),
        ({"PixelSpacing": [0.5, 0.25], "SliceThickness": 2}, [0.5, 0.25, 2]),
        ({"PixelSpacing": [0.5, 0.25]}, None),
        ({"SliceThickness": 2}, None),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_spacing_of_a_segmentation(shared: bool, measures: dict[str, Any], expected: Any) -> None:
    """Spacing is in plane and between slices; part of it is none."""
    groups = {"PixelMeasuresSequence": macro(**measures)}
    dataset = enhanced(groups, [{}]) if shared else enhanced({}, [groups])
    assert expected == describe(dataset, SEG)["SegSpacing"]


def test_direction_of_a_segmentation() -> None:
    """Direction is the six cosines of the plane."""
    groups = {"PlaneOrientationSequence": macro(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])}
    assert [1, 0, 0, 0, 1, 0] == describe(enhanced(groups, [{}]), SEG)["SegDirection"]


# Dispatch


@pytest.mark.parametrize(
    ("sop_class", "modality", "extractor"),
    [
        (CTImageStorage, "CT", CT),
        (CTImageStorage, "OT", CT),
        (EnhancedCTImageStorage, None, CT),
        (MRImageStorage, "MR", MR),
        (EnhancedMRImageStorage, "MR", MR),
        (PositronEmissionTomographyImageStorage, "PT", PT),
        (EnhancedPETImageStorage, "PT", PT),
        (SegmentationStorage, "CT", SEG),
        (SurfaceSegmentationStorage, None, SEG),
        (LABEL_MAP_SEGMENTATION, "SEG", SEG),
        (RTStructureSetStorage, "SEG", RTSTRUCT),
        (RTDoseStorage, None, RTDOSE),
        (RTPlanStorage, None, RTPLAN),
        (RTIonPlanStorage, "RTPLAN", RTPLAN),
        ("1.2.840.10008.5.1.4.1.1.88.33", None, SR),
        ("1.2.840.10008.5.1.4.1.1.88.67", "SR", SR),
        ("1.2.3.4", "RTDOSE", RTDOSE),
        (None, "MR", MR),
        ("", "PT", PT),
        (None, None, OTHER),
        ("1.2.3.4", "XA", OTHER),
        ("1.2.3.4", "ct", OTHER),
    ],
)
def test_dispatch(sop_class: str | None, modality: str | None, extractor: Extractor) -> None:
    """The SOP class decides; without a known one the modality; else the fallback."""
    assert extractor is extractor_for(sop_class, modality)


def test_the_fallback_reads_the_base() -> None:
    """An object of any other kind has the base attributes."""
    assert attributes_of(OTHER) == BASE


def test_types_are_those_of_the_columns() -> None:
    """No attribute is of a type that conversion does not know."""
    known = (TEXT, TEXTS, INTEGER, INTEGERS, NUMBER, NUMBERS, DATE, TIME)
    assert set() == {attribute.type for attribute in all_attributes()} - set(known)


def test_values_of_an_unknown_vr_are_read_by_the_dictionary() -> None:
    """One attribute that pydicom cannot convert is what the data dictionary says, and is noted."""
    dataset = Dataset()
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.KVP, dataset.TableSpeed = "120", 5.0
        content = file_of(dataset).replace(b"\x18\x00\x60\x00DS", b"\x18\x00\x60\x00ZZ")
    window, _ = window_of(content)
    description = describe_header(window, CT, attributes=True)
    found = description.attributes
    assert (120.0, 5.0, []) == (found["KVP"], found["TableSpeed"], description.malformed)
    assert [Remark(Note.INVALID_VR, "KVP")] == description.walked

"""An MR image (PS3.3, A.4)."""

from dcmdask.synthetic.geometry import GEOMETRY
from dcmdask.synthetic.objects.values import image
from dcmdask.synthetic.plan import Plan


def build_mr(plan: Plan) -> dict[str, object]:
    """Return its elements."""
    return {
        **image(plan, "MR"),
        "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
        "SeriesDescription": "Synthetic MR T1 axial",
        "BodyPartExamined": "LIVER",
        "ScanningSequence": "GR",
        "SequenceVariant": ["SS", "SP", "SK"],
        "ScanOptions": ["FAST_GEMS", "FS"],
        "MRAcquisitionType": "3D",
        "SequenceName": "LAVA",
        "AngioFlag": "N",
        "RepetitionTime": "4.428",
        "InversionTime": "5",
        "NumberOfAverages": "1",
        "ImagedNucleus": "1H",
        "EchoNumbers": "1",
        "SpacingBetweenSlices": GEOMETRY["MR"].step(),
        "NumberOfPhaseEncodingSteps": "192",
        "EchoTrainLength": "1",
        "PercentSampling": "75",
        "PercentPhaseFieldOfView": "100",
        "PixelBandwidth": "488.281",
        "ReconstructionDiameter": "240",
        "ReceiveCoilName": "12Ch Body",
        "TransmitCoilName": "Body",
        "AcquisitionMatrix": [0, 256, 192, 0],
        "InPlanePhaseEncodingDirection": "ROW",
        "VariableFlipAngleFlag": "N",
        "SAR": "1.482",
        "dBdt": "0",
        "ContrastBolusAgent": "Gadobutrol",
        "ImagesInAcquisition": f"{plan.slices}",
        "TemporalPositionIdentifier": "1",
        "NumberOfTemporalPositions": "1",
        "WindowCenter": "250",
        "WindowWidth": "500",
    }

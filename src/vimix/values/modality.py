"""Names of modalities, the keys of every mapping over modalities."""

from typing import NewType

Modality = NewType("Modality", str)

RGB = Modality("rgb")
FLOW = Modality("flow")
JOINT = Modality("joint")
MOTION = Modality("motion")
BONE = Modality("bone")

"""A modality is a key: every mapping over modalities is keyed by its name."""

from typing import NewType

Modality = NewType("Modality", str)

RGB = Modality("rgb")
FLOW = Modality("flow")
JOINT = Modality("joint")
MOTION = Modality("motion")
BONE = Modality("bone")

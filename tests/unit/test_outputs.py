"""Outputs take nobody's place, and a place where nothing can be written is told of in one line."""

import torch

from vimix_adapters.commands.exporting import FORMATS
from vimix_adapters.outputs import require_output


def test_weights_for_torchvision_replace_weights_for_torchvision(tmp_path) -> None:
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "s3d.pth")
    require_output(tmp_path / "s3d.pth", FORMATS["torchvision"][-1])
    (tmp_path / "encoder.onnx").write_bytes(b"\x08\x0a")
    require_output(tmp_path / "encoder.onnx", FORMATS["onnx"][-1])

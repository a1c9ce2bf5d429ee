"""For ``torch.hub.load``: an encoder that vimix trained, without installing vimix."""

import sys
from pathlib import Path
from typing import Any

dependencies = ["torch", "torchvision", "attrs", "cattrs", "h5py", "safetensors"]


def encoder(path: str, device: str = "auto") -> Any:
    """``vimix.load_encoder``: the encoder in a checkpoint or an export, in evaluation mode."""
    root = Path(__file__).parent
    sys.path[:0] = [folder for folder in (str(root / "src"), str(root / "adapters")) if folder not in sys.path]
    from vimix_adapters.pretrained import load_encoder

    return load_encoder(path, device=device)

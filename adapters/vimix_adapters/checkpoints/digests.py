"""Digests of weights and settings, to compare them with those of an earlier run."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

DIGEST = "digest"
"""Key of the digest in the metadata of a safetensors file."""


def state_digest(state: Mapping[str, Any]) -> str:
    """SHA-256 over the names, shapes and bytes of all tensors of a state, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{name}{value!r}".encode())
            continue
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def weights_digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over the tensors and metadata of a safetensors file, except its own digest."""
    described = json.dumps({name: value for name, value in metadata.items() if name != DIGEST}, sort_keys=True)
    return hashlib.sha256(f"{state_digest(tensors)}{described}".encode()).hexdigest()


def settings_digest(settings: object) -> str:
    """Digest of frozen attrs settings or plain data: equal settings have equal digests."""
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:16]

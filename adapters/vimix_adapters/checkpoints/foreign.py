"""Reads weight files of other projects without running any code in them."""

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from vimix.values.checkpoint import FORMAT
from vimix.values.errors import VimixError
from vimix_adapters.archives import is_sealed, require_whole
from vimix_adapters.checkpoints.checkpoint_folder import UNREADABLE
from vimix_adapters.checkpoints.digests import DIGEST, weights_digest
from vimix_adapters.files import require_file

INNER = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "encoder")
"""Keys of a file under which training frameworks keep the weights."""


@frozen(eq=False)
class ForeignWeights:
    """Tensors by name, and the metadata of the file."""

    tensors: Mapping[str, Tensor]
    about: Mapping[str, str] = field(factory=dict)
    """Metadata of a safetensors file; empty for other files."""


def read_weights(path: Path) -> ForeignWeights:
    """The tensors of a ``.safetensors`` file or of one written by ``torch.save``, on the CPU.

    Code in the file is refused, never run (``weights_only=True``). Raises VimixError naming the file if it is missing,
    holds code, is damaged, has no tensors, or is a checkpoint of vimix (which needs no import).
    """
    require_file(path, "file of weights", "name what torch.save or safetensors wrote")
    if path.suffix == ".safetensors":
        return _from_safetensors(path)
    content = load_plain(path)
    if isinstance(content, Mapping) and content.get("format") == FORMAT:
        raise VimixError(f"{path}: this is a vimix checkpoint already; use it as it is, such as with --init")
    tensors = _tensors(content)
    if not tensors:
        found = f"the keys {list(content)[:5]}" if isinstance(content, Mapping) else type(content).__name__
        raise VimixError(f"{path}: expected tensors by name (a state dict, or one under 'state_dict'), found {found}")
    return ForeignWeights(tensors)


def load_plain(path: Path) -> Any:
    """The content of a ``torch.save`` file; no code is run. Raises VimixError unless it holds only plain data.

    Plain data are tensors, Python's own types, and the NumPy numbers and ``argparse.Namespace`` that trainers save too.
    """
    try:
        if is_sealed(path):
            require_whole(path)
        with torch.serialization.safe_globals(_plain_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise VimixError(
            f"{path}: refused: not tensors and plain data alone; loading it could run code ({_first_line(error)}). If "
            "you trust its author, save its state dict by itself with torch.save, somewhere else"
        ) from error
    except UNREADABLE as error:
        raise VimixError(f"{path}: not a file of weights, or a damaged one ({_first_line(error)})") from error


def _plain_globals() -> list[Any]:
    """Classes and constructors of plain data that a file may name; calling them runs no code of the file."""
    kinds = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSU"}
    scalar = np.float64(0).__reduce__()[0]
    return [argparse.Namespace, np.dtype, *kinds, scalar, (scalar, "numpy.core.multiarray.scalar")]  # NumPy 1's name


def _from_safetensors(path: Path) -> ForeignWeights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            about: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise VimixError(f"{path}: not a safetensors file, or a damaged one ({_first_line(error)})") from error
    if DIGEST in about and about[DIGEST] != weights_digest(tensors, about):
        raise VimixError(
            f"{path}: it is damaged: its tensors or metadata are not those that were written; export again"
        )
    return ForeignWeights(tensors, about)


def _tensors(content: Any) -> dict[str, Tensor]:
    """The state dict within a file: its top level, or the value of one of the usual keys."""
    if not isinstance(content, Mapping):
        return {}
    for key in INNER:
        if isinstance(content.get(key), Mapping) and (inner := _tensors(content[key])):
            return inner
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    unsafe = [line for line in lines if "GLOBAL" in line or "Unsupported" in line]
    return " ".join((unsafe or lines)[0].split())[:200]

"""Checkpoints as files: ``last.pt`` and ``previous.pt`` in the folder of a stage."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from vimix.values.checkpoint import FORMAT, Checkpoint
from vimix.values.errors import VimixError
from vimix_adapters.files import replacing, sync_directory

KEYS = ("modality", "recipe", "parts", "about")


@frozen
class FolderCheckpointStore:
    """Implements ``vimix.ports.checkpoints.CheckpointStore`` in one folder."""

    folder: Path

    def save(self, checkpoint: Checkpoint) -> None:
        """Write ``last.pt``; what it replaces stays as ``previous.pt``. Raises VimixError if the disk is full."""
        last, previous = self.folder / "last.pt", self.folder / "previous.pt"
        try:
            with replacing(last) as temporary:
                _write(checkpoint, temporary)
                if last.exists():
                    # A second name for the old file: at no moment is there less than one whole checkpoint.
                    spare = self.folder / ".previous.tmp"
                    spare.unlink(missing_ok=True)
                    os.link(last, spare)
                    spare.replace(previous)
                    sync_directory(self.folder)
        except OSError as error:
            raise VimixError(
                f"{last}: the checkpoint could not be written ({error}); the one before is kept"
            ) from error

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, None if there is none. Raises VimixError naming a damaged or foreign file."""
        last = self.folder / "last.pt"
        return load_checkpoint(last) if last.exists() else None


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, or in the ``last.pt`` of a stage's folder; tensors on the CPU.

    Nothing in the file is executed (``weights_only=True``). Raises VimixError that says what was expected and found.
    """
    file = path / "last.pt" if path.is_dir() else path
    if not file.exists():
        raise VimixError(f"{file}: there is no such checkpoint; expected the last.pt of a stage's folder")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise VimixError(_refusal(file, " ".join(str(error).split())[:200])) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not all(key in content for key in KEYS):
        found = content.get("format") or f"keys {list(content)[:5]}" if isinstance(content, dict) else type(content)
        raise VimixError(_refusal(file, f"found {found}"))
    return Checkpoint(**{key: content[key] for key in KEYS})


def _refusal(file: Path, found: str) -> str:
    previous = file.with_name("previous.pt")
    way_out = f"; the one before it may be whole: {previous}" if file.name == "last.pt" and previous.exists() else ""
    return f"{file}: expected a whole vimix checkpoint ({FORMAT}) without code; {found}{way_out}"


def _write(checkpoint: Checkpoint, path: Path) -> None:
    content: dict[str, Any] = {"format": FORMAT, **{key: _plain(getattr(checkpoint, key)) for key in KEYS}}
    torch.save(content, path)


def _plain(value: Any) -> Any:
    """Mappings as dicts, whatever they were: only those load again without code."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if hasattr(value, "items"):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

"""Checkpoints as files: ``last.pt`` and ``previous.pt`` in the folder of a stage."""

import io
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

UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    OSError,
    AttributeError,
    TypeError,
)
"""What ``torch.load`` raises, by where the damage is."""
KEYS = ("modality", "recipe", "parts", "about")


@frozen
class FolderCheckpointStore:
    """Implements ``vimix.ports.checkpoints.CheckpointStore`` in one folder.

    Without ``writes`` nothing is saved: of processes that train together one writes, and all read the same.
    """

    folder: Path
    writes: bool = True

    def save(self, checkpoint: Checkpoint) -> None:
        """Write ``last.pt``; what it replaces stays as ``previous.pt``. Raises VimixError if the disk is full."""
        if not self.writes:
            return
        last = self.folder / "last.pt"
        try:
            self._clear()
            with replacing(last) as temporary:
                _write(checkpoint, temporary)
                if last.exists():
                    self._keep(last)
        except OSError as error:
            raise VimixError(
                f"{last}: the checkpoint could not be written ({error}); the one before is kept"
            ) from error

    def _keep(self, last: Path) -> None:
        """Name the old file ``previous.pt`` too: at no moment is there less than one whole checkpoint."""
        spare = self.folder / ".previous.tmp"
        try:
            os.link(last, spare)
        except OSError:  # a file system without second names: for a moment the old one is previous.pt only
            spare = last
        spare.replace(self.folder / "previous.pt")
        sync_directory(self.folder)

    def _clear(self) -> None:
        """Remove what a killed process left half written: it is as large as a checkpoint."""
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, None if there is none. Raises VimixError naming a damaged or foreign file."""
        for name in ("last.pt", "previous.pt"):
            if (self.folder / name).exists():
                return load_checkpoint(self.folder / name)
        return None


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, or in the ``last.pt`` of a stage's folder; tensors on the CPU.

    Nothing in the file is executed (``weights_only=True``). Raises VimixError that says what was expected and found.
    """
    file = path / "last.pt" if path.is_dir() else path
    if not file.exists():
        raise VimixError(f"{file}: there is no such checkpoint; expected the last.pt of a stage's folder")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise VimixError(_refusal(file, _what_is_wrong(file, error))) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not all(key in content for key in KEYS):
        found = content.get("format") or f"keys {list(content)[:5]}" if isinstance(content, dict) else type(content)
        raise VimixError(_refusal(file, f"found {found}"))
    return Checkpoint(**{key: content[key] for key in KEYS})


def _what_is_wrong(file: Path, error: Exception) -> str:
    """In our words: those of torch advise to run what the file holds."""
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(file):
        return "it holds more than tensors and plain values, and code is never run"
    return "it is cut short, damaged or another kind of file"


def _refusal(file: Path, found: str) -> str:
    previous, way_out = file.with_name("previous.pt"), ""
    if file.name == "last.pt" and previous.exists():
        way_out = f"; to go on from the one before it: mv {previous} {file}"
    elif file.name in ("last.pt", "previous.pt") and _nothing_else(file):
        way_out = f"; to train this stage anew, delete {file.parent}"
    return f"{file}: expected a whole vimix checkpoint ({FORMAT}) without code; {found}{way_out}"


def _nothing_else(file: Path) -> bool:
    """Whether it is all that is left of a stage's training."""
    last = file.with_name("last.pt")
    return file.with_name("metrics.jsonl").exists() and (file == last or not last.exists())


def _write(checkpoint: Checkpoint, path: Path) -> None:
    content: dict[str, Any] = {"format": FORMAT, **{key: _plain(getattr(checkpoint, key)) for key in KEYS}}
    # By way of memory: torch's own writer tells a full disk from other trouble by a RuntimeError at best, and puts the
    # name of the temporary file into the archive. So equal states make equal files.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


def _plain(value: Any) -> Any:
    """Mappings as dicts, whatever they were: only those load again without code."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if hasattr(value, "items"):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

"""Checkpoints as files: ``last.pt`` and ``previous.pt`` in the folder of a stage."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from attrs import frozen

from vimix.values.checkpoint import FORMAT, Checkpoint, Progress
from vimix.values.errors import VimixError
from vimix_adapters.archives import MALFORMED, DamagedError, require_whole, seal
from vimix_adapters.files import replacing, require_file, sync_directory

UNREADABLE = (pickle.UnpicklingError, *MALFORMED)
"""Errors that ``torch.load`` raises, depending on where a file is damaged."""
KEYS = ("modality", "recipe", "parts", "about")


@frozen
class FolderCheckpointStore:
    """Implements ``vimix.ports.checkpoints.CheckpointStore`` in one folder.

    With ``writes = False`` nothing is saved: in a group of processes rank 0 writes, and all ranks read.
    """

    folder: Path
    writes: bool = True

    def save(self, checkpoint: Checkpoint) -> None:
        """Write ``last.pt``; the file it replaces stays as ``previous.pt``. Raises VimixError if the disk is full."""
        if not self.writes:
            return
        last = self.folder / "last.pt"
        try:
            self._remove_leftovers()
            with replacing(last) as temporary:
                _write(checkpoint, temporary)
                if last.exists():
                    self._keep(last)
        except OSError as error:
            raise VimixError(
                f"{last}: the checkpoint could not be written ({error}); the one before is kept"
            ) from error

    def _keep(self, last: Path) -> None:
        """Name the old file ``previous.pt`` too: at every moment there is at least one whole checkpoint."""
        spare = self.folder / ".previous.tmp"
        try:
            os.link(last, spare)
        except OSError:  # a file system without hard links: for a moment the old file is previous.pt only
            spare = last
        spare.replace(self.folder / "previous.pt")
        sync_directory(self.folder)

    def _remove_leftovers(self) -> None:
        """Remove the temporary files of a killed process: each is as large as a checkpoint."""
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether there is a ``last.pt`` or ``previous.pt``. Nothing is read."""
        return self._newest() is not None

    def progress(self) -> Progress | None:
        """Progress of the newest checkpoint, None if there is none. Raises VimixError as ``last`` does.

        The file is mapped into memory, and the pages that hold weights are never touched.
        """
        newest = self._newest()
        return None if newest is None else load_checkpoint(newest, mmap=True).progress

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, None if there is none. Raises VimixError naming a damaged or foreign file."""
        newest = self._newest()
        return None if newest is None else load_checkpoint(newest)

    def _newest(self) -> Path | None:
        files = (self.folder / name for name in ("last.pt", "previous.pt"))
        return next((file for file in files if file.exists()), None)


def load_checkpoint(path: Path, mmap: bool = False) -> Checkpoint:
    """The checkpoint in a file, or in the ``last.pt`` of a stage's folder; tensors on the CPU.

    The digest of the whole file is compared, but not with ``mmap``: the tensors are then read from the file when they
    are first used. Nothing in the file is executed (``weights_only=True``). Raises VimixError that says what was
    expected and found.
    """
    file = path / "last.pt" if path.is_dir() else path
    require_file(file, "checkpoint", "expected the last.pt of a stage's folder")
    try:
        require_whole(file, content=not mmap)
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:  # the file may be whole: no advice that gives it up
            raise VimixError(f"{file}: the checkpoint cannot be read: {error.strerror}; make it readable") from error
        raise VimixError(_refusal(file, _damage(file, error))) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not all(key in content for key in KEYS):
        found = content.get("format") or f"keys {list(content)[:5]}" if isinstance(content, dict) else type(content)
        raise VimixError(_refusal(file, f"found {found}"))
    return Checkpoint(**{key: content[key] for key in KEYS})


def load_trained(path: Path) -> Checkpoint:
    """Load a checkpoint that must have an encoder, as ``load_checkpoint`` does.

    Raises VimixError if it has no encoder, or encoders of several modalities.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.trained:
        return checkpoint
    folder = path if path.is_dir() else path.parent
    if several := [name.removeprefix("query.") for name in checkpoint.parts if name.startswith("query.")]:
        raise VimixError(
            f"{path}: holds {len(several)} encoders: name the folder of one of them, such as {folder / several[0]}"
        )
    raise VimixError(
        f"{path}: expected a checkpoint with an encoder (of vimix pretrain, run, import or evaluate finetune), "
        f"found one with {', '.join(checkpoint.parts) or 'nothing'}"
    )


def _damage(file: Path, error: Exception) -> str:
    """The reason in our own words: torch's message advises to run the code in the file."""
    if isinstance(error, DamagedError):
        return str(error)
    if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(file):
        return "it holds more than tensors and plain values, and code is never run"
    return "it is cut short, damaged or another kind of file"


def _refusal(file: Path, found: str) -> str:
    previous, way_out = file.with_name("previous.pt"), ""
    if file.name == "last.pt" and previous.exists():
        way_out = f"; to continue from the one before it: mv {previous} {file}"
    elif file.name in ("last.pt", "previous.pt") and _only_checkpoint(file):
        way_out = f"; to train this stage anew, delete {file.parent}"
    return f"{file}: expected a whole vimix checkpoint ({FORMAT}) without code; {found}{way_out}"


def _only_checkpoint(file: Path) -> bool:
    """Whether the file lies in a stage's folder and no other checkpoint does."""
    last = file.with_name("last.pt")
    return file.with_name("metrics.jsonl").exists() and (file == last or not last.exists())


def _write(checkpoint: Checkpoint, path: Path) -> None:
    content: dict[str, Any] = {"format": FORMAT, **{key: _plain(getattr(checkpoint, key)) for key in KEYS}}
    # torch's own writer reports a full disk as a RuntimeError at best, and puts the name of the temporary file into the
    # archive. Writing to memory first gives clear errors, and equal states make equal files.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    seal(buffer)
    path.write_bytes(buffer.getbuffer())


def _plain(value: Any) -> Any:
    """Mappings as dicts and tuples as lists: only plain types load again without code."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if hasattr(value, "items"):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

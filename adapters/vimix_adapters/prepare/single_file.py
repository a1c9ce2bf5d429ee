"""One video or skeleton file, read as a store holds it."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attrs import frozen

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.decode import open_frames
from vimix_adapters.clips.hdf5_writer import as_stored
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings, StoreSettings
from vimix_adapters.prepare.video_store import pack_frames, pack_pieces, reading_of
from vimix_adapters.prepare.worker_pool import run_jobs
from vimix_adapters.skeletons.preprocess import pack_file

SECONDS = 3600.0
"""Time limit of a video, as in ``vimix prepare``."""


@frozen
class _Wanted:
    path: Path
    settings: PackSettings
    modality: Modality


def read_as_stored(path: Path, settings: StoreSettings, modality: Modality, seconds: float = SECONDS) -> Frames:
    """Read a file as it would be read from a store with ``settings``, with JPEG's losses; flow is computed.

    A video is decoded in a process of its own, which it may crash or hang. Returns uint8 [T, H, W, C], or float32
    [T, V, M, C] of a skeleton. Raises VimixError naming the file.
    """
    return read_with_rate(path, settings, modality, seconds)[0]


def read_with_rate(
    path: Path, settings: StoreSettings, modality: Modality, seconds: float = SECONDS
) -> tuple[Frames, float | None]:
    """Read a file as ``read_as_stored`` does, and the rate of its frames a second.

    The rate of a skeleton is None: its sequence is resized to the frames of the store.
    """
    try:
        if isinstance(settings, SkeletonSettings):
            joints, _ = pack_file(path, settings)
            return joints, None
        wanted = _Wanted(path, settings, modality)
        if multiprocessing.current_process().daemon:  # a worker, which can be killed itself and starts no processes
            return read_wanted(wanted)
        (outcome,) = run_jobs(read_wanted, [wanted], 1, seconds)
        if outcome.reason is not None:
            raise VimixError(outcome.reason)
        found: tuple[Frames, float] = outcome.value
    except VimixError as error:
        raise VimixError(f"{path}: {error}") from error
    return found


def read_wanted(wanted: _Wanted) -> tuple[Frames, float]:
    """Decode a video in this process: uint8 [T, H, W, C] and frames a second. Raises VimixError with the reason."""
    frames, decoded = pack_frames(wanted.path, wanted.settings, flow=wanted.modality == FLOW)
    return as_stored(frames[wanted.modality], wanted.modality, wanted.settings), decoded.rate


def stream_as_stored(
    path: Path, settings: PackSettings, modality: Modality, seconds: float = SECONDS
) -> tuple[float, Iterator[Frames]]:
    """Frames a second of a video file, and its frames as ``read_as_stored`` gives them, in pieces [T, H, W, C].

    The rate is the one that the file declares, or that of the store if it is lower. A process of its own decodes the
    video; one piece is in memory at a time. Raises VimixError naming the file, perhaps when a piece is read.
    """
    messages = _messages(_Wanted(path, settings, modality), seconds)
    return next(messages), messages


def _messages(wanted: _Wanted, seconds: float) -> Iterator[Any]:
    """The messages of ``send_pieces`` from another process, which is killed if it sends nothing for ``seconds``."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=send_pieces, args=(wanted, theirs), daemon=True)
    worker.start()
    theirs.close()
    try:
        while ours.poll(seconds):
            message = ours.recv()
            if message is None:
                return
            if isinstance(message, VimixError):
                raise VimixError(f"{wanted.path}: {message}")
            yield message
            ours.send(None)  # it may go on
        raise VimixError(f"{wanted.path}: no frames within {seconds:g} seconds: killed")
    except (EOFError, OSError) as error:
        raise VimixError(f"{wanted.path}: the decoder died") from error
    finally:
        worker.kill()
        worker.join()


def send_pieces(wanted: _Wanted, pipe: Connection) -> None:
    """Send the rate, each piece and a None, or a VimixError; after rate and pieces wait for an answer."""
    settings, modality = wanted.settings, wanted.modality
    try:
        source = open_frames(wanted.path)
        pipe.send(min(source.rate, settings.rate or source.rate))
        for found, piece in pack_pieces(reading_of(source, settings), settings, flow=modality == FLOW):
            if found == modality:
                pipe.recv()
                pipe.send(as_stored(piece, modality, settings))
        pipe.recv()
        pipe.send(None)
    except VimixError as error:
        pipe.send(VimixError(str(error)))
    except EOFError:
        return  # the reader needs no more

"""DataLoader workers: how they start, which signals they ignore, and how they end with the interpreter."""

import atexit
import resource
import signal
import weakref
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

BASE_FILES, FILES_A_WORKER = 256, 32
"""Open files of a process with a loader, and those for each worker: its pipes, and two batches of tensors."""
_LOADERS: "weakref.WeakSet[DataLoader[Any]]" = weakref.WeakSet()
"""Loaders with workers that ``worker_loader`` made and that are still in use."""


def worker_loader(
    items: Any, sampler: Any, device: torch.device, workers: int, start_method: str | None = None
) -> "DataLoader[Any]":
    """Return a loader of ``items[request]`` for each request of ``sampler``, in order.

    With ``workers`` > 0 the items are read in that many processes, which live as long as the loader. Each uses one
    thread. For a CUDA ``device`` the items are pinned.
    """
    if workers:
        _allow_open_files(workers)
        # Before the fork: a child inherits OpenCV's thread pool without its threads. Any OpenCV call there that uses
        # the pool, setNumThreads included, can then wait for ever.
        cv2.setNumThreads(1)
        # Register again, so that this runs before the exit handlers that were registered until now.
        atexit.unregister(end_workers)
        atexit.register(end_workers)
    loader: DataLoader[Any] = DataLoader(
        items,
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_unchanged,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        multiprocessing_context=start_method if workers else None,
        worker_init_fn=_init_worker,
        generator=torch.Generator(),  # otherwise the DataLoader draws from the global generator
    )
    if workers:
        _LOADERS.add(loader)
    return loader


def _allow_open_files(workers: int) -> None:
    """Raise this process's limit of open files, or share tensors through named files if the system does not allow it.

    Each tensor that a worker sends is an open file until the tensor is freed.
    """
    needed = BASE_FILES + FILES_A_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]


def end_workers() -> None:
    """End the workers of all loaders that ``worker_loader`` made, and no other process.

    At exit Python sends each worker one SIGTERM and then waits for it without a limit. A worker ignores the first
    SIGTERM, so if an epoch was left unfinished, Python would never exit.
    """
    workers = [worker for loader in _LOADERS for worker in getattr(loader._iterator, "_workers", ())]
    if workers:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler reports a killed worker as an error
    for worker in workers:
        for end, patience in ((worker.terminate, 0.1), (worker.terminate, 1.0), (worker.kill, None)):
            if worker.is_alive():
                end()
                worker.join(patience)


def _init_worker(_: int) -> None:
    """Compute with one thread, and ignore SIGINT, SIGUSR1 and the first SIGTERM.

    Ctrl-C and a cluster's warning reach all processes of a job, but the main process needs batches to finish its step.
    It ends a worker that does not end by itself with a second SIGTERM.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: signal.signal(number, signal.SIG_DFL))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # for spawned workers; forked workers inherited this value, and the call does nothing


def _unchanged(item: Any) -> Any:
    return item

"""The code, libraries and machine that a result was computed with."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

DISTRIBUTIONS = {
    "vimix": ("vimix-ssl",),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "numpy": ("numpy",),
    "faiss": ("faiss-cpu", "faiss-gpu", "faiss"),
    "sklearn": ("scikit-learn",),
}
"""Distributions that may provide a library, by its name in records."""


def commit(file: Path = Path(__file__)) -> str:
    """Return the commit of the git checkout that ``file`` (vimix itself) is tracked in.

    It ends in ``-dirty`` if tracked files have changed since. Outside git, and for a package that is installed inside
    another repository, it is ``unknown``.
    """
    path = file.resolve()
    if _git(path.parent, "ls-files", "--error-unmatch", path.name) is None:
        return "unknown"
    return _git(path.parent, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*") or "unknown"


def versions() -> dict[str, str]:
    """Return versions by library; ``absent`` if one is not installed."""
    found = {"python": platform.python_version()}
    for library, names in DISTRIBUTIONS.items():
        found[library] = next((v for v in map(_version, names) if v is not None), "absent")
    return found


def machine(device: str = "cpu") -> str:
    """Return the class of machine, never its name: the model of a CUDA device, or else the processor and its cores."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {cores()} cores"


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git; None if it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

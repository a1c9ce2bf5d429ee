"""``vimix doctor``: versions, devices, codecs and limits of this machine, and how to mend what is missing.

At import time this module needs the standard library, attrs, rich and packaging only: a broken torch is a finding, not
a traceback.
"""

import importlib
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from attrs import asdict, frozen
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.table import Table
from rich.text import Text

from vimix.values.errors import VimixError

DISTRIBUTION = "vimix-ssl"
MODULES = {"opencv-contrib-python-headless": "cv2", "faiss-cpu": "faiss", "pillow": "PIL", "scikit-learn": "sklearn"}
"""Module by distribution, if their names differ."""
OPTIONAL = frozenset({"decord"})
"""Libraries that vimix works without: PyAV reads what decord would."""
CODECS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "mpeg4": "mpeg4"}
"""FFmpeg's encoder by codec."""
NEEDED_CODECS = frozenset({"h264", "mpeg4"})
"""Codecs without which the main job cannot run."""
UNSOUND_CUDNN = range(90800, 91500)
"""Releases of cuDNN (90800 is 9.8.0) that should not compute half-precision convolutions over three axes.

Results in bfloat16 are wrong (https://github.com/pytorch/pytorch/issues/163539, seen with 9.8, gone in 9.13), so torch
2.9 and later do without these releases, which takes several times the time and memory
(https://github.com/pytorch/pytorch/issues/166122 and https://github.com/pytorch/pytorch/issues/166643).
"""
CPU_FEATURES = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16")
SMALL_SHARED_MEMORY = 2**30
"""Bytes of /dev/shm below which workers may run out of it."""
SMALL_DISK = 10 * 2**30
"""Bytes of free disk below which a large store may not fit."""

Verdict = Literal["ok", "note", "broken"]
COLOURS: Mapping[Verdict, str] = {"ok": "green", "note": "yellow", "broken": "red"}


@frozen
class Finding:
    """The state of one part of the installation or the machine."""

    group: str
    name: str
    value: str
    verdict: Verdict = "ok"
    """``broken`` if the main job cannot run, ``note`` if something is missing that it can do without."""
    mend: str = ""
    """Remedy, as a command if possible."""


def diagnose(folder: Path) -> list[Finding]:
    """Examine everything; ``folder`` is the place for stores and runs, whose free disk is reported."""
    probes: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": _versions,
        "devices": _devices,
        "video": _video,
        "flow": _flow,
        "machine": lambda: _machine(folder),
    }
    return [finding for group, probe in probes.items() for finding in _guarded(group, probe)]


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether the main job, from videos to a table of results, can run."""
    return all(finding.verdict != "broken" for finding in findings)


def as_data(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as plain data."""
    return {"format": "vimix-doctor-1", "ok": healthy(findings), "findings": [asdict(finding) for finding in findings]}


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return the findings as a table for the console, with one section per group."""
    table = Table(title="vimix doctor")
    for heading in ("", "", "found", "", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding, following in zip(findings, [*findings[1:], None], strict=True):
        verdict = Text(finding.verdict, style=COLOURS[finding.verdict])
        last = following is None or following.group != finding.group
        table.add_row(finding.group, finding.name, finding.value, verdict, finding.mend, end_section=last)
    return table


def _guarded(group: str, probe: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from probe()
    except Exception as error:  # any fault of the installation is a finding
        yield Finding(group, "probe", f"{type(error).__name__}: {error}", "broken", "mend what is broken above first")


def _versions() -> Iterator[Finding]:
    try:
        about, needed = metadata.metadata(DISTRIBUTION), metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield Finding("versions", "vimix", "not installed", "broken", "pip install -e .")
        return
    yield Finding("versions", "vimix", about["Version"])
    python = platform.python_version()
    if SpecifierSet(about["Requires-Python"] or "").contains(python, prereleases=True):
        yield Finding("versions", "python", python)
    else:
        wanted = about["Requires-Python"]
        yield Finding("versions", "python", f"{python}, needs {wanted}", "broken", f"install Python {wanted}")
    for requirement in map(Requirement, needed):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _library(requirement)


def _library(requirement: Requirement) -> Finding:
    """Whether a library is installed in a fitting version and can be imported."""
    worse: Verdict = "note" if requirement.name in OPTIONAL else "broken"
    mend = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding("versions", requirement.name, "absent", worse, mend)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("versions", requirement.name, f"{version}, needs {requirement.specifier}", worse, mend)
    try:
        importlib.import_module(MODULES.get(requirement.name, requirement.name.replace("-", "_")))
    except Exception as error:  # a shared library may be missing, or fit another version of numpy
        again = f"pip install --force-reinstall '{requirement.name}{requirement.specifier}'"
        return Finding("versions", requirement.name, f"{version} does not import: {error}", worse, again)
    return Finding("versions", requirement.name, version)


def _devices() -> Iterator[Finding]:
    import torch

    from vimix_adapters import config
    from vimix_adapters.reports.environment import machine
    from vimix_adapters.wiring.compute import build_compute

    yield Finding("devices", "cpu", machine())
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    features = [name for name in CPU_FEATURES if capabilities.get(name)]
    yield Finding("devices", "cpu features", ", ".join(features) or "none of " + ", ".join(CPU_FEATURES))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        about = torch.cuda.get_device_properties(number)
        size = f"{about.total_memory / 2**30:.0f} GiB, capability {about.major}.{about.minor}"
        yield Finding("devices", f"cuda:{number}", f"{about.name}, {size}")
    if count:
        release = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        yield _cudnn(release or 0, torch.version.cuda or "")
    else:
        # It is a mistake if there is a card that torch cannot use, but not if there is no card.
        card = Path("/dev/nvidia0").exists()
        mend = "install a CUDA build of torch, see https://pytorch.org/get-started/locally" if card else ""
        yield Finding("devices", "cuda", "a card, but torch cannot use it" if card else "none", "note", mend)
    recipe = config.Recipe("doctor", config.Data(store=""), {})
    compute = build_compute(recipe, "auto")
    yield Finding("devices", "precision", f"{str(compute.dtype).removeprefix('torch.')} on {compute.device.type}")


def _cudnn(release: int, cuda: str) -> Finding:
    """The release of cuDNN, and whether its half-precision convolutions over three axes are known to be unsound."""
    major, minor, patch = release // 10000, release // 100 % 100, release % 100  # since cuDNN 9
    name = f"{major}.{minor}.{patch}" if major else str(release or "none")
    if release not in UNSOUND_CUDNN:
        return Finding("devices", "cudnn", name)
    value = f"{name}: bfloat16 convolutions over three axes are wrong, or slow because torch avoids it"
    package = f"nvidia-cudnn-cu{cuda.partition('.')[0]}"
    return Finding("devices", "cudnn", value, "note", f"pip install '{package}>=9.15' (S3D runs without)")


def _video() -> Iterator[Finding]:
    import av

    for codec, encoder in CODECS.items():
        reads, writes = _has(av, codec, "r"), _has(av, encoder, "w") or _has(av, codec, "w")
        value = " and ".join(word for word, there in (("decodes", reads), ("encodes", writes)) if there) or "absent"
        worse: Verdict = "broken" if codec in NEEDED_CODECS else "note"
        mend = "" if reads else "pip install --force-reinstall --only-binary av av"
        yield Finding("video", codec, value, "ok" if reads else worse, mend)
    yield _round_trip(av)


def _has(av: Any, codec: str, mode: str) -> bool:
    try:
        av.codec.Codec(codec, mode)
    except ValueError:
        return False
    return True


def _round_trip(av: Any) -> Finding:
    """Whether a small video can be written and read back as the user's videos are."""
    import numpy as np

    from vimix_adapters.clips.decode import decode_video

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "check.mp4"
        with av.open(str(file), "w") as container:
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(8):
                picture = np.full((48, 64, 3), 20 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        frames = decode_video(file, 30, 48)
    right = len(frames) == 8 and all(abs(float(frame.mean()) - 20 * i) < 10 for i, frame in enumerate(frames))
    value = "8 frames written and read back" if right else f"wrote 8 frames, read {len(frames)} back or wrong pictures"
    return Finding("video", "self-check", value, "ok" if right else "broken", "" if right else "pip uninstall decord")


def _flow() -> Iterator[Finding]:
    import cv2

    from vimix_adapters.flow.opencv import TvL1Flow

    try:
        TvL1Flow()
        yield Finding("flow", "tvl1", f"OpenCV {cv2.__version__}")
    except VimixError as error:
        yield Finding("flow", "tvl1", "absent", "broken", str(error).partition(": ")[2])


def _machine(folder: Path) -> Iterator[Finding]:
    from vimix_adapters.config.schema import Data
    from vimix_adapters.reports.environment import cores as usable_cores

    def found(name: str, value: str, low: bool, mend: str) -> Finding:
        return Finding("machine", name, value, "note" if low else "ok", mend if low else "")

    cores, workers = usable_cores(), Data(store="").workers
    yield found(
        "cores",
        f"{cores}; recipes read data with {workers} workers by default",
        workers >= cores,
        f"--set data.workers={max(0, cores - 1)} leaves a core to the training",
    )
    shared = Path("/dev/shm")  # through which workers pass batches to the training
    if shared.is_dir():
        size = shutil.disk_usage(shared).total
        mend = "docker run --shm-size=8g ..., or mount -o remount,size=8G /dev/shm, or data.workers = 0"
        yield found("shared memory", f"{size / 2**30:.2f} GiB", size < SMALL_SHARED_MEMORY, mend)
    free = shutil.disk_usage(folder).free
    mend = "the store of a large data set may not fit: write it to another disk"
    yield found("free disk", f"{free / 2**30:.1f} GiB here", free < SMALL_DISK, mend)

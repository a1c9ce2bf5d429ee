"""Memory that a training needs, estimated before any is taken.

The encoder passes a batch of tensors without data (torch's ``meta`` device), and the tensors that autograd would keep
are counted. On real networks the estimate is right within a factor of two.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from attrs import evolve, frozen
from torch import Tensor

from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.skeleton import SkeletonLayout
from vimix_adapters import config
from vimix_adapters.encoders.chain import encoder_of
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork
from vimix_adapters.wiring.recorded_settings import batch_shape, skeleton_settings

BASE = 600 * 2**20
"""Bytes of a process that has imported torch, OpenCV and HDF5."""
WORKER = 64 * 2**20
"""Bytes of a worker process that it does not share with the main process."""
PREFETCHED = 2
"""Batches that each worker holds, as torch's DataLoader sets it."""
COPIES = 6
"""Copies of the weights: query, key, gradient, two moments of Adam, and the key before the step."""
LOGITS = 6
"""Arrays of the shape of the logits: cosines, exclusions, logits, softmax and gradients."""
WORKING = 2
"""Largest maps that are at work besides those that are kept."""
SHOWN = 0.1
"""Share of the total from which a part is named in messages."""
META = torch.device("meta")


@frozen
class MemoryNeed:
    """Bytes that a training needs, by the settings of the recipe that decide them."""

    on_device: Mapping[str, int]
    """Memory of the training device."""
    on_host: Mapping[str, int]
    """Main memory, besides that of the training device."""

    @property
    def total(self) -> int:
        """All bytes, of device and host."""
        return sum(self.on_device.values()) + sum(self.on_host.values())


def training_memory(
    recipe: config.Recipe, views: Mapping[Modality, int], compute: Compute, contrastive: bool = True
) -> MemoryNeed:
    """The memory of a training of the first modality in ``views``, the number of views by modality.

    Raises VimixError if the sizes are beyond what can be counted.
    """
    data, contrast, batch = recipe.data, recipe.contrast, recipe.optim.batch
    clips = sum(count * batch * math.prod(batch_shape(recipe, modality)) for modality, count in views.items())
    copies, logits = (COPIES, LOGITS * 4 * batch * (batch + contrast.queue)) if contrastive else (COPIES - 2, 0)
    try:
        weights, head, kept = _network(recipe, next(iter(views)))
        partners = sum(_network(recipe, modality)[0] for modality in [*views][1:])
    except (RuntimeError, OverflowError) as error:
        if "overflow" not in str(error).lower():
            raise
        keys = f"{_sizes(recipe)}, contrast.embedding = {contrast.embedding}"
        raise VimixError(f"{keys}: more memory than can be counted: lower them") from error
    on_device = {
        _sizes(recipe): kept * compute.dtype.itemsize // 4 + 4 * clips,
        "modalities": copies * weights + partners,
        f"contrast.embedding = {contrast.embedding}": copies * head,
    }
    if contrastive:
        on_device[f"contrast.queue = {contrast.queue}"] = 2 * contrast.queue * (4 * contrast.embedding + 8) + logits
    on_host = {"vimix and torch": BASE, f"data.workers = {data.workers}": data.workers * (WORKER + PREFETCHED * clips)}
    return MemoryNeed(on_device, on_host)


def require_memory(name: str, need: MemoryNeed, compute: Compute) -> None:
    """Raise VimixError, before memory is taken, if the training ``name`` needs more than machine or GPU has."""
    host, gpu = host_memory(), None
    if compute.device.type == "cuda":
        gpu = torch.cuda.get_device_properties(compute.device).total_memory
        _require(name, need.on_device, gpu, f"{compute.device}")
    _require(name, need.on_host if gpu else {**need.on_host, **need.on_device}, host, "this machine")


def host_memory() -> int | None:
    """Main memory in bytes that this process may use: that of the machine, or its control group's limit.

    None if the system does not say.
    """
    limits = [_number(Path(file)) for file in LIMITS]
    try:
        total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
        limits.append(1024 * int(total.split()[1]))
    except (OSError, StopIteration, ValueError):
        pass
    return min((limit for limit in limits if limit), default=None)


LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the limit of the control group, such as a container's."""


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _require(name: str, parts: Mapping[str, int], limit: int | None, where: str) -> None:
    total = sum(parts.values())
    if limit is None or total <= limit:
        return
    large = sorted((size, key) for key, size in parts.items() if size > SHOWN * total)
    listed = "; ".join(f"{key}: {gibibytes(size)}" for size, key in reversed(large))
    raise VimixError(
        f"{name} needs about {gibibytes(total)} of memory ({listed}), but {where} has {gibibytes(limit)}: lower them"
    )


def gibibytes(size: float) -> str:
    """The size in GiB with one decimal, ``1.5 GiB``."""
    return f"{size / 2**30:,.1f} GiB"


def _network(recipe: config.Recipe, modality: Modality) -> tuple[int, int, int]:
    """Float32 bytes of the encoder, of its head, and of what autograd keeps of a batch."""
    settings = recipe.modalities[modality]
    graph = settings.entry.maps == "graph"
    if graph:  # tensors without data do not say which persons are absent, so all count
        settings = evolve(settings, stgcn=evolve(settings.stgcn, persons="all"))
    layout = skeleton_settings(recipe).layout if graph else None
    return _counted(settings, layout, recipe.contrast.embedding, (recipe.optim.batch, *batch_shape(recipe, modality)))


@lru_cache(maxsize=64)
def _counted(
    settings: config.ModalitySettings, layout: SkeletonLayout | None, embedding: int, shape: tuple[int, ...]
) -> tuple[int, int, int]:
    with META:
        network = ContrastiveNetwork(encoder_of(settings, layout), embedding, 1, Compute(META))
        known = {_storage(value) for value in network.state_dict().values()}
        kept: dict[int, Tensor] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.setdefault(_storage(tensor), tensor),  # several tensors may share their memory
            lambda tensor: tensor,
        ):
            network.encoder.pool(network.encoder.partial_forward(torch.empty(shape), 0, network.depth))
    sizes = [tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in known]
    return _bytes(network.encoder), _bytes(network.head), sum(sizes) + WORKING * max(sizes, default=0)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(module: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _sizes(recipe: config.Recipe) -> str:
    return f"data.frames = {recipe.data.frames}, data.size = {recipe.data.size}, optim.batch = {recipe.optim.batch}"

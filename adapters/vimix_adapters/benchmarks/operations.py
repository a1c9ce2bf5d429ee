"""Work of a training step: floating-point operations, bytes, kernels, and the share of time by kind of kernel."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vimix_adapters.benchmarks.timing import Work

KINDS: Mapping[str, tuple[str, ...]] = {
    "optimiser": ("adam", "sgd", "multi_tensor", "foreach"),
    "BatchNorm": ("batch_norm", "batchnorm", "bn_fw", "bn_bw", "welford"),
    "pooling": ("pool",),
    "convolution": ("conv", "dgrad", "wgrad", "fprop", "xmma", "implicit", "winograd", "cudnn", "cutlass"),
    "matrix product": ("gemm", "gemv", "addmm", "mm", "matmul"),
    "copy": ("copy", "memcpy", "memset", "cat", "fill", "transpose", "nchw", "index", "gather", "scatter"),
    "elementwise": (
        "elementwise",
        "threshold",
        "relu",
        "clamp",
        "lerp",
        "add",
        "mul",
        "div",
        "softmax",
        "norm",
        "reduce",
    ),
}
"""Parts of the names of operators and CUDA kernels, by kind; a name is of the first kind that fits."""
LONGEST_NAME = 60
"""Number of characters of an operator's name that are shown."""
TOP = 5
"""Number of operators that are shown."""


def kind(name: str) -> str:
    """Return the kind of an operator or kernel, a key of ``KINDS`` or ``other``."""
    low = name.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in low for part in parts)), "other")


def kernels(work: Work, device: torch.device) -> tuple[int, dict[str, float]]:
    """Return the number of CUDA kernels that a call runs and their seconds by kind; on a CPU those of its operators."""
    count, spent = 0, defaultdict[str, float](float)
    for name, seconds, calls in _profiled(work, device):
        count += calls
        spent[kind(name)] += seconds
    return count, spent


def top_operators(work: Work, device: torch.device) -> str:
    """Return the operators that take the most time of a call, with their shares of it."""
    return shares([(_short(name), seconds) for name, seconds, _ in _profiled(work, device)], TOP)


def shares(spent: Iterable[tuple[str, float]], most: int | None = None) -> str:
    """Return names with their shares of the time of all in words, the largest first, at most ``most`` of them."""
    ordered = sorted(spent, key=itemgetter(1), reverse=True)
    whole = sum(seconds for _, seconds in ordered) or 1
    return ", ".join(f"{name} {100 * seconds / whole:.0f} %" for name, seconds in ordered[:most])


def _profiled(work: Work, device: torch.device) -> list[tuple[str, float, int]]:
    """(name, seconds, calls) of the CUDA kernels of a call; on a CPU those of its operators."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as taken:
        work()
        if on_gpu:
            torch.cuda.synchronize()
    micro = [(e, e.self_device_time_total if on_gpu else e.self_cpu_time_total) for e in taken.key_averages()]
    return [(event.key, time / 1e6, event.count) for event, time in micro if time > 0]


def _short(name: str) -> str:
    """Shorten an operator's name. A CUDA kernel's name contains its types; only its beginning is kept."""
    for noise in ("aten::", "void ", "at::native::", "(anonymous namespace)::"):
        name = name.replace(noise, "")
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."


def flops(work: Work) -> int:
    """Return the floating-point operations of the convolutions and matrix products of a call, both passes."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def traffic(work: Work) -> int:
    """Return the bytes that the operators of a call read and write, if none of them finds anything in a cache."""
    counter = _Traffic()
    with counter:
        work()
    return counter.bytes


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    """Adds up the sizes of the tensors that operators take and return; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            moved = tree_leaves((args, kwargs, result))
            self.bytes += sum(leaf.numel() * leaf.element_size() for leaf in moved if isinstance(leaf, Tensor))
        return result

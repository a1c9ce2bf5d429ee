"""Chooses the device, the precision and the process group."""

import ctypes
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch

from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.distributed.torch_process_group import join_process_group, local_rank
from vimix_adapters.encoders.contrastive_network import Compute

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**31 - 1


def build_compute(recipe: config.Recipe, device: str) -> Compute:
    """The device by name (``auto``: a CUDA GPU if there is one) and a precision that its hardware supports.

    On a CPU, the process keeps the memory that it frees, for the next step.

    Raises VimixError for an unknown or missing device.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    rank = local_rank()
    if rank is not None and name.startswith("cuda:"):
        raise VimixError(f"--device {device}: torchrun gives each process a GPU of its own; expected auto, cpu or cuda")
    if rank is not None and name == "cuda":
        name = f"cuda:{rank}"
    try:
        chosen = torch.device(name)
        known = chosen.type in ("cpu", "cuda")
    except RuntimeError:
        known = False
    if not known:
        raise VimixError(f"--device {device}: expected auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        number = torch.cuda.device_count()
        raise VimixError(
            f"--device {device}: torch finds {number or 'no'} CUDA GPUs here, and {chosen} is not one of them"
        )
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    if chosen.type == "cpu":
        _keep_freed_memory()
    fast = recipe.run.precision == "bfloat16" or (recipe.run.precision == "auto" and _has_bfloat16(chosen))
    return Compute(chosen, torch.bfloat16 if fast else torch.float32)


def build_process_group(recipe: config.Recipe, compute: Compute) -> AbstractContextManager[ProcessGroup]:
    """The processes that torchrun started together, or this process alone."""
    return join_process_group(compute.device, recipe.run.dist_timeout)


def _keep_freed_memory() -> None:
    """Tell glibc not to return freed maps to the kernel, which would clear their pages again in every step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch.cpu.get_capabilities is younger than torch 2.11; without it float32 is the safe choice.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))

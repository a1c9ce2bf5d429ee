"""The device of a training, and the memory of its process."""

import platform
import subprocess
import sys

import pytest

from vimix.values.errors import VimixError
from vimix_adapters import config, wiring

RECIPE = config.Recipe(name="compute", data=config.Data(store=""), modalities={})

SCRIPT = """
import resource, torch
from vimix_adapters import config, wiring

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(48 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
wiring.build_compute(config.Recipe(name="memory", data=config.Data(store=""), modalities={}), "cpu")
print(plain, faults())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="vimix changes how glibc frees memory, and no other C library"
)
def test_on_a_cpu_a_freed_map_is_used_again_without_new_pages() -> None:
    finished = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    plain, kept = map(int, finished.stdout.split())
    assert kept < plain / 4


@pytest.mark.parametrize("device", ["mps", "xpu", "meta", "gpu", ""])
def test_a_device_that_vimix_does_not_know_is_refused(device) -> None:
    with pytest.raises(VimixError, match=f"--device {device}: expected auto, cpu, cuda or cuda:N"):
        wiring.build_compute(RECIPE, device)


def test_torchrun_chooses_the_gpu_of_each_process(monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(VimixError, match="--device cuda:0: torchrun gives each process a GPU of its own"):
        wiring.build_compute(RECIPE, "cuda:0")
    assert wiring.build_compute(RECIPE, "cpu").device.type == "cpu"

"""The device of a training, and the memory of its process."""

import platform
import subprocess
import sys

import pytest

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

"""Tests run side by side, one thread each: the threads of two torch processes would wait for each other in loops."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import settings

torch.set_num_threads(1)

# The same examples everywhere, and no time limit an example: a busy machine is no mistake of the code.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

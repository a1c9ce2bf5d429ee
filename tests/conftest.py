"""Tests run side by side, one thread each: the threads of two torch processes would wait for each other in loops."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

torch.set_num_threads(1)

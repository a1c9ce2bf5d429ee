"""``vimix run`` with an encoder stgcn_torch: ST-GCN with torch's initial weights instead of the authors' N(0, 0.02).

    python experiments/small_sets_init.py experiments/small-sets-paper.toml --out RUN \
        --set modalities.joint.encoder=stgcn_torch

tells whether the initial weights make training on a small set collapse.
"""

import sys

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.cli.main import run
from vimix_adapters.config import ENCODERS, EncoderEntry, ModalitySettings, register_encoder
from vimix_adapters.encoders.stgcn import STGCNEncoder, build_stgcn


def build(settings: ModalitySettings, layout: SkeletonLayout | None) -> STGCNEncoder:
    """Return ST-GCN with torch's initial weights."""
    encoder = build_stgcn(settings, layout)
    for module in encoder.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    return encoder


if __name__ == "__main__":
    register_encoder(EncoderEntry("stgcn_torch", "graph", ENCODERS["stgcn"].settings, build))
    sys.argv.insert(1, "run")
    run()

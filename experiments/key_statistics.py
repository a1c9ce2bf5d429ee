"""A checkpoint whose encoder has the key encoder's BatchNorm statistics, to tell what mixing does to them.

    python experiments/key_statistics.py STAGE OUT

reads the last checkpoint in the folder of a stage and writes ``OUT/last.pt`` for ``vimix evaluate``. The
query encoder's running statistics come from mixed clips, as it was trained; the key encoder's from unmixed
ones, as an evaluation shows them. Weights stay as they are.
"""

import sys
from pathlib import Path

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint

STATISTICS = (".running_mean", ".running_var")


def main(stage: Path, out: Path) -> None:
    """Copy the checkpoint with the statistics exchanged."""
    found = load_checkpoint(stage)
    query, key = found.parts["query"], found.parts["key"]
    mended = {name: key[name] if name.endswith(STATISTICS) else tensor for name, tensor in query.items()}
    out.mkdir(parents=True, exist_ok=True)
    FolderCheckpointStore(out).save(evolve(found, parts={**found.parts, "query": mended}))
    print(f"{out / 'last.pt'}: {sum(name.endswith(STATISTICS) for name in query)} statistics of the key encoder")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except VimixError as error:
        sys.exit(f"error: {error}")

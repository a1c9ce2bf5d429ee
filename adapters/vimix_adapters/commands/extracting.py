"""``vimix extract``: features of a store's videos in a file that opens without vimix."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from rich.console import Console

from vimix.domain.scores.features import Rows, mean_row, unit_rows
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures
from vimix_adapters import config, wiring
from vimix_adapters.commands import scoring
from vimix_adapters.commands.caching import weights_hash
from vimix_adapters.commands.embedding import embed_store
from vimix_adapters.files import replacing, write_text
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.outputs import Kind, hdf5_with, json_with, require_output, text_with, zip_with
from vimix_adapters.reports.environment import commit, versions

FORMAT = "vimix-feature-file-1"


@frozen(eq=False)
class FeatureTable:
    """A row a video or a clip. Columns are arrays without objects, so that NumPy reads them without pickle."""

    features: NDArray[np.float32]
    """[N, D]."""
    columns: Mapping[str, NDArray[Any]]
    """names, labels (-1: unknown), classes, sources, splits (several joined by ``;``), start and end in seconds."""
    manifest: Mapping[str, Any]


def extract_to_file(
    recipe: config.Recipe, checkpoint: Path, store: Path, out: Path, per: str, l2: bool, device: str
) -> None:
    """Embed every video of ``store`` and write ``out``: npz, HDF5 or CSV (with its manifest in ``out`` + ``.json``).

    Raises VimixError, before anything is computed, for another ending, or if one of the other files or something else
    than features would be lost.
    """
    if out.suffix not in WRITERS:
        raise VimixError(f"{out}: expected a name that ends in {', '.join(WRITERS)}")
    require_output(out, KINDS[out.suffix], [checkpoint, store])
    if out.suffix == ".csv":
        require_output(_manifest_of_csv(out), MANIFEST)
    configure_logging()
    here = embed_store(recipe, checkpoint, store, device)
    recipe, videos, loaded, modality = here.recipe, here.store, here.checkpoint, here.modality
    found = here.features
    manifest = {
        "format": FORMAT,
        "modality": str(modality),
        "rows": per,
        "l2_normalised": l2,
        "weights": weights_hash(here.network),
        "checkpoint": dict(loaded.about),
        "store": videos.fingerprint,
        "classes": list(videos.classes),
        "protocol": scoring.protocol(recipe),
        "commit": commit(),
        "versions": versions(),
    }
    pool = mean_row if per == "clip" else wiring.build_pooling(recipe)
    table = table_of(found, videos, recipe.data.frames * recipe.data.stride, per, pool, l2, manifest)
    WRITERS[out.suffix](out, table)
    Console(stderr=True).print(
        f"written {len(table.features)} features of {table.features.shape[1]} numbers to {out}", soft_wrap=True
    )


def table_of(
    found: ClipFeatures,
    store: VideoStore,
    window: int,
    per: str,
    pool: Callable[[Rows], Rows],
    l2: bool,
    manifest: Mapping[str, Any],
) -> FeatureTable:
    """Rows with what is known of them; ``window`` is the span of a clip in frames, ``pool`` makes a row of clips."""
    rows = [np.flatnonzero(found.videos == number) for number in dict.fromkeys(found.videos.tolist())]
    if per == "clip":
        rows = [np.array([row]) for row in range(len(found))]
    features = np.stack([pool(found.features[row]) for row in rows])
    numbers = [int(found.videos[row[0]]) for row in rows]
    videos = [store.videos[number] for number in numbers]
    splits = {split: set(store.members(split)) for split in store.splits}
    ends = [min(int(found.starts[row].max()) + window, v.frames) / v.rate for row, v in zip(rows, videos, strict=True)]
    columns: dict[str, NDArray[Any]] = {
        "names": np.array([video.name for video in videos], dtype=np.str_),
        "labels": np.array([video.label for video in videos], dtype=np.int64),
        "classes": np.array([store.classes[v.label] if v.label >= 0 else "" for v in videos], dtype=np.str_),
        "sources": np.array([video.source for video in videos], dtype=np.str_),
        "splits": np.array([";".join(s for s in splits if n in splits[s]) for n in numbers], dtype=np.str_),
        "start": np.array([found.starts[row].min() / v.rate for row, v in zip(rows, videos, strict=True)]),
        "end": np.array(ends),
    }
    return FeatureTable(unit_rows(features) if l2 else features, columns, manifest)


def _write_npz(path: Path, table: FeatureTable) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        manifest = np.array(json.dumps(dict(table.manifest), ensure_ascii=False))
        np.savez(file, allow_pickle=False, features=table.features, manifest=manifest, **table.columns)


def _write_hdf5(path: Path, table: FeatureTable) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["manifest"] = json.dumps(dict(table.manifest), ensure_ascii=False)
        file["features"] = table.features
        for name, column in table.columns.items():
            file[name] = column.astype(h5py.string_dtype()) if column.dtype.kind == "U" else column


def _write_csv(path: Path, table: FeatureTable) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.columns, *(f"f{i}" for i in range(table.features.shape[1]))])
        columns: Sequence[Sequence[Any]] = [column.tolist() for column in table.columns.values()]
        for known, row in zip(zip(*columns, strict=True), table.features, strict=True):
            writer.writerow([*known, *(f"{value:.9g}" for value in row)])
    write_text(_manifest_of_csv(path), json.dumps(dict(table.manifest), indent=2, ensure_ascii=False))


def _manifest_of_csv(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


WRITERS: Mapping[str, Callable[[Path, FeatureTable], None]] = {
    ".npz": _write_npz,
    ".h5": _write_hdf5,
    ".csv": _write_csv,
}

KINDS: Mapping[str, Kind] = {
    ".npz": zip_with("features of vimix extract", "features.npy", "names.npy"),
    ".h5": hdf5_with("features of vimix extract", "features", "manifest"),
    ".csv": text_with("features of vimix extract", "names,labels,"),
}
MANIFEST = json_with("the manifest of features", value=FORMAT)

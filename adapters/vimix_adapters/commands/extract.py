"""``vimix extract``: features of the videos of a store, in a file that can be read without vimix."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.domain.scores.feature_scaling import unit_rows
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures, VideoFeatures
from vimix_adapters import config
from vimix_adapters.archives import write_arrays
from vimix_adapters.commands.embed import EmbeddedStore, checkpoint_files, embed_store, encoder_record
from vimix_adapters.commands.spread_features import FeatureTasks
from vimix_adapters.csv_tables import write_csv
from vimix_adapters.files import replacing, require_new, write_text
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.engines import RayEngine
from vimix_adapters.prepare.parts import parts_of
from vimix_adapters.reports.console import print_note

FORMAT = "vimix-feature-file-1"

Embedded = EmbeddedStore[ClipFeatures] | EmbeddedStore[VideoFeatures]


@frozen(eq=False)
class FeatureTable:
    """Features with one row per video or clip; no column holds objects, so NumPy reads it without pickle."""

    features: NDArray[np.float32]
    """[N, D]."""
    columns: Mapping[str, NDArray[Any]]
    """Names, labels (-1: unknown), classes, sources, splits (joined by ``;``), start and end in seconds; each [N]."""
    manifest: Mapping[str, Any]


def extract_to_file(
    recipe: config.Recipe,
    checkpoint: Path,
    store: Path,
    out: Path,
    device: str,
    per: str = "video",
    l2: bool = False,
    force: bool = False,
    engine: RayEngine | None = None,
) -> None:
    """Embed every video of ``store`` and write ``out``: npz, HDF5 or CSV (its manifest goes to ``out`` + ``.json``).

    ``per`` is ``video`` (mean over its clips) or ``clip``; ``l2`` scales rows to unit length. ``engine`` shares the
    videos among the tasks of a Ray cluster, and ``out`` + ``.parts`` keeps what they have finished. Raises VimixError,
    before any work, if ``out`` has another ending, is one of the other files, or exists and ``force`` is false.
    """
    if out.suffix not in WRITERS:
        raise VimixError(f"{out}: expected a name that ends in {', '.join(WRITERS)}")
    for file in [out, _manifest_of_csv(out)] if out.suffix == ".csv" else [out]:
        require_new(file, force, [*checkpoint_files(checkpoint), store])
    configure_logging()
    tasks = FeatureTasks(engine, parts_of(out), force) if engine else None
    device = "cpu" if tasks else device
    embedded: Embedded = (
        embed_store(recipe, checkpoint, store, device, ClipFeatures, tasks)
        if per == "clip"
        else embed_store(recipe, checkpoint, store, device, VideoFeatures, tasks)
    )
    manifest = {
        "format": FORMAT,
        "rows": per,
        "store": embedded.store.fingerprint,
        "classes": list(embedded.store.classes),
        **encoder_record(embedded.modality, embedded.network.state_dict(), embedded.checkpoint, embedded.recipe, l2),
    }
    table = _table(embedded, l2, manifest)
    WRITERS[out.suffix](out, table)
    shutil.rmtree(parts_of(out), ignore_errors=True)
    print_note(f"written {len(table.features)} features of {table.features.shape[1]} numbers to {out}")


def _table(embedded: Embedded, l2: bool, manifest: Mapping[str, Any]) -> FeatureTable:
    """The features of the videos, or of their clips, with their columns."""
    found, store = embedded.features, embedded.store
    numbers = found.videos.tolist()
    videos = [store.videos[number] for number in numbers]
    splits = {split: set(store.members(split)) for split in store.splits}
    if isinstance(found, ClipFeatures):
        first = last = found.starts
    else:  # the first window begins with the video
        first = np.zeros(len(videos), np.int64)
        last = np.array([embedded.clips.starts(video.frames)[-1] for video in videos])
    rates, lengths = np.array([video.rate for video in videos]), np.array([video.frames for video in videos])
    columns: dict[str, NDArray[Any]] = {
        "names": np.array([video.name for video in videos], dtype=np.str_),
        "labels": np.array([video.label for video in videos], dtype=np.int64),
        "classes": np.array([store.classes[v.label] if v.label >= 0 else "" for v in videos], dtype=np.str_),
        "sources": np.array([video.source for video in videos], dtype=np.str_),
        "splits": np.array([";".join(s for s in splits if n in splits[s]) for n in numbers], dtype=np.str_),
        "start": first / rates,
        "end": np.minimum(last + embedded.window, lengths) / rates,
    }
    return FeatureTable(unit_rows(found.features) if l2 else found.features, columns, manifest)


def _write_npz(path: Path, table: FeatureTable) -> None:
    manifest = np.array(json.dumps(dict(table.manifest), ensure_ascii=False))
    write_arrays(path, {"features": table.features, "manifest": manifest, **table.columns})


def _write_hdf5(path: Path, table: FeatureTable) -> None:
    # In memory: on a full disk HDF5 cannot close a file, and the process dies (SIGSEGV).
    with replacing(path) as temporary, h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        file.attrs["manifest"] = json.dumps(dict(table.manifest), ensure_ascii=False)
        file["features"] = table.features
        for name, column in table.columns.items():
            file[name] = column.astype(h5py.string_dtype()) if column.dtype.kind == "U" else column
        file.flush()
        temporary.write_bytes(file.id.get_file_image())


def _write_csv(path: Path, table: FeatureTable) -> None:
    columns: Sequence[Sequence[Any]] = [column.tolist() for column in table.columns.values()]
    headings = [*table.columns, *(f"f{i}" for i in range(table.features.shape[1]))]
    lines = zip(zip(*columns, strict=True), table.features, strict=True)
    write_csv(path, headings, ([*cells, *(float(f"{value:.9g}") for value in row)] for cells, row in lines))
    write_text(_manifest_of_csv(path), json.dumps(dict(table.manifest), indent=2, ensure_ascii=False))


def _manifest_of_csv(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


WRITERS: Mapping[str, Callable[[Path, FeatureTable], None]] = {
    ".npz": _write_npz,
    ".h5": _write_hdf5,
    ".csv": _write_csv,
}

"""``vimix predict``: classes of video files by a classifier that was trained with labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from rich.table import Table

from vimix.app.finetune import classify_windows
from vimix.values.errors import VimixError
from vimix.values.predictions import Rows, WindowProbabilities
from vimix.values.video import ModalityFormat
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.config.store_settings import StoreSettings
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.single_file import read_with_rate
from vimix_adapters.pretrained import without_store
from vimix_adapters.reports.console import print_note, show_table, text_table


@frozen
class Prediction:
    """The classes of one file."""

    file: Path
    windows: WindowProbabilities
    spans: Sequence[tuple[float, float]]
    """Start and end of each window in seconds; empty for skeletons, whose one window is the whole sequence."""


@frozen(eq=False)
class VideoClassifier:
    """A classifier from a checkpoint, with the settings by which the videos of its store were prepared."""

    network: ClassifyingNetwork
    classes: Sequence[str]
    recipe: config.Recipe
    kind: ModalityFormat
    packing: StoreSettings
    compute: Compute
    crops: str

    def predict(self, file: Path) -> Prediction:
        """Classify a file as ``vimix evaluate`` does a test video. Raises VimixError naming an unreadable file."""
        frames, rate = read_with_rate(file, self.packing, self.kind.modality)
        clips = wiring.UnstoredClips(self.recipe, 1, lambda _: frames, self.kind, self.compute, self.crops)
        windows = classify_windows(self.network, clips, self.recipe.evaluate.batch_clips)
        length = wiring.clip_shape(self.recipe).span
        spans = [(s / rate, min(s + length, len(frames)) / rate) for s in windows.starts] if rate else []
        return Prediction(file, windows, spans)


def open_classifier(path: Path, device: str) -> VideoClassifier:
    """The classifier of a checkpoint. Raises VimixError naming ``path`` if it has none, or no settings of its store."""
    checkpoint = load_trained(path)
    recipe = config.recipe_from_toml(checkpoint.recipe, f"the recipe in {path}", recorded=True)
    checkpoint, recipe, packing, kind = without_store(path, checkpoint, recipe)
    compute = wiring.build_compute(recipe, device)
    try:
        network = wiring.build_recorded_classifier(recipe, checkpoint, compute)
    except VimixError as error:
        raise VimixError(f"{path}: {error}") from error
    crops = recipe.finetune.crops if checkpoint.about.get("stage") == "finetune" else "protocol"
    return VideoClassifier(network, wiring.recorded_classes(checkpoint), recipe, kind, packing, compute, crops)


def predict_files(checkpoint: Path, files: Sequence[Path], k: int, by_window: bool, as_json: bool, device: str) -> None:
    """Print the ``k`` most probable classes of each file, or, with ``by_window``, of each of its windows.

    A file that cannot be read is named and the others are classified; then VimixError is raised.
    """
    configure_logging()
    classifier = open_classifier(checkpoint, device)
    done, failed = [], dict[str, str]()
    for file in files:
        try:
            done.append(classifier.predict(file))
        except VimixError as error:
            failed[str(file)] = str(error)
            print_note(str(error))
            continue
        if not as_json:
            print(file)
            show_table(_table(done[-1], classifier.classes, k, by_window))
    if as_json:
        videos = [_plain(prediction, classifier.classes, k) for prediction in done]
        about = {"checkpoint": str(checkpoint), "modality": classifier.kind.modality}
        print(json.dumps({**about, "videos": videos, "failed": failed}, indent=2, ensure_ascii=False))
    if failed:
        raise VimixError(f"{len(failed)} of {len(files)} files could not be read ({', '.join(failed)}): see above")


def _best(scores: Rows, classes: Sequence[str], k: int) -> dict[str, float]:
    """The k most probable classes with their probabilities, most probable first."""
    order = np.argsort(-scores, kind="stable")[:k]
    return {classes[number]: round(float(scores[number]), 4) for number in order}


def _plain(prediction: Prediction, classes: Sequence[str], k: int) -> dict[str, object]:
    best = _best(prediction.windows.video, classes, k)
    windows = [
        {"start_seconds": round(start, 3), "end_seconds": round(end, 3), "scores": _best(row, classes, k)}
        for (start, end), row in zip(prediction.spans, prediction.windows.probabilities, strict=False)
    ]
    return {"video": str(prediction.file), "class": next(iter(best)), "scores": best, "windows": windows}


def _table(prediction: Prediction, classes: Sequence[str], k: int, by_window: bool) -> Table:
    if not by_window or not prediction.spans:
        best = _best(prediction.windows.video, classes, k)
        return text_table(
            ["class", "score"], [[name, f"{100 * score:.1f}"] for name, score in best.items()], "lr", caption="per cent"
        )
    rows = []
    for (start, end), row in zip(prediction.spans, prediction.windows.probabilities, strict=True):
        best = _best(row, classes, k)
        rows.append(
            [f"{start:.1f} - {end:.1f}", ", ".join(f"{name} {100 * score:.1f}" for name, score in best.items())]
        )
    return text_table(["seconds", "classes"], rows, "rl", caption="per cent")

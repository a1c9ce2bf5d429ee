"""Builds the kNN accuracy that is measured during training."""

import numpy as np
from attrs import evolve

from vimix.app.online_knn import OnlineKnn
from vimix.app.parallel import videos_of_rank
from vimix.ports.clips import EvaluationClips, VideoStore
from vimix.ports.network import Network
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.wiring.stores import build_evaluation_clips, sources_of


def build_online_knn(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    network: Network,
    compute: Compute,
    group: ProcessGroup,
    epochs: int,
    prefix: str = "",
) -> OnlineKnn | None:
    """A callback that measures the network on evenly spaced videos of both evaluation splits; None if it is not wanted.

    Each rank of the group takes some of the videos. ``epochs`` is the length of the stage, ``prefix`` comes before the
    name of the number. Raises VimixError if a split has no video with a label.
    """
    settings = recipe.evaluate
    if not settings.knn_every:
        return None
    in_process = evolve(recipe, data=evolve(recipe.data, workers=0))  # the training has workers of its own

    def clips(split: str) -> EvaluationClips:
        labelled = [video for video in store.members(split) if store.videos[video].label >= 0]
        if not labelled:
            raise VimixError(
                f"evaluate.knn_every: split {split!r} has no video with a label to measure accuracy on: choose another "
                "evaluate.gallery or evaluate.queries, or set knn_every = 0"
            )
        chosen = np.linspace(0, len(labelled) - 1, min(settings.knn_videos, len(labelled))).round().astype(int)
        videos = videos_of_rank([labelled[i] for i in chosen], group)
        return build_evaluation_clips(in_process, store, videos, modality, compute)

    return OnlineKnn(
        network=network,
        gallery=clips(settings.gallery),
        queries=clips(settings.queries),
        sources=sources_of(store),
        neighbours=settings.knn_neighbours,
        batch=settings.batch_clips,
        group=group,
        every=settings.knn_every,
        epochs=epochs,
        name=f"{prefix}knn_accuracy",
    )

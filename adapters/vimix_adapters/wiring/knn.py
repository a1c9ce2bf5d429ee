"""The kNN accuracy that is measured during training."""

from collections.abc import Callable, Mapping

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
) -> Callable[[], Mapping[str, float]] | None:
    """Measures the network on evenly spaced videos of both evaluation splits; None if the recipe asks for nothing.

    The members of the group share the videos out. Raises VimixError if a split has no video with a label.
    """
    settings = recipe.evaluate
    if not settings.knn_every:
        return None
    here = evolve(recipe, data=evolve(recipe.data, workers=0))  # no second crew of processes beside the training's

    def clips(split: str) -> EvaluationClips:
        members = [video for video in store.members(split) if store.videos[video].label >= 0]
        if not members:
            raise VimixError(
                f"evaluate.knn_every: split {split!r} has no video with a label to measure accuracy on: choose another "
                "evaluate.gallery or evaluate.queries, or set knn_every = 0"
            )
        chosen = np.linspace(0, len(members) - 1, min(settings.knn_videos, len(members))).round().astype(int)
        return build_evaluation_clips(
            here, store, videos_of_rank([members[i] for i in chosen], group), modality, compute
        )

    return OnlineKnn(
        network,
        clips(settings.gallery),
        clips(settings.queries),
        sources_of(store),
        settings.knn_neighbours,
        settings.batch_clips,
        group,
    )

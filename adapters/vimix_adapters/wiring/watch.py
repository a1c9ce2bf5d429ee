"""The kNN accuracy that is measured during training."""

from collections.abc import Callable, Mapping

import numpy as np
from attrs import evolve

from vimix.app.team import own_share
from vimix.app.watch import NeighbourWatch
from vimix.ports.clips import EvaluationClips, VideoStore
from vimix.ports.network import Network
from vimix.ports.team import Team
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.encoders.network import Compute
from vimix_adapters.wiring.stores import build_evaluation_clips, sources_of


def build_watch(
    recipe: config.Recipe, store: VideoStore, modality: Modality, network: Network, compute: Compute, team: Team
) -> Callable[[], Mapping[str, float]] | None:
    """Measures the network on evenly spaced videos of both evaluation splits; None if the recipe asks for nothing.

    The members of the team share the videos out. Raises VimixError if a split has no video with a label.
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
        return build_evaluation_clips(here, store, own_share([members[i] for i in chosen], team), modality, compute)

    return NeighbourWatch(
        network,
        clips(settings.gallery),
        clips(settings.queries),
        sources_of(store),
        settings.knn_neighbours,
        settings.batch_clips,
        team,
    )

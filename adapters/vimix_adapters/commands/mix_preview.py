"""``vimix mix-preview``: how each policy mixes real clips and hidden maps, as a page or a picture."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from vimix.domain.mixing.blend import blend
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.grid import Grid
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat
from vimix_adapters import config, wiring
from vimix_adapters.commands.mix_weights import map_grids
from vimix_adapters.commands.report_clips import drawn
from vimix_adapters.files import require_new
from vimix_adapters.reports.page.gallery import choose_queries
from vimix_adapters.reports.page.mix import (
    HiddenMixes,
    MixedClip,
    MixPage,
    box_of,
    histogram_of,
    plain_mixes,
    write_mixes,
)
from vimix_adapters.reports.page.mix_picture import draw_mixes
from vimix_adapters.reports.page.moving import animated_webp
from vimix_adapters.reports.results import write_json

INPUT: Sequence[Literal["mixup", "temporal_cutmix", "st_cutmix", "videomix"]] = (
    "mixup",
    "temporal_cutmix",
    "st_cutmix",
    "videomix",
)
"""Policies of the input space, as recipes name them."""
BATCH = 4
"""Clips that a mix is drawn for."""
DRAWS = 8
"""Plans of the input space among which the mix that is shown is chosen."""
BOXES = 4
"""Drawn boxes of a hidden mix."""
PLANS = 2000
"""Plans behind a histogram."""

Pictures = NDArray[np.uint8]


@frozen(eq=False)
class Batch:
    """Clips of one modality, as a store holds them, with the axes of a batch."""

    names: Sequence[str]
    clips: NDArray[np.float32]
    """[B, C, T, H, W], or [B, 3, T, V, M] of skeletons."""
    kind: ModalityFormat
    milliseconds: int
    """Duration of each frame."""

    def pictures(self, clip: NDArray[np.float32]) -> Pictures:
        """A clip [C, T, H, W] drawn as uint8 [T, height, width, 3]."""
        frames = np.moveaxis(clip, 0, -1)
        return drawn(frames if self.kind.layout is not None else np.rint(frames).astype(np.uint8), self.kind)


def write_preview(recipe: config.Recipe, out: Path, seed: int = 0, force: bool = False) -> None:
    """Write the mixes of a recipe to ``out`` (.html or .png), and their numbers beside it with the suffix .json.

    The plans depend on ``seed``. Raises VimixError if the store is missing or holds fewer than two videos to train on,
    ``out`` has another suffix, or one of the files exists and ``force`` is false.
    """
    if out.suffix not in (".html", ".png"):
        raise VimixError(f"--out {out}: expected a name that ends in .html or .png")
    for file in (out, out.with_suffix(".json")):
        require_new(file, force)
    store, rng = wiring.build_store(recipe), np.random.default_rng(seed)
    mixed: list[MixedClip] = []
    pictures: list[Pictures] = []
    lengths: list[int] = []
    used = _input_policies(recipe)
    for modality in [m for m in map(Modality, recipe.modalities) if store.formats[m].stored == m]:
        batch = _batch(recipe, store, modality)
        for policy in INPUT:
            clip, shown = _mixed(batch, config.InputMix(policy, recipe.pretrain.mix.alpha), len(pictures), rng, used)
            mixed.append(clip)
            pictures += shown
            lengths += [batch.milliseconds] * len(shown)
    hidden = [_hidden(recipe, stage, rng) for stage in _hidden_stages(recipe)]
    if not (mixed or hidden):
        derived = ", ".join(recipe.modalities)
        raise VimixError(f"{recipe.name} has no mix to draw: {derived} is derived from joint; add [modalities.joint]")
    if out.suffix == ".png":
        page = MixPage(recipe.name, mixed, hidden)
        draw_mixes(out, page, dict(enumerate(pictures)))
        write_json(out.with_suffix(".json"), plain_mixes(page))
    else:
        clips = [animated_webp(shown, length) for shown, length in zip(pictures, lengths, strict=True)]
        write_mixes(MixPage(recipe.name, mixed, hidden, clips), out)
    print(f"written to {out} and {out.with_suffix('.json')}")


def _batch(recipe: config.Recipe, store: VideoStore, modality: Modality) -> Batch:
    """The middle of some training videos of different classes."""
    members = store.members(recipe.data.train_split)
    if len(members) < 2:
        raise VimixError(f"split {recipe.data.train_split!r} holds {len(members)} videos: a mix needs two")
    labels = np.array([store.videos[number].label for number in members])
    chosen = [members[row] for row in choose_queries(labels, BATCH)]
    kind = store.formats[modality]
    clips = [_clip(recipe, store, number, kind) for number in chosen]
    rate = store.videos[chosen[0]].rate or 25.0
    step = recipe.data.stride if kind.layout is None else 1
    names = [store.videos[number].name for number in chosen]
    return Batch(names, np.stack(clips), kind, round(1000 * step / rate))


def _clip(recipe: config.Recipe, store: VideoStore, number: int, kind: ModalityFormat) -> NDArray[np.float32]:
    """[C, T, H, W] of the video's centre, the last frame repeated if it is short; a skeleton's whole sequence."""
    video, data = store.videos[number], recipe.data
    frames = store.read(number, kind.stored, 0, video.frames)
    if kind.layout is None:
        first = max(0, (video.frames - (data.frames - 1) * data.stride - 1) // 2)
        at = np.minimum(first + data.stride * np.arange(data.frames), video.frames - 1)
        frames = np.stack([_square(frame, data.size) for frame in frames[at]])
    return np.moveaxis(frames, -1, 0).astype(np.float32)


def _square(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    cut = np.ascontiguousarray(frame[top : top + side, left : left + side])
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _input_policies(recipe: config.Recipe) -> set[str]:
    """The policies of the input space that stages of the recipe use."""
    stages = [stage for arm in recipe.arms.values() for stage in arm.stages if isinstance(stage, config.PretrainStage)]
    return {recipe.stage(stage).mix.policy for stage in stages} or {recipe.pretrain.mix.policy}


def _mixed(
    batch: Batch, mix: config.InputMix, first: int, rng: np.random.Generator, used: set[str]
) -> tuple[MixedClip, list[Pictures]]:
    """The most even mix of two clips among ``DRAWS`` plans, and its pictures, which are numbered from ``first``."""
    grid, drawing = Grid.of(batch.clips.shape, planar=batch.kind.layout is None), wiring.build_policy(mix)
    plans = [drawing.plan(batch=len(batch.names), grid=grid, rng=rng) for _ in range(DRAWS)]

    def unevenness(at: tuple[int, int]) -> tuple[bool, float]:
        plan, row = plans[at[0]], at[1]
        return bool(plan.partner[row] == row), abs(float(plan.weight[row]) - 0.5)

    number, row = min(product(range(DRAWS), range(len(batch.names))), key=unevenness)
    plan = plans[number]
    partner = int(plan.partner[row])
    tensor = torch.from_numpy(batch.clips)
    result = blend(tensor, tensor, plan)[row].numpy()
    shown = [batch.pictures(clip) for clip in (batch.clips[row], batch.clips[partner], result)]
    clip = MixedClip(
        mix.policy,
        str(batch.kind.modality),
        float(plan.weight[row]),
        batch.names[row],
        batch.names[partner],
        (first, first + 1, first + 2),
        mix.policy in used,
    )
    return clip, shown


def _hidden_stages(recipe: config.Recipe) -> list[config.CmmcStage]:
    """The stages of all arms that mix hidden maps, each kind once; the recipe's own [cmmc] if no arm has one."""
    named: dict[tuple[object, ...], config.CmmcStage] = {}
    for arm in recipe.arms.values():
        for stage in arm.stages:
            if isinstance(stage, config.CmmcStage):
                named.setdefault((stage.cmmc, stage.partner, stage.mix), stage)
    if not named and len(recipe.modalities) > 1:
        one, other, *_ = recipe.modalities
        return [config.CmmcStage(one, other)]
    return list(named.values())


def _hidden(recipe: config.Recipe, stage: config.CmmcStage, rng: np.random.Generator) -> HiddenMixes:
    built = wiring.build_stage(recipe, stage)
    layers, policy = built.layers, built.policy
    assert layers is not None  # a stage that mixes hidden maps draws layers
    sides = map(Modality, (stage.cmmc, stage.partner or stage.cmmc))
    grids, donors = (map_grids(wiring.build_encoder(recipe, m), wiring.batch_shape(recipe, m)) for m in sides)
    boxes = []
    for _ in range(BOXES):
        k, l = layers.draw(len(grids) + 1, len(donors) + 1, rng)  # noqa: E741  # the paper's name
        plan = policy.plan(batch=2, grid=grids[k - 1], donor=donors[l - 1], rng=rng)
        if plan.cut is not None:
            boxes.append(box_of(plan, 0, (k, l), grids[k - 1].sizes, donors[l - 1].sizes))
    mix = recipe.stage(stage).mix
    histograms = [
        histogram_of(policy.plan(batch=PLANS, grid=grids[k - 1], donor=donors[l - 1], rng=rng).weight, k, l)
        for k, l in _pairs(getattr(mix, "layers", "same"), len(grids), len(donors))  # noqa: E741  # the paper's name
    ]
    return HiddenMixes(stage.cmmc, stage.partner or "", mix.policy, list(range(1, len(grids) + 1)), boxes, histograms)


def _pairs(layers: str, depth: int, donor_depth: int) -> Iterator[tuple[int, int]]:
    """The pairs (k, l) that can be drawn."""
    for k, l in product(range(1, depth + 1), range(1, donor_depth + 1)):  # noqa: E741  # the paper's name
        if l == k or (layers == "random" and l > k):
            yield k, l

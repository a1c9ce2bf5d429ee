"""One training step of each kind of stage, as the paper writes it, and of other objectives.

In a group of processes a plan is drawn for the global batch, and each rank applies its own rows of it.
"""

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from vimix.app.learner import Learner, StepOutcome
from vimix.app.parallel import blend_rows_of_rank, gathered_with_gradient
from vimix.domain.contrast.losses import nt_xent
from vimix.domain.mixing.layers import LayerChoice
from vimix.domain.mixing.policies import MixPolicy
from vimix.ports.network import Network
from vimix.values.clip_batch import ClipBatch
from vimix.values.grid import Grid
from vimix.values.mixing import MixPlan
from vimix.values.modality import Modality

PartnerEmbeddings = Mapping[Modality, Tensor]
"""Embeddings [B, D] of the batch by the partners whose keys the queue keeps."""
Step = Callable[[ClipBatch, np.random.Generator], StepOutcome]
"""Trains on one batch. All randomness of the step comes from the generator."""


def pretrain_step(learner: Learner, policy: MixPolicy) -> Step:
    """MoCo on clips mixed in the input space (section 3.1; Eq. 3)."""

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x_q, x_k = batch.views[learner.modality]
        x_mix, plan = _mixed(x_q, x_q, learner.query, learner, policy, rng)
        z = learner.query.embed(x_mix)
        keys = learner.keys(x_k, rng)
        return learner.learn(z, keys, plan, batch)

    return step


def mining_step(learner: Learner, partner: Network, partner_modality: Modality, policy: MixPolicy) -> Step:
    """``pretrain_step`` with positives that the frozen ``partner`` finds (CoCLR; section 9 of the method)."""

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x1_q, x1_k = batch.views[learner.modality]
        x2 = batch.views[partner_modality][0]
        _, e2 = partner.hidden_and_embedding(x2, 0)
        x_mix, plan = _mixed(x1_q, x1_q, learner.query, learner, policy, rng)
        z = learner.query.embed(x_mix)
        keys = learner.keys(x1_k, rng)
        return learner.learn(z, keys, plan, batch, {partner_modality: e2})

    return step


def manifold_step(learner: Learner, policy: MixPolicy, layers: LayerChoice) -> Step:
    """MoCo on hidden maps mixed with those of other clips of the batch, gradients to both (Verma et al. 2019)."""

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x_q, x_k = batch.views[learner.modality]
        k, _ = layers.draw(learner.query.depth, learner.query.depth, rng)
        z, plan = learner.query.embed_mixed(x_q, k, lambda g1: _mixed(g1, g1, learner.query, learner, policy, rng))
        keys = learner.keys(x_k, rng)
        return learner.learn(z, keys, plan, batch)

    return step


def cmmc_step(
    learner: Learner, partner: Network, partner_modality: Modality, policy: MixPolicy, layers: LayerChoice
) -> Step:
    """One step of a CMMC stage (Algorithm 1; section 4 of the method); ``partner`` is frozen.

    If the learner mines positives in the partner, the partner's pass goes on to its embedding (section 9).
    """

    def to_the_layer(clips: Tensor, layer: int) -> tuple[Tensor, PartnerEmbeddings]:
        return partner.hidden(clips, layer), {}

    def to_the_end(clips: Tensor, layer: int) -> tuple[Tensor, PartnerEmbeddings]:
        hidden, embedded = partner.hidden_and_embedding(clips, layer)
        return hidden, {partner_modality: embedded}

    donated = to_the_end if learner.finder.needs_similarities else to_the_layer

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x1_q, x1_k = batch.views[learner.modality]
        x2 = batch.views[partner_modality][0]
        k, l = layers.draw(learner.query.depth, partner.depth, rng)  # noqa: E741  # the paper's name
        g2, e2 = donated(x2, l)
        z, plan = learner.query.embed_mixed(x1_q, k, lambda g1: _mixed(g1, g2, partner, learner, policy, rng))
        keys = learner.keys(x1_k, rng)
        return learner.learn(z, keys, plan, batch, e2)

    return step


def simclr_step(learner: Learner) -> Step:
    """NT-Xent without queue: gradients through both views, of all ranks (SimCLR, Chen et al. 2020; CVRL).

    The key encoder only follows, so that a later stage can start from it.
    """

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        del rng
        x1, x2 = batch.views[learner.modality]
        z1, z2 = learner.query.embed(x1), learner.query.embed(x2)
        all1, all2 = (gathered_with_gradient(z, learner.group) for z in (z1, z2))
        plan = MixPlan.unmixed(len(all1))
        _, compared = learner.compare(z1.detach(), all2.detach(), plan, learner.instances(batch, {}))
        others = compared.excluded[:, : len(all1)]
        loss = nt_xent((z1, z2), (all1, all2), learner.temperature, others, compared.first)
        learner.update_key_encoder()
        return learner.update(loss, compared, plan)

    return step


def symmetric_step(learner: Learner) -> Step:
    """Each view is a query for the key of the other; the mean of both losses (MoCo v3, Chen et al. 2021).

    MoCo v3 has no queue (``contrast.queue = 0``), scales the sum of both losses by 2τ, and has a further head on the
    query side, which is left out here.
    """

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x1, x2 = batch.views[learner.modality]
        z1, z2 = learner.query.embed(x1), learner.query.embed(x2)
        keys2, keys1 = learner.keys(x2, rng), learner.embed_keys(x1, rng)
        plan, instances = MixPlan.unmixed(len(keys1)), learner.instances(batch, {})
        loss1, compared = learner.compare(z1, keys2, plan, instances)
        loss2, _ = learner.compare(z2, keys1, plan, instances)
        return learner.update((loss1 + loss2) / 2, compared, plan)

    return step


def _mixed(
    g1: Tensor, g2: Tensor, donor: Network, learner: Learner, policy: MixPolicy, rng: np.random.Generator
) -> tuple[Tensor, MixPlan]:
    """Maps g1 of the trained network mixed with maps g2 of ``donor``, and the plan for the global batch."""
    plan = policy.plan(
        batch=learner.group.size * len(g1),
        grid=Grid.of(g1.shape, planar=learner.query.planar),
        donor=Grid.of(g2.shape, planar=donor.planar),
        rng=rng,
    )
    return blend_rows_of_rank(g1, g2, plan, learner.group), plan

"""One training step of each kind of stage, as the paper writes it.

Plans are drawn for the global batch: where several processes share it (``learner.group``), each applies its own rows.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from vimix.app.learner import Learner, StepOutcome
from vimix.app.parallel import blend_rows_of_rank
from vimix.domain.mixing.layers import LayerChoice
from vimix.domain.mixing.policies import MixPolicy
from vimix.ports.network import Network
from vimix.values.clips import ClipBatch
from vimix.values.grid import Grid
from vimix.values.mixing import MixPlan
from vimix.values.modality import Modality

Step = Callable[[ClipBatch, np.random.Generator], StepOutcome]


def pretrain_step(learner: Learner, policy: MixPolicy) -> Step:
    """MoCo on clips mixed in the input space (section 3.1; Eq. 3)."""
    group = learner.group

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x_q, x_k = batch.views[learner.modality]
        grid = Grid.of(x_q.shape, planar=learner.query.planar)
        plan = policy.plan(batch=group.size * len(batch), grid=grid, rng=rng)
        z = learner.query.embed(blend_rows_of_rank(x_q, x_q, plan, group))
        return learner.learn(z, learner.keys(x_k, rng), plan, batch.sources)

    return step


def manifold_step(learner: Learner, policy: MixPolicy, layers: LayerChoice) -> Step:
    """MoCo on hidden maps mixed with other rows of themselves (Verma et al. 2019; Table 2): both get gradients."""
    group = learner.group

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x_q, x_k = batch.views[learner.modality]
        k, _ = layers.draw(learner.query.depth, learner.query.depth, rng)

        def mixup(g1: Tensor) -> tuple[Tensor, MixPlan]:
            grid = Grid.of(g1.shape, planar=learner.query.planar)
            plan = policy.plan(batch=group.size * len(batch), grid=grid, rng=rng)
            return blend_rows_of_rank(g1, g1, plan, group), plan

        z, plan = learner.query.embed_mixed(x_q, k, mixup)
        return learner.learn(z, learner.keys(x_k, rng), plan, batch.sources)

    return step


def cmmc_step(
    learner: Learner, partner: Network, partner_modality: Modality, policy: MixPolicy, layers: LayerChoice
) -> Step:
    """One step of a CMMC stage (Algorithm 1; section 4 of the method): ``partner`` is frozen."""
    group = learner.group

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        x1_q, x1_k = batch.views[learner.modality]
        x2 = batch.views[partner_modality][0]
        k, l = layers.draw(learner.query.depth, partner.depth, rng)  # noqa: E741  # the paper's name
        g2 = partner.hidden(x2, l)

        def cutmix(g1: Tensor) -> tuple[Tensor, MixPlan]:
            mine = Grid.of(g1.shape, planar=learner.query.planar)
            donors = Grid.of(g2.shape, planar=partner.planar)
            plan = policy.plan(batch=group.size * len(batch), grid=mine, donor=donors, rng=rng)
            return blend_rows_of_rank(g1, g2, plan, group), plan

        z, plan = learner.query.embed_mixed(x1_q, k, cutmix)
        return learner.learn(z, learner.keys(x1_k, rng), plan, batch.sources)

    return step

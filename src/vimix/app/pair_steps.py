"""Steps of other objectives, in which both views of a video are queries, without mixing."""

import numpy as np

from vimix.app.learner import Learner, StepOutcome
from vimix.app.parallel import gathered_with_gradient
from vimix.app.steps import Step
from vimix.domain.contrast.nt_xent import nt_xent
from vimix.values.clip_batch import ClipBatch
from vimix.values.mixing import MixPlan


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

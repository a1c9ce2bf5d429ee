"""The learner, the three kinds of step, layers, rates and stages, on fakes."""

import copy

import numpy as np
import pytest
import torch
from attrs import evolve

import vimix
from tests.fakes.network import FakeNetwork
from vimix.app.learner import Learner
from vimix.app.steps import cmmc_step, manifold_step, mining_step, pretrain_step
from vimix.domain.contrast.candidates import BatchAndQueue, WithoutSiblings
from vimix.domain.contrast.finders import Finder, Labels, NearestInPartner
from vimix.domain.mixing.layers import RandomLayer, SameLayer
from vimix.domain.schedule.stages import Stage, step_decay, warmed_up
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB
from vimix_adapters.encoders.contrastive_network import TorchOptimiser


def learner(seed: int = 0, momentum: float = 0.9) -> Learner:
    query, key = FakeNetwork(seed=seed), FakeNetwork(seed=seed)
    return Learner(
        modality=RGB,
        query=query,
        key=key,
        queue=vimix.NegativeQueue(16, 5),
        optimiser=TorchOptimiser(torch.optim.Adam(query.parameters(), lr=1e-2)),
        candidates=BatchAndQueue(),
        momentum=momentum,
        temperature=0.1,
    )


def with_sgd(made: Learner, rate: float) -> Learner:
    return evolve(made, optimiser=TorchOptimiser(torch.optim.SGD(made.query.parameters(), lr=rate)))


def batch(seed: int = 0, size: int = 4) -> ClipBatch:
    generator = torch.Generator().manual_seed(seed)
    clips = [torch.randn(size, channels, 4, 6, 6, generator=generator) for channels in (3, 3, 2)]
    ids = torch.arange(size)
    return ClipBatch(views={RGB: (clips[0], clips[1]), FLOW: (clips[2],)}, videos=ids, sources=ids, labels=ids)


def snapshot(network: FakeNetwork) -> dict[str, torch.Tensor]:
    return copy.deepcopy(dict(network.state_dict()))


def moved(before: dict[str, torch.Tensor], network: FakeNetwork) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(before[name], value)}


@pytest.mark.parametrize("seed", range(4))
def test_a_cmmc_step_trains_all_of_one_encoder_and_none_of_its_partner(seed) -> None:
    """Parameters, BatchNorm statistics and gradients of the frozen encoder stay as they are."""
    trained, partner = learner(), FakeNetwork(channels=2, seed=9)
    before, frozen = snapshot(trained.query), snapshot(partner)
    step = cmmc_step(trained, partner, FLOW, vimix.CrossModalCutMix(), RandomLayer())
    step(batch(), np.random.default_rng(seed))
    parameters = {name for name, _ in trained.query.named_parameters()}
    assert parameters <= moved(before, trained.query)
    assert not moved(frozen, partner)
    assert all(parameter.grad is None for parameter in partner.parameters())
    assert all(parameter.grad is None for parameter in trained.key.parameters())


def test_a_cmmc_step_is_the_six_lines_of_the_method() -> None:
    """The same loss from the formulas written out with a mask, M*g1 + (1-M)*g2."""
    trained, partner, clips = learner(), FakeNetwork(channels=2, seed=9), batch()
    outcome_rng, rng = np.random.default_rng(5), np.random.default_rng(5)
    query, key = copy.deepcopy(trained.query), copy.deepcopy(trained.key)
    outcome = cmmc_step(trained, partner, FLOW, vimix.CrossModalCutMix(), RandomLayer())(clips, outcome_rng)

    k, l = RandomLayer().draw(3, 3, rng)  # noqa: E741
    g1 = query.partial_forward(clips.views[RGB][0], 0, k)
    partner.eval()
    g2 = partner.partial_forward(clips.views[FLOW][0], 0, l)
    plan = vimix.CrossModalCutMix().plan(batch=4, grid=vimix.Grid.of(g1.shape), donor=vimix.Grid.of(g2.shape), rng=rng)
    g_mix = []
    for i in range(4):
        mask, donor = torch.ones_like(g1[i]), torch.zeros_like(g1[i])
        mine = tuple(slice(a, a + n) for a, n in zip(plan.cut.start[i], plan.cut.extent[i], strict=True))
        theirs = tuple(slice(a, a + n) for a, n in zip(plan.cut.donor_start[i], plan.cut.extent[i], strict=True))
        mask[mine] = 0
        donor[mine] = g2[plan.partner[i]][theirs]
        g_mix.append(mask * g1[i] + (1 - mask) * donor)
    z = query.project(query.partial_forward(torch.stack(g_mix), k, 3))
    keys = key.keys(clips.views[RGB][1], torch.from_numpy(rng.permutation(4)))
    log_p = (z @ keys.T / 0.1).log_softmax(1)
    lam = torch.from_numpy(plan.weight)
    expected = -(lam * log_p.diag() + (1 - lam) * log_p[torch.arange(4), torch.from_numpy(plan.partner)]).mean()
    torch.testing.assert_close(outcome.loss, expected.detach())
    assert outcome.weight == pytest.approx(plan.weight.mean())


def test_a_manifold_step_mixes_hidden_maps_of_one_encoder_with_gradients_to_both() -> None:
    """λ·g1 + (1-λ)·g1[r] written out; the gradient of the written-out loss is the one that the step takes."""
    rate, clips = 0.5, batch()
    trained = with_sgd(learner(momentum=1.0), rate)
    rng, query = np.random.default_rng(6), copy.deepcopy(trained.query)
    outcome = manifold_step(trained, vimix.ManifoldMixup(), SameLayer())(clips, np.random.default_rng(6))

    k, _ = SameLayer().draw(3, 3, rng)
    g1 = query.partial_forward(clips.views[RGB][0], 0, k)
    lam = torch.from_numpy(rng.beta(1, 1, 4).astype(np.float32))
    partner = torch.from_numpy(rng.permutation(4))
    shares = lam.view(-1, 1, 1, 1, 1)
    z = query.project(query.partial_forward(shares * g1 + (1 - shares) * g1[partner], k, 3))
    keys = trained.key.keys(clips.views[RGB][1], torch.arange(4))
    log_p = (z @ keys.T / 0.1).log_softmax(1)
    expected = -(lam * log_p.diag() + (1 - lam) * log_p[torch.arange(4), partner]).mean()
    torch.testing.assert_close(outcome.loss, expected.detach(), rtol=1e-4, atol=1e-5)
    expected.backward()
    for mine, theirs in zip(trained.query.parameters(), query.parameters(), strict=True):
        torch.testing.assert_close(mine.detach(), theirs.detach() - rate * theirs.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("planar", [True, False])
def test_policies_know_whether_the_last_axis_is_one_of_space(planar) -> None:
    """For skeletons it numbers persons, who are always taken whole, in the input space and in hidden maps."""

    class Watched(vimix.CrossModalCutMix):
        def plan(self, *, batch, grid, rng, donor=None):
            grids.extend([grid, donor or grid])
            return super().plan(batch=batch, grid=grid, donor=donor, rng=rng)

    grids: list[vimix.Grid] = []
    trained, partner = learner(), FakeNetwork(channels=2, seed=9, planar=planar)
    trained.query.planar = planar
    cmmc_step(trained, partner, FLOW, Watched(), RandomLayer())(batch(), np.random.default_rng(0))
    pretrain_step(trained, Watched())(batch(), np.random.default_rng(0))
    assert [grid.planar for grid in grids] == [planar] * 4


def test_the_learner_minimises_the_public_loss_to_the_last_bit() -> None:
    """Among siblings and a queue that is partly empty."""
    trained, clips = evolve(learner(), candidates=WithoutSiblings()), batch()
    z, keys = trained.query.embed(clips.views[RGB][0]), trained.keys(clips.views[RGB][1], np.random.default_rng(0))
    plan = vimix.Mixup().plan(batch=4, grid=vimix.Grid((1, 1, 1, 1)), rng=np.random.default_rng(1))
    sources, queue = torch.tensor([0, 0, 1, 2]), trained.queue
    clips = evolve(clips, sources=sources)
    queue.enqueue(keys.flip(0), sources)
    excluded = WithoutSiblings().excluded(sources, queue.row_sources, torch.from_numpy(plan.partner))
    excluded[:, 4:] |= queue.empty
    expected = vimix.mixed_info_nce(z, keys, queue.rows, plan, temperature=0.1, excluded=excluded)
    assert torch.equal(trained.learn(z, keys, plan, clips).loss, expected)


def mining(finder: Finder, capacity: int = 8) -> Learner:
    """A learner whose queue keeps keys of flow too."""
    return evolve(learner(momentum=1.0), queue=vimix.NegativeQueue(capacity, 5, partners=[FLOW]), finder=finder)


def numbered(seed: int, first: int) -> ClipBatch:
    """A batch of recordings first, first + 1, ... in two classes."""
    ids = torch.arange(first, first + 4)
    return evolve(batch(seed), videos=ids, sources=ids, labels=ids % 2)


def test_positives_are_mined_by_the_partners_similarities_once_the_queue_is_full() -> None:
    """Two batches fill the queue; the loss of the third is the public loss with the positives written out."""
    trained, partner = with_sgd(mining(NearestInPartner(k=2)), rate=0.0), FakeNetwork(channels=2, seed=9)
    step = mining_step(trained, partner, FLOW, vimix.Mixup())
    for number in range(2):
        outcome = step(numbered(number, 4 * number), np.random.default_rng(number))
        assert torch.equal(outcome.compared.positives, torch.eye(4, 12, dtype=torch.bool))
    assert bool(trained.queue.full)
    clips, rng, query = numbered(2, 6), np.random.default_rng(2), copy.deepcopy(trained.query)  # 6 and 7 came before
    queue, queued = trained.queue.rows.clone(), list(range(8))
    partner.eval()
    second = torch.cat([partner.embed(numbered(n, 0).views[FLOW][0]) for n in range(2)]).detach()
    embedded = partner.embed(clips.views[FLOW][0]).detach()
    outcome = step(clips, np.random.default_rng(2))

    plan = vimix.Mixup().plan(batch=4, grid=vimix.Grid.of(clips.views[RGB][0].shape), rng=rng)
    z = query.embed(vimix.blend(clips.views[RGB][0], clips.views[RGB][0], plan))
    keys = trained.key.keys(clips.views[RGB][1], torch.arange(4))
    positives = torch.eye(4, 12, dtype=torch.bool)
    for i in range(4):
        siblings = [row for row in queued if row == 6 + i]
        ranked = sorted(set(queued) - set(siblings), key=lambda row, i=i: -float(embedded[i] @ second[row]))
        positives[i, [4 + row for row in siblings + ranked[:2]]] = True
    expected = vimix.mixed_multi_positive_nce(z, keys, queue, plan, positives, temperature=0.1)
    torch.testing.assert_close(outcome.loss, expected.detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(outcome.compared.positives, positives)


def test_one_pass_of_the_partner_gives_tesseract_and_neighbours() -> None:
    """With mining a CMMC step has the loss without it until the queue is full; afterwards only the targets differ."""

    class Counting(FakeNetwork):
        def hidden_and_embedding(self, clips, layer):
            passes.append(layer)
            return super().hidden_and_embedding(clips, layer)

        def embed(self, clips):
            raise AssertionError("a second pass")

    passes: list[int] = []
    policy, layers, outcomes = vimix.CrossModalCutMix(), RandomLayer(), []
    for made in (mining(NearestInPartner(k=2)), evolve(learner(momentum=1.0), queue=vimix.NegativeQueue(8, 5))):
        partner = Counting(channels=2, seed=9)
        step = cmmc_step(with_sgd(made, rate=0.0), partner, FLOW, policy, layers)
        outcomes.append([step(numbered(n, 4 * n), np.random.default_rng(n)) for n in range(3)])
    mined, plain = ([float(outcome.loss) for outcome in each] for each in outcomes)
    assert len(passes) == 3
    assert mined[:2] == plain[:2]
    assert mined[2] < plain[2]
    assert torch.equal(outcomes[0][2].compared.z, outcomes[1][2].compared.z)
    assert outcomes[0][2].compared.positives.sum() == 12


def test_a_queue_entry_of_the_same_recording_is_a_positive_although_siblings_are_masked() -> None:
    trained = evolve(mining(NearestInPartner(k=1)), candidates=WithoutSiblings())
    step = mining_step(trained, FakeNetwork(channels=2, seed=9), FLOW, vimix.NoMix())
    step(numbered(0, 0), np.random.default_rng(0))
    compared = step(numbered(1, 2), np.random.default_rng(1)).compared
    assert compared.positives[:, 4:].int().tolist() == [
        [0, 0, 1, 0] + [0] * 4,
        [0, 0, 0, 1] + [0] * 4,
        [0] * 8,
        [0] * 8,
    ]
    assert not (compared.excluded & compared.positives).any()


def test_what_was_found_is_measured() -> None:
    """By class, recording, age and similarity, against a loop over the found positives."""
    trained = mining(Labels())
    step = mining_step(trained, FakeNetwork(channels=2, seed=9), FLOW, vimix.NoMix())
    for number in range(3):
        outcome = step(numbered(number, 3 * number), np.random.default_rng(number))
    measured, seen = trained.diagnostics(outcome), outcome.compared
    # Batch 2 holds recordings 6 to 9; the queue those of batch 0 (0 to 3, two steps old) and of batch 1 (3 to 6).
    candidates = [(source, 0) for source in (6, 7, 8, 9)]
    candidates += [(source, 2) for source in (0, 1, 2, 3)] + [(source, 1) for source in (3, 4, 5, 6)]
    pairs = [(i, j) for i in range(4) for j in range(12) if i != j and (6 + i - candidates[j][0]) % 2 == 0]
    assert measured["positives"] == len(pairs) / 4
    assert measured["positives_own_class"] == 1
    assert measured["positives_own_recording"] == pytest.approx(1 / len(pairs))
    assert measured["positives_age"] == pytest.approx(np.mean([candidates[j][1] for _, j in pairs]))
    assert measured["positives_similarity"] == pytest.approx(np.mean([float(seen.cosines[pair]) for pair in pairs]))
    plain = pretrain_step(learner(), vimix.NoMix())
    assert "positives" not in learner().diagnostics(plain(batch(), np.random.default_rng(0)))


def test_a_pretraining_step_mixes_queries_only() -> None:
    """Keys that enter the queue are those of the unmixed clips."""
    trained, clips = learner(momentum=1.0), batch()
    key = copy.deepcopy(trained.key)
    pretrain_step(trained, vimix.Mixup())(clips, np.random.default_rng(0))
    expected = key.keys(clips.views[RGB][1], torch.arange(4))
    torch.testing.assert_close(trained.queue.keys, expected, rtol=1e-4, atol=1e-5)


def test_the_key_encoder_follows_before_its_keys_are_computed() -> None:
    trained, clips = learner(momentum=0.5), batch()
    for parameter in trained.query.parameters():
        parameter.data.add_(0.3)
    half = copy.deepcopy(trained.key)
    for mine, theirs in zip(half.parameters(), trained.query.parameters(), strict=True):
        mine.data.lerp_(theirs, 0.5)
    keys = trained.keys(clips.views[RGB][1], np.random.default_rng(0))
    torch.testing.assert_close(keys, half.keys(clips.views[RGB][1], torch.arange(4)), rtol=1e-4, atol=1e-5)


def test_keys_are_enqueued_after_the_loss_so_that_no_query_meets_its_own_key_twice() -> None:
    trained, clips = learner(momentum=1.0), batch()
    step = pretrain_step(trained, vimix.NoMix())
    first = step(clips, np.random.default_rng(0))
    assert float(first.loss) < np.log(4) + 2
    assert len(trained.queue) == 4
    assert trained.queue.sources.tolist() == [0, 1, 2, 3]


def test_masking_siblings_takes_the_own_video_out_of_the_queue() -> None:
    """The same videos again: without masking the query's own past key competes with its positive."""
    losses = {}
    for candidates in (BatchAndQueue(), WithoutSiblings()):
        trained = evolve(with_sgd(learner(momentum=1.0), rate=0.0), candidates=candidates)
        step = pretrain_step(trained, vimix.NoMix())
        losses[type(candidates)] = [float(step(batch(), np.random.default_rng(i)).loss) for i in range(2)]
    assert losses[BatchAndQueue][0] == losses[WithoutSiblings][0]
    assert losses[BatchAndQueue][1] > losses[WithoutSiblings][1] + 0.1


@pytest.mark.parametrize(("depth", "donor"), [(16, 16), (16, 10), (10, 16), (2, 2)])
def test_layers_are_hidden_ones_and_the_donors_is_never_earlier(depth, donor) -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        k, l = RandomLayer().draw(depth, donor, rng)  # noqa: E741
        assert 1 <= k <= depth - 1
        assert k <= l <= donor - 1
        same = SameLayer().draw(depth, depth, rng)
        assert same[0] == same[1]
        assert 1 <= same[0] <= depth - 1
    with pytest.raises(ValueError, match="equal depth, not 3 and 4"):
        SameLayer().draw(3, 4, rng)


def test_every_eligible_pair_of_layers_is_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = {RandomLayer().draw(5, 5, rng) for _ in range(2000)}
    assert drawn == {(k, l) for k in range(1, 5) for l in range(k, 5)}  # noqa: E741


def test_rates_fall_at_milestones_and_rise_while_warming_up() -> None:
    assert [step_decay(1.0, epoch, (2, 4), 0.1) for epoch in range(6)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert [warmed_up(1.0, step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warmed_up(0.3, 0, 0) == 0.3


def test_a_stage_names_the_views_it_needs() -> None:
    plain = Stage(name="a", modality=RGB, epochs=1, rate=1e-3, policy=vimix.NoMix())
    assert plain.views_needed == {RGB: 2}
    assert evolve(plain, layers=SameLayer()).views_needed == {RGB: 2}
    assert evolve(plain, layers=RandomLayer(), partner=FLOW).views_needed == {RGB: 2, FLOW: 1}

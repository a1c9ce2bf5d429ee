"""Batched pixel operations against torchvision's on each clip, and the geometry against first principles."""

import numpy as np
import pytest
import torch
from attrs import evolve
from torchvision.transforms.v2 import functional

from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips import batched, pixels
from vimix_adapters.clips.augmentation import FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.views import (
    CENTRE,
    Box,
    ClipShape,
    CropDraw,
    cut_out,
    draw_box,
    draw_start,
    frame_indices,
    view_generator,
    window_starts,
)
from vimix_adapters.config.augment_settings import AugmentSettings

TOLERANCE = 1e-5
"""Tolerance for values in [0, 1]: the sums are taken in another order."""
STILL = AugmentSettings(area_min=1.0, flip=0, jitter=0, grey=0, blur=0)


def clips(batch: int, size: int) -> torch.Tensor:
    """Noise with some grey, black, white and saturated pixels, and pixels with two equal maxima."""
    x = torch.rand(batch, 3, 3, size, size - 4, generator=torch.Generator().manual_seed(1))
    special = torch.tensor(
        [[0, 0, 0], [1, 1, 1], [0.3, 0.3, 0.3], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.5, 0, 0.5]]
    )
    x[:, :, :, 0, :8] = special.T[None, :, None]
    return x


def per_clip(operation, x: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Apply torchvision's function to each clip as a video [T, C, H, W]."""
    rows = [operation(row.transpose(0, 1), float(p)).transpose(0, 1) for row, p in zip(x, parameters, strict=True)]
    return torch.stack(rows)


FACTORS = torch.tensor([0.0, 0.6, 1.0, 1.4, 2.0])
SHIFTS = torch.tensor([-0.5, -0.1, 0.0, 0.07, 0.5])


@pytest.mark.parametrize(
    ("ours", "torchvisions", "parameters"),
    [
        (pixels.adjust_brightness_, functional.adjust_brightness, FACTORS),
        (pixels.adjust_contrast_, functional.adjust_contrast, FACTORS),
        (pixels.adjust_saturation_, functional.adjust_saturation, FACTORS),
        (pixels.adjust_hue_, functional.adjust_hue, SHIFTS),
        (
            pixels.to_grey_,
            lambda x, p: functional.rgb_to_grayscale(x, num_output_channels=3) if p else x,
            torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0]),
        ),
        *(
            (
                blur,
                lambda x, p: functional.gaussian_blur(x, [23, 23], [p, p]) if p else x,
                torch.tensor([0.0, 0.01, 0.1, 0.5, 1.0, 2.0]),
            )
            for blur in (pixels.gaussian_blur_, pixels.multiply_)
        ),
    ],
    ids=["brightness", "contrast", "saturation", "hue", "grey", "blur", "blur on an accelerator"],
)
def test_each_operation_is_torchvisions_with_a_parameter_for_each_clip(ours, torchvisions, parameters) -> None:
    """A neutral parameter changes nothing: clips without jitter can share a batch with clips that have it."""
    # The blur of the reference needs frames larger than half its kernel.
    x = clips(len(parameters), size=40 if ours in (pixels.gaussian_blur_, pixels.multiply_) else 24)
    expected = per_clip(torchvisions, x, parameters)
    ours(x, parameters)
    torch.testing.assert_close(x, expected, rtol=0, atol=TOLERANCE)


def noise(channels: int, shape=(6, 40, 52), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, channels), dtype=np.uint8)


def cut_batch(augmentation, frames, size=16, batch=12):
    views = [augmentation.view(frames, size, np.random.default_rng(i)) for i in range(batch)]
    return torch.stack([view.clip for view in views]), [view.draw for view in views]


def test_a_picture_clip_passes_flip_jitter_grey_blur_and_normalisation_in_that_order() -> None:
    settings = AugmentSettings(jitter=1, blur=1, grey=0.5)
    batch, draws = cut_batch(PictureAugmentation(settings), noise(3))
    expected = []
    for clip, draw in zip(batch, draws, strict=True):
        x = clip.permute(0, 3, 1, 2).float() / 255
        x = functional.horizontal_flip(x) if draw.flip else x
        x = functional.adjust_brightness(x, draw.brightness)
        x = functional.adjust_contrast(x, draw.contrast)
        x = functional.adjust_saturation(x, draw.saturation)
        x = functional.adjust_hue(x, draw.hue)
        x = functional.rgb_to_grayscale(x, 3) if draw.grey else x
        x = functional.gaussian_blur(x, [11, 11], [draw.blur, draw.blur])
        expected.append(functional.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).transpose(0, 1))
    assert 0 < sum(draw.flip for draw in draws) < len(draws)
    assert 0 < sum(draw.grey for draw in draws) < len(draws)
    result = PictureAugmentation(settings).apply(batch, draws)
    torch.testing.assert_close(result, torch.stack(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("augmentation", "channels"), [(PictureAugmentation(), 3), (FlowAugmentation(), 2)])
def test_a_clip_is_augmented_alike_alone_and_in_a_batch_and_however_many_frames_are_treated_at_once(
    augmentation, channels: int, monkeypatch
) -> None:
    batch, draws = cut_batch(augmentation, noise(channels))
    together = augmentation.apply(batch, draws)
    alone = torch.cat([augmentation.apply(batch[i : i + 1], draws[i : i + 1]) for i in range(len(batch))])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    for values in (1, 5000):
        monkeypatch.setattr(batched, "CPU_CHUNK", values)
        torch.testing.assert_close(together, augmentation.apply(batch, draws), rtol=0, atol=1e-4)
    monkeypatch.setattr(batched, "frames_at_a_time", batched.all_at_once)  # as on an accelerator
    torch.testing.assert_close(together, augmentation.apply(batch, draws), rtol=0, atol=1e-5)


def test_the_hue_of_every_colour_is_adjusted_as_by_torchvision() -> None:
    """A coarse grid of colours that includes corners, edges and greys of the cube."""
    steps = torch.tensor([0, 1, 2, 63, 64, 127, 128, 191, 254, 255]) / 255
    cube = torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 1, 20, 50)
    for turn in (-0.5, -1 / 3, -0.1, 0.0, 1e-3, 1 / 6, 0.5):
        turned = cube.clone()
        pixels.adjust_hue_(turned, torch.tensor([turn]))
        expected = functional.adjust_hue(cube[0].transpose(0, 1), turn).transpose(0, 1)[None]
        torch.testing.assert_close(turned, expected, rtol=0, atol=TOLERANCE)


def test_a_still_video_stays_still_under_augmentation() -> None:
    """All frames of a clip get the same change."""
    augmentation = PictureAugmentation(AugmentSettings(jitter=1, blur=1))
    batch, draws = cut_batch(augmentation, np.repeat(noise(3, (1, 40, 52)), 6, 0))
    result = PictureAugmentation().apply(batch, draws)
    torch.testing.assert_close(result, result[:, :, :1].expand_as(result), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_settings_decide_how_often_and_how_strongly() -> None:
    _, draws = cut_batch(PictureAugmentation(), noise(3, (1, 8, 8)), 8, 2000)
    flip, brightness, hue, grey, sigma = (
        np.array([getattr(draw, name) for draw in draws]) for name in ("flip", "brightness", "hue", "grey", "blur")
    )
    assert abs(flip.mean() - 0.5) < 0.04
    assert abs((brightness != 1).mean() - 0.8) < 0.04
    assert abs(grey.mean() - 0.2) < 0.04
    assert abs((sigma > 0).mean() - 0.5) < 0.04
    assert 0.6 <= brightness.min() < 0.65 < 1.35 < brightness.max() <= 1.4
    assert np.abs(hue).max() <= 0.1
    assert 1.9 * 8 / 128 < sigma.max() <= 2.0 * 8 / 128 + 1e-6, "sigma is in pixels of a clip of 128"


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"area_min": 0.0}, {"flip": 1.5}, {"hue": 0.6}, {"area_min": 0.9, "area_max": 0.5}, {"blur": -0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            AugmentSettings(**wrong)


def test_a_flip_mirrors_flow_in_space_and_negates_u_only() -> None:
    batch, _ = cut_batch(FlowAugmentation(STILL), noise(2), batch=2)
    straight, flipped = (FlowAugmentation().apply(batch, [CropDraw(Box(0, 0, 8, 32), f)] * 2) for f in (False, True))
    torch.testing.assert_close(flipped[:, 0], -straight[:, 0].flip(-1))
    torch.testing.assert_close(flipped[:, 1], straight[:, 1].flip(-1))


def test_flow_of_a_resized_video_is_the_flow_of_the_video_resized() -> None:
    """With random crops: a uniform motion of (u, v) becomes u·size/width, v·size/height of the box."""
    augmentation, bound = FlowAugmentation(AugmentSettings(flip=0.0)), 20
    uniform = np.rint((np.array([8, -6]) + bound) / (2 * bound) * 255).astype(np.uint8)
    batch, draws = cut_batch(augmentation, np.tile(uniform, (2, 40, 60, 1)), size=16)
    flow = augmentation.apply(batch, draws) * bound
    widths, heights = torch.tensor([[draw.box.width, draw.box.height] for draw in draws]).float().unbind(1)
    assert len(set(widths.tolist())) > 3
    torch.testing.assert_close(flow[:, 0, 0, 3, 3] * widths, torch.full_like(widths, 8 * 16), rtol=0.02, atol=0)
    torch.testing.assert_close(flow[:, 1, 0, 3, 3] * heights, torch.full_like(heights, -6 * 16), rtol=0.02, atol=0)


def test_evaluation_normalises_pictures_and_puts_flow_into_units_of_its_bound() -> None:
    pictures = torch.from_numpy(noise(3))[None]
    expected = functional.normalize(pictures.permute(0, 1, 4, 2, 3) / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    whole = CropDraw(Box(0, 0, 40, 52))
    torch.testing.assert_close(PictureAugmentation().plain(pictures, whole), expected.transpose(1, 2))
    mirrored = evolve(whole, flip=True)
    torch.testing.assert_close(PictureAugmentation().plain(pictures, mirrored), expected.transpose(1, 2).flip(-1))
    flow = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 2, 4, 4, 2)
    u, v = FlowAugmentation().plain(flow, CropDraw(Box(0, 0, height=16, width=8))).unbind(1)
    assert torch.all(u == -0.5)
    assert torch.all(v == 0.25)


def test_a_clip_without_augmentation_is_the_evaluation_clip() -> None:
    frames = noise(3, (4, 16, 16))
    still = PictureAugmentation(STILL)
    augmented = still.apply(*cut_batch(still, frames, batch=1))
    (view,) = still.crops(frames, 16, [CENTRE])
    torch.testing.assert_close(augmented, still.plain(view.clip[None], view.draw))


def test_boxes_lie_in_the_frame_and_keep_to_area_and_aspect() -> None:
    rng = np.random.default_rng(0)
    boxes = [draw_box(120, 160, (0.2, 1.0), rng) for _ in range(2000)]
    areas = np.array([b.height * b.width / (120 * 160) for b in boxes])
    aspects = np.array([b.width / b.height for b in boxes])
    assert all(b.top >= 0 and b.left >= 0 and b.top + b.height <= 120 and b.left + b.width <= 160 for b in boxes)
    assert 0.19 < areas.min() < 0.25
    assert areas.max() > 0.9
    assert 0.74 < aspects.min() < 0.78
    assert 1.28 < aspects.max() < 1.35
    assert len({(b.top, b.left) for b in boxes}) > 1000


def test_a_frame_too_narrow_for_any_box_gives_the_largest_centred_one() -> None:
    assert draw_box(10, 400, (0.9, 1.0), np.random.default_rng(0)) == Box(top=0, left=193, height=10, width=13)


def test_cut_out_equals_torchvisions_resized_crop() -> None:
    frames = noise(3)
    expected = functional.resized_crop(
        torch.from_numpy(frames).permute(0, 3, 1, 2), 3, 7, 30, 25, [16, 16], antialias=True
    )
    cut = cut_out(frames, Box(3, 7, 30, 25), 16)
    assert torch.equal(cut, expected.permute(0, 2, 3, 1))
    assert torch.equal(cut_out(frames, Box(3, 7, 16, 16), 16), torch.from_numpy(frames[:, 3:19, 7:23]))


def test_temporal_crops_reach_every_start_and_short_videos_begin_at_0() -> None:
    clip = ClipShape(frames=4, size=8, stride=2)
    starts = {draw_start(10, clip, np.random.default_rng(i)) for i in range(100)}
    assert starts == {0, 1, 2, 3}, "a span of 7 frames in 10"
    assert draw_start(5, clip, np.random.default_rng(0)) == 0


def test_windows_cover_the_video_and_the_last_ends_with_it() -> None:
    clip = ClipShape(frames=4, size=8)
    assert window_starts(12, clip, 4) == (0, 4, 8)
    assert window_starts(13, clip, 4) == (0, 4, 8, 9)
    assert window_starts(4, clip, 4) == (0,)
    assert window_starts(2, clip, 4) == (0,)
    assert frame_indices((0, 3), 6, clip).tolist() == [[0, 1, 2, 3], [3, 4, 5, 5]]


def test_the_generator_of_a_view_depends_on_everything_that_names_it() -> None:
    names = [
        (0, 0, 0, RGB, 0),
        (1, 0, 0, RGB, 0),
        (0, 1, 0, RGB, 0),
        (0, 0, 1, RGB, 0),
        (0, 0, 0, FLOW, 0),
        (0, 0, 0, RGB, 1),
    ]
    first, *others = (view_generator(*name).random() for name in names)
    assert len({first, *others}) == len(names)
    assert first == pytest.approx(0.061007737223750746), "stable from one process to the next"

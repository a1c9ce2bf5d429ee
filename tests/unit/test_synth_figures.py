"""Figures of the synthetic data set: kinematics, projection, drawing and random variation."""

import attrs
import numpy as np
import pytest

from vimix.values.errors import VimixError
from vimix_adapters.synth import body
from vimix_adapters.synth.actions import ACTIONS, Style
from vimix_adapters.synth.body import ArmPose, Build, LegPose, Pose, forward_kinematics
from vimix_adapters.synth.figure import render, scene
from vimix_adapters.synth.sample_plan import plan
from vimix_adapters.synth.synth_settings import SynthSettings, Variety

STILL = Variety(shake=0.0, drift=0.0, sway=0.0, posture=0.0, fidget=0.0, bystanders=0, proportions=0.0, clothing=0.0)
BONES = [
    (body.BASE, body.MIDDLE),
    (body.MIDDLE, body.CHEST),
    (body.CHEST, body.NECK),
    (body.NECK, body.HEAD),
    *[
        (a[side], b[side])
        for side in (body.LEFT, body.RIGHT)
        for a, b in [
            (body.SHOULDERS, body.ELBOWS),
            (body.ELBOWS, body.WRISTS),
            (body.WRISTS, body.HANDS),
            (body.HANDS, body.TIPS),
            (body.HIPS, body.KNEES),
            (body.KNEES, body.ANKLES),
            (body.ANKLES, body.FEET),
        ]
    ],
]


def _standing(**changes: object) -> np.ndarray:
    return forward_kinematics(Pose(**changes), Build(height=1.8), 1)[0]  # type: ignore[arg-type]


def test_a_standing_figure_is_upright_with_its_left_at_x_and_its_feet_on_the_floor() -> None:
    """The body axes are x to its left, y up, z forwards. At 1.8 m, the centre of the head is about 0.1 m lower."""
    joints = _standing()
    assert 1.6 < joints[body.HEAD, 1] < 1.8
    assert joints[body.SHOULDERS[body.LEFT], 0] > 0.1 > -0.1 > joints[body.SHOULDERS[body.RIGHT], 0]
    assert joints[list(body.FEET), 1] == pytest.approx(0.018 * 1.8)
    assert joints[list(body.FEET), 2].min() > joints[list(body.ANKLES), 2].max()


@pytest.mark.parametrize("side", [body.LEFT, body.RIGHT])
def test_raising_an_arm_goes_ahead_in_plane_0_outwards_in_plane_90_and_up_at_180(side: int) -> None:
    """A bent elbow of a hanging arm points the forearm ahead, and that of a spread arm up."""
    arm, forearm = (body.SHOULDERS, body.HANDS), (body.ELBOWS, body.WRISTS)
    for pose, (start, end), direction in [
        (ArmPose(lift=90, plane=0), arm, [0, 0, 1]),
        (ArmPose(lift=90, plane=90), arm, [body.SIGN[side], 0, 0]),
        (ArmPose(lift=180, plane=90), arm, [0, 1, 0]),
        (ArmPose(lift=0, plane=90, elbow=90), forearm, [0, 0, 1]),
        (ArmPose(lift=90, plane=90, elbow=90), forearm, [0, 1, 0]),
    ]:
        joints = _standing(arms=(pose, pose))
        reach = joints[end[side]] - joints[start[side]]
        assert reach / np.linalg.norm(reach) == pytest.approx(direction, abs=1e-9)


def test_bent_knees_lower_the_hips_and_leave_the_feet_on_the_floor() -> None:
    leg = LegPose(swing=60, knee=120)
    straight, bent = _standing(), _standing(legs=(leg, leg))
    assert bent[body.BASE, 1] < straight[body.BASE, 1] - 0.3
    assert bent[list(body.FEET), 1].min() == pytest.approx(straight[list(body.FEET), 1].min())
    assert bent[body.KNEES[0], 2] > bent[body.HIPS[0], 2] + 0.2
    assert bent[body.ANKLES[0], 2] < bent[body.KNEES[0], 2] - 0.2, "knees bend backwards"
    assert bent[body.ANKLES[0], 1] < bent[body.KNEES[0], 1] - 0.1


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_keeps_bone_lengths_repeats_after_a_cycle_and_always_moves(action) -> None:  # type: ignore[no-untyped-def]
    """Each half second moves some joint by several centimetres, so that each sub-clip shows the action."""
    phase = np.linspace(0, 4 * np.pi, 2 * 60 + 1)
    joints = forward_kinematics(action.pose(phase, Style()), Build(), len(phase))
    for first, second in BONES:
        lengths = np.linalg.norm(joints[:, first] - joints[:, second], axis=-1)
        assert np.ptp(lengths) < 1e-9 < lengths.min()
    np.testing.assert_allclose(joints[:60], joints[60:120], atol=1e-9)
    half_second = round(0.5 * action.rate * 60)
    travel = [np.ptp(joints[at : at + half_second + 1], axis=0).max() for at in range(60)]
    assert min(travel) > 0.05
    assert np.abs(np.diff(joints, axis=0)).max() < 0.2, "no leaps"


def test_there_are_at_least_twelve_actions_with_names_fit_for_folders() -> None:
    names = [action.name for action in ACTIONS]
    assert len(set(names)) == len(names) >= 12
    assert all(name.replace("_", "").isalpha() for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, 30, 3))
def test_projected_joints_lie_on_the_figure_inside_the_picture(number: int) -> None:
    """At the position of a visible joint, nearly every frame differs from its background."""
    settings = SynthSettings(videos_per_class=3, performers=3, seed=5)
    sample = plan(settings)[number]
    made, seen = scene(settings, sample), render(settings, sample)
    inside = (seen.pixels >= 2) & (seen.pixels <= np.array([settings.width, settings.height]) - 3)
    assert inside.all()
    hits = []
    for time in range(0, len(seen.frames), 15):
        column, row = np.rint(seen.pixels[time]).astype(int).T
        difference = np.abs(seen.frames[time].astype(int) - made.background(time)).max(axis=-1)
        hits.append(difference[row, column] > 8)
        assert 0.02 < (difference > 8).mean() < 0.4, "the figure is neither a speck nor the whole picture"
    assert np.mean(hits) > 0.97


def test_pixels_are_the_pinhole_projection_of_the_joints() -> None:
    """With a still camera, column and row are affine in x/z and y/z with the same focal length."""
    settings = attrs.evolve(SynthSettings(), variety=STILL)
    made = render(settings, plan(settings)[0])
    x, y, z = np.moveaxis(made.joints.astype(np.float64), -1, 0)
    (focal_x, middle_x), (focal_y, middle_y) = (
        np.polyfit((a / z).ravel(), made.pixels[..., axis].ravel(), 1) for axis, a in ((0, x), (1, -y))
    )
    assert focal_x == pytest.approx(focal_y, rel=1e-4)
    assert (middle_x, middle_y) == pytest.approx(((settings.width - 1) / 2, (settings.height - 1) / 2), abs=1e-2)
    assert z.min() > 1.5, "in front of the camera, in metres"


def test_figures_are_about_half_to_nine_tenths_of_the_pictures_height_and_places_differ() -> None:
    settings = SynthSettings(classes=1, videos_per_class=20)
    views = [scene(settings, sample).view for sample in plan(settings)]
    tall = np.array([np.ptp(view.pixels[..., 1], axis=1).max() for view in views]) / settings.height
    assert 0.45 < tall.min() < tall.max() < 0.95
    assert np.ptp(tall) > 0.05
    places = np.array([view.pixels[:, body.BASE].mean(axis=0) for view in views])
    assert np.ptp(places[:, 0]) > 0.2 * settings.width


def test_variety_of_nothing_gives_the_same_background_position_for_a_still_camera() -> None:
    settings = attrs.evolve(SynthSettings(), variety=STILL)
    made = scene(settings, plan(settings)[0])
    np.testing.assert_array_equal(made.background(0), made.background(7))
    shaken = scene(SynthSettings(), plan(SynthSettings())[0])
    assert (shaken.background(0) != shaken.background(7)).any()


@pytest.mark.slow
def test_a_single_frames_colours_do_not_give_the_class_away() -> None:
    """Leave-one-out nearest centroid on the mean colour of the frame, or of the figure: accuracy near 1 in 10."""
    settings = SynthSettings(videos_per_class=12, performers=6, seconds=(0.04, 0.04))
    samples = plan(settings)
    whole, figure = [], []
    for sample in samples:
        made = scene(settings, sample)
        frame, background = made.frames()[0].astype(float), made.background(0)
        whole.append(frame.mean(axis=(0, 1)))
        figure.append(frame[np.abs(frame - background).max(axis=-1) > 8].mean(axis=0))
    labels = np.array([sample.action for sample in samples])
    assert _nearest_centroid(np.array(whole), labels) < 0.22
    assert _nearest_centroid(np.array(figure), labels) < 0.22


def _nearest_centroid(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the leave-one-out accuracy."""
    right = 0
    for index, (feature, label) in enumerate(zip(features, labels, strict=True)):
        others = np.arange(len(labels)) != index
        centroids = [features[others & (labels == c)].mean(axis=0) for c in np.unique(labels)]
        right += int(np.linalg.norm(centroids - feature, axis=1).argmin() == label)
    return right / len(labels)


def test_a_performer_keeps_their_body_from_video_to_video() -> None:
    settings = SynthSettings(videos_per_class=4, performers=2, variety=attrs.evolve(Variety(), clothing=0.0))
    first, second, third, _ = plan(settings)[:4]
    assert scene(settings, first).person == scene(settings, third).person
    assert scene(settings, first).person != scene(settings, second).person


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"classes": 0}, "classes"),
        ({"classes": len(ACTIONS) + 1}, "classes"),
        ({"videos_per_class": 1}, "videos_per_class"),
        ({"performers": 1}, "performers"),
        ({"seed": -1}, "seed"),
        ({"width": 97}, "width"),
        ({"height": 16}, "height"),
        ({"rate": 0}, "rate"),
        ({"seconds": (3.0, 2.0)}, "seconds"),
        ({"seconds": (0.0, 2.0)}, "seconds"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, object], named: str) -> None:
    with pytest.raises(VimixError, match=f"^{named}: expected"):
        SynthSettings(**changes)  # type: ignore[arg-type]


def test_videos_of_a_room_share_their_background_and_there_are_no_more_backgrounds_than_rooms() -> None:
    settings = SynthSettings(classes=4, videos_per_class=6, variety=Variety(rooms=2))
    corners = {scene(settings, sample).backdrop.still[:20].tobytes() for sample in plan(settings)}
    assert len(corners) == 2

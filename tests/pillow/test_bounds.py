"""Edits, resizing, pipelines and their Theano expressions where a rounding, a clip or a shape is about to change."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

import theano_cpu  # noqa: F401

import theano
import theano.tensor as T

from nsfw_experiments.pillow import resize as resizing_module
from nsfw_experiments.pillow.edits import (
    CodecRoundTrip,
    Crop,
    GaussianBlur,
    LongestSide,
    Rescaling,
    Rotation,
    Tone,
    UnsharpMask,
    blur_matrix,
    rotation_matrix,
)
from nsfw_experiments.pillow.jpeg import SUBSAMPLINGS, Jpeg, edge_nearness, quantised
from nsfw_experiments.pillow.preprocessing import (
    HorizontalFlip,
    JpegRoundTrip,
    Pipeline,
    Resizing,
    network_input_vjp,
    preprocessing,
    resizing,
)
from nsfw_experiments.pillow.resize import BilinearResize, filter_matrix
from nsfw_experiments.pillow.theano_ops import JpegOp, ResizeOp, jpeg, resize
from open_nsfw import prepare

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Edits


def test_a_crop_takes_from_each_side_its_own_share_of_that_side():
    pixels = noise(40, 100, 3)
    cropped, residuals = Crop(top=0.05, bottom=0.1, left=0.03, right=0.07).forward(pixels)
    np.testing.assert_array_equal(cropped, pixels[2:36, 3:93])
    gradient = normal(*cropped.shape)
    pulled = Crop(0.05, 0.1, 0.03, 0.07).vjp(gradient, residuals, 0.0)
    np.testing.assert_array_equal(pulled[2:36, 3:93], gradient)
    assert pulled.shape == pixels.shape and np.count_nonzero(pulled) == np.count_nonzero(gradient)
    assert cropped.flags.c_contiguous
    np.testing.assert_array_equal(Crop().forward(pixels)[0], pixels)
    np.testing.assert_array_equal(Crop(bottom=0.0126).forward(pixels)[0], pixels[:39])  # half a pixel and more
    np.testing.assert_array_equal(Crop(bottom=0.0124).forward(pixels)[0], pixels)


@pytest.mark.parametrize("gain, gamma", [(1.1, 1.0), (0.9, 1.0), (1.0, 0.5), (1.0, 1.3), (1.2, 0.8)])
def test_a_tone_is_a_table_rounded_and_clipped(gain, gamma):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    changed, slopes = Tone(gain, gamma).forward(levels)
    for level in range(256):
        exact = 255 * gain * (level / 255) ** gamma
        assert abs(int(changed.ravel()[level]) - min(exact, 255)) <= 0.5 + 1e-9
        slope = gain * gamma * (max(level, 1) / 255) ** (gamma - 1) if exact <= 255 * (1 + 1e-12) else 0
        assert slopes.ravel()[level] == pytest.approx(slope, rel=1e-5)
    assert slopes.dtype == np.float32


def test_edits_without_an_effect_say_so():
    assert [
        str(each) for each in (Tone(), Tone(gamma=1.5), Tone(1.5), Rescaling(2), Rotation(-1.25), Crop(left=0.5))
    ] == [
        "no tone",
        "gamma 1.5",
        "brightness +50 %",
        "x2",
        "rotated -1.25°",
        "crop left 50 %",
    ]
    assert str(UnsharpMask(1.5, 80)) == "unsharp mask 1.5, 80 %" and str(CodecRoundTrip("JPEG", 5)) == "JPEG 5"


@pytest.mark.parametrize("degrees", [90, 270, -90, 360, 7])
@pytest.mark.parametrize("size", [(9, 9), (8, 8), (7, 10)])
def test_a_rotation_gives_each_row_of_its_matrix_to_a_pixel(size, degrees):
    pixels = noise(*size, 3)
    matrix = rotation_matrix(size, degrees)
    values = (matrix @ pixels.reshape(-1, 3).astype(np.float64)).reshape(pixels.shape)
    pillows = np.asarray(Image.fromarray(pixels).rotate(degrees, BILINEAR))
    if degrees == 7 or size[0] == size[1] or degrees == 360:
        assert np.abs(np.floor(values + 1e-4) - pillows).max() <= 1
    sums = np.asarray(matrix.sum(1)).ravel()
    assert set(np.round(sums, 5)) <= {0.0, 1.0} and matrix.dtype == np.float32
    assert (matrix.data > 0).all() and matrix.shape == (size[0] * size[1],) * 2


@pytest.mark.parametrize("radius, reached", [(0.3, 3), (1, 3), (2, 6), (2.5, 9)])
def test_a_blur_s_matrix_keeps_greys_and_reaches_as_far_as_three_boxes(radius, reached):
    matrix = blur_matrix(31, radius).toarray()
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    distances = np.arange(31) - 15
    assert (matrix[15] * distances**2).sum() == pytest.approx(radius**2, rel=0.05)
    assert np.abs(distances[matrix[15] > 0]).max() == reached
    np.testing.assert_allclose(matrix[15], matrix[15][::-1], atol=1e-7)


def test_an_unsharp_mask_leaves_differences_up_to_its_threshold_alone():
    pixels = np.full((1, 9, 3), 100, np.uint8)
    pixels[0, 4] = 110
    blurred, _ = GaussianBlur(2).forward(pixels)
    difference = pixels.astype(int) - blurred
    for threshold in range(int(difference.max()) + 1):
        mask = UnsharpMask(2, 150, threshold)
        sharpened, (sharp, clipped) = mask.forward(pixels)
        np.testing.assert_array_equal(sharp, np.abs(difference) > threshold)
        np.testing.assert_array_equal(sharpened != pixels, sharp)
        assert not clipped.any()
        expected = Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(2, 150, threshold))
        np.testing.assert_array_equal(sharpened, np.asarray(expected))


def test_an_unsharp_mask_passes_nothing_on_where_it_clips():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    mask = UnsharpMask(1, 100, 3)
    _, (sharp, clipped) = mask.forward(pixels)
    assert clipped[:, 3:5].all() and (clipped == sharp).all()
    gradient = np.where(clipped, np.float32(7), np.float32(0))
    assert not mask.vjp(gradient, (sharp, clipped), 0.0).any()


@pytest.mark.parametrize("inverted", [False, True])
def test_what_an_unsharp_mask_just_brings_to_an_end_is_not_clipped(inverted):
    pixels = noise(40, 40, 3) // 12
    pixels = 255 - pixels if inverted else pixels
    _, (sharp, clipped) = UnsharpMask(1, 100, 0).forward(pixels)
    exact = 2 * pixels.astype(int) - GaussianBlur(1).forward(pixels)[0]
    np.testing.assert_array_equal(clipped, (exact < 0) | (exact > 255))
    assert (sharp & (exact == (255 if inverted else 0))).any()


@pytest.mark.parametrize(
    "edit, shape, changed",
    [
        (Rescaling(0.01), (30, 20), (1, 1)),
        (Rescaling(0.5), (7, 9), (4, 4)),  # halves to even
        (Rescaling(1.0), (7, 9), (7, 9)),
        (LongestSide(20), (40, 30), (20, 15)),
        (LongestSide(20), (30, 40), (15, 20)),
        (LongestSide(40), (40, 30), (40, 30)),
        (LongestSide(41), (40, 30), (40, 30)),
        (LongestSide(80, enlarged=True), (40, 30), (80, 60)),
    ],
)
def test_sizes_are_rounded_and_at_least_one(edit, shape, changed):
    pixels = noise(*shape, 3)
    result, residuals = edit.forward(pixels)
    assert result.shape == (*changed, 3) and (residuals is None) == (shape == changed)
    pulled = edit.vjp(normal(*result.shape), residuals, 0.0)
    assert pulled.shape == pixels.shape
    if shape == changed:
        np.testing.assert_array_equal(pulled, normal(*result.shape))


# Resizing


@pytest.mark.parametrize(
    "source, target", [((37, 53), (53, 37)), ((1, 1), (3, 2)), ((99, 7), (11, 7)), ((5, 90), (5, 31))]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_odd_sizes_are_resized_as_pillow_does(source, target, channels):
    pixels = noise(*source, channels)
    resized = BilinearResize(source, target)(pixels)
    assert resized.shape == (*target, channels) and resized.dtype == np.uint8
    for channel in range(channels):
        pillows = Image.fromarray(np.ascontiguousarray(pixels[..., channel])).resize(target[::-1], BILINEAR)
        np.testing.assert_array_equal(resized[..., channel], np.asarray(pillows))


@pytest.mark.parametrize("source, target", [(4, 2), (2, 5), (7, 7), (9, 2), (1, 3)])
def test_a_filter_s_rows_are_triangles_that_sum_up_to_one(source, target):
    matrix = filter_matrix(source, target)
    assert matrix.shape == (target, source) and matrix.dtype == np.int32
    scale = source / target
    for row, weights in enumerate(matrix.toarray() / 2**22):
        centre, support = (row + 0.5) * scale, max(scale, 1)
        triangle = [max(1 - abs(column + 0.5 - centre) / support, 0) for column in range(source)]
        np.testing.assert_allclose(weights, np.array(triangle) / sum(triangle), atol=2**-22)


@pytest.mark.parametrize("chooses", [False, True])
@pytest.mark.parametrize(
    "source, target, tall",
    [
        ((60, 40), (20, 30), True),  # 40 rows less, 10 columns less
        ((60, 40), (20, 20), False),  # 40 and 20: not more than twice as many
        ((60, 40), (20, 21), True),
        ((60, 40), (60, 20), False),
        ((20, 40), (60, 80), False),
        ((60, 40), (59, 80), True),
    ],
)
def test_where_pillow_chooses_the_order_the_height_comes_first_if_much_more_of_it_goes(
    source, target, tall, chooses, monkeypatch
):
    monkeypatch.setattr(resizing_module, "CHOOSES_THE_ORDER", chooses)
    resize = BilinearResize(source, target)
    assert bool(resize.height_first) == (tall and chooses)
    pixels = noise(*source, 3)
    between = (target[0], source[1]) if tall and chooses else (source[0], target[1])
    steps = np.asarray(Image.fromarray(pixels).resize(between[::-1], BILINEAR).resize(target[::-1], BILINEAR))
    np.testing.assert_array_equal(resize(pixels), steps)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_doubles_stay_doubles_when_resized(dtype):
    resize = BilinearResize((6, 5), (3, 7))
    assert resize.linear(np.ones((6, 5, 2), dtype)).dtype == dtype
    assert resize.adjoint(np.ones((3, 7, 2), dtype)).dtype == dtype
    np.testing.assert_allclose(resize.linear(np.ones((6, 5, 2), dtype)), 1, atol=1e-6)


# JPEG


@pytest.mark.parametrize("subsampling", sorted(SUBSAMPLINGS))
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (8, 5), (9, 17), (15, 33), (2, 31)])
def test_odd_sizes_are_coded_as_pillow_does_and_keep_their_type_backwards(subsampling, size):
    pixels, coder = noise(*size, 3), Jpeg(77, subsampling)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=77, subsampling=subsampling)
    np.testing.assert_array_equal(coder(pixels), np.asarray(Image.open(file)))
    for dtype in (np.float32, np.float64):
        gradient = normal(*size, 3).astype(dtype)
        for exponent in (0.0, 2.0):
            pulled = coder.vjp(gradient, coder.unrounded_coefficients(pixels), exponent)
            assert pulled.dtype == dtype and pulled.shape == pixels.shape and pulled.flags.c_contiguous
    assert coder.vjp(np.ones((*size, 3), np.uint8)).dtype == np.float32


def test_a_quantiser_s_halves_go_away_from_zero_and_edges_are_half_way():
    values = np.array([-2.5, -1.5, -0.5, -0.49, 0.0, 0.49, 0.5, 1.5, 2.5])
    assert quantised(values).tolist() == [-3, -2, -1, 0, 0, 0, 1, 2, 3]
    np.testing.assert_allclose(edge_nearness(values), [1, 1, 1, 0.98, 0, 0.98, 1, 1, 1])


@pytest.mark.parametrize("exponent", [0.5, 1.0, 4.0])
def test_a_straight_through_exponent_weighs_each_coefficient_by_its_nearness_to_an_edge(exponent):
    pixels, coder = noise(24, 40, 3), Jpeg(60)
    gradient, coefficients = normal(24, 40, 3).astype(float), Jpeg(60).unrounded_coefficients(pixels)
    parts = coder.decoding_vjp(gradient)
    weighted = [part * (2 * abs(each - np.rint(each))) ** exponent for part, each in zip(parts, coefficients)]
    expected = coder.encoding_vjp(tuple(weighted), (24, 40))
    np.testing.assert_allclose(coder.vjp(gradient, coefficients, exponent), expected, rtol=1e-9, atol=1e-12)


# Pipelines


@pytest.mark.parametrize("cropped", [(224, 224), (227, 224), (100, 201), (256, 256)])
def test_a_pipeline_ends_as_the_scorer_s_preprocessing_and_its_gradient_begins_there(cropped):
    pixels = noise(60, 90, 3)
    x, _ = preprocessing((60, 90), cropped).forward(pixels)
    np.testing.assert_array_equal(x, prepare(pixels, cropped))
    gradient = normal(3, cropped[1], cropped[0])
    whole = network_input_vjp(gradient)
    assert whole.shape == (256, 256, 3) and whole.dtype == np.float32
    top, left = (256 - cropped[1]) // 2, (256 - cropped[0]) // 2
    inside = whole[top : top + cropped[1], left : left + cropped[0]]
    for colour in range(3):
        np.testing.assert_array_equal(inside[..., colour], gradient[2 - colour])
    assert np.count_nonzero(whole) == np.count_nonzero(gradient)


def test_steps_are_taken_in_their_order_and_back_in_the_other():
    steps = [HorizontalFlip(), Resizing((30, 40), (256, 256)), JpegRoundTrip(Jpeg(90, "4:4:4"))]
    pixels, gradient = noise(30, 40, 3), normal(3, 224, 224)
    pipeline = Pipeline(steps)
    x, residuals = pipeline.forward(pixels)
    coded = Jpeg(90, "4:4:4")(BilinearResize((30, 40), (256, 256))(np.ascontiguousarray(pixels[:, ::-1])))
    np.testing.assert_array_equal(x[0], coded[16:240, 16:240, 2] - np.float32(104))
    assert [residual is None for residual in residuals] == [True, True, False]
    pulled = network_input_vjp(gradient)
    for step, residual in ((steps[2], residuals[2]), (steps[1], None), (steps[0], None)):
        pulled = step.vjp(pulled, residual, 3.0)
    np.testing.assert_array_equal(pipeline.vjp(gradient, residuals, 3.0), pulled)
    assert pulled.shape == (30, 40, 3)


def test_what_has_its_size_is_not_resized():
    assert resizing((5, 6), [5, 6]) == [] and len(resizing((5, 6), (6, 5))) == 1
    assert len(preprocessing((256, 256)).steps) == 1 and len(preprocessing((256, 255)).steps) == 2
    assert preprocessing((1, 1)).cropped == (224, 224) and preprocessing((1, 1), (7, 8)).cropped == (7, 8)
    assert str(JpegRoundTrip(Jpeg(60, "4:2:2"))) == "JPEG 60 4:2:2"


# Theano


@pytest.mark.parametrize("exponent", [0.0, 2.0])
def test_each_picture_of_a_batch_has_its_own_gradient(exponent):
    pictures, weights = noise(3, 17, 20, 3).astype("float32"), normal(3, 17, 20, 3)
    variable = T.tensor4()
    coded = jpeg(variable, 60, "4:2:2", straight_through_exponent=exponent)
    gradients = theano.function([variable], T.grad((coded * weights).sum(), variable))(pictures)
    coder = Jpeg(60, "4:2:2")
    for picture, weight, gradient in zip(pictures.astype(np.uint8), weights, gradients):
        expected = coder.vjp(weight, coder.unrounded_coefficients(picture), exponent)
        np.testing.assert_array_equal(gradient, expected)
    smaller = resize(variable, (17, 20), (9, 30))
    weights = normal(3, 9, 30, 3)
    gradients = theano.function([variable], T.grad((smaller * weights).sum(), variable))(pictures)
    for weight, gradient in zip(weights, gradients):
        np.testing.assert_array_equal(gradient, BilinearResize((17, 20), (9, 30)).adjoint(weight))


def test_shapes_of_gradients_are_known_without_computing():
    variable = T.tensor4()
    for expression in (jpeg(variable), resize(variable, (9, 9), (16, 24))):
        shape = theano.function([variable], T.grad(expression.sum(), variable).shape)
        names = {type(node.op).__name__ for node in shape.maker.fgraph.apply_nodes}
        assert not names & {"JpegOp", "JpegGradient", "ResizeOp", "ResizeGradient"}
        assert shape(np.zeros((2, 9, 9, 3), "float32")).tolist() == [2, 9, 9, 3]


def test_expressions_are_of_float32_whatever_float_they_are_of():
    doubles = T.tensor4(dtype="float64")
    for expression in (jpeg(doubles), resize(doubles, (8, 8), (4, 4))):
        assert expression.dtype == "float32" and expression.ndim == 4
        assert expression.eval({doubles: np.full((1, 8, 8, 3), 99.5)}).max() == 100


def test_operations_of_one_setting_are_equal():
    assert JpegOp(Jpeg(60), 1) == JpegOp(Jpeg(60), 1.0) and hash(JpegOp(Jpeg(60), 1)) == hash(JpegOp(Jpeg(60), 1.0))
    assert JpegOp(Jpeg(60), 1) != JpegOp(Jpeg(61), 1) and JpegOp(Jpeg(60), 1) != JpegOp(Jpeg(60), 2)
    operation = ResizeOp((8, 9), (4, 5))
    assert (operation.source, operation.target) == ((8, 9), (4, 5))

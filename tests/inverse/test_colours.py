"""What files say of their colours: which profile is made of it, number by number, and where nothing is said."""

import struct

import coloured_pictures as made
import numpy as np
import pytest
from PIL import Image

from nsfw_experiments.inverse import colours
from nsfw_experiments.inverse.appearance import Appearance, _orientation
from nsfw_experiments.inverse.colours import ColoursError, colour_profile

D65, C = (0.3127, 0.329), (0.31, 0.316)
D50 = (0.9642, 1.0, 0.8249)
#: Chromaticities of white, red, green and blue, of ITU-T H.273's table 2.
H273 = {
    1: (D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)),
    4: (C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.6), (0.15, 0.06)),
    6: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
SRGB_CURVE = (3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
RGB = Image.new("RGB", (1, 1))


def tags(profile):
    """A profile's tags by their names; its header's and its directory's numbers are checked."""
    assert len(profile) == int.from_bytes(profile[:4], "big") and profile[36:40] == b"acsp"
    assert (profile[8:12], profile[12:24]) == (b"\4\x30\0\0", b"mntrRGB XYZ ")
    np.testing.assert_allclose(numbers(profile[68:80]), D50, atol=1e-5)
    found, ends = {}, []
    for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        name, start, length = struct.unpack_from(">4sII", profile, at)
        assert start % 4 == 0 and start + length <= len(profile)
        found[name], _ = profile[start : start + length], ends.append(start + length)
    assert len(profile) - max(ends) < 4
    return found


def numbers(data):
    return np.array(struct.unpack(f">{len(data) // 4}i", data)) / 65536


def curve(profile):
    """Kind and numbers of the curve of all three colours."""
    red, green, blue = (tags(profile)[name] for name in (b"rTRC", b"gTRC", b"bTRC"))
    assert red == green == blue and red[:8] == b"para" + bytes(4) and red[10:12] == bytes(2)
    return (int.from_bytes(red[8:10], "big"), *numbers(red[12:]).tolist())


def chromaticities(profile, white):
    """Of red, green and blue, after the adaptation of their white to D50 is undone; and what they sum up to."""
    found = tags(profile)
    columns = np.array([numbers(found[name][8:]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]).T
    assert all(found[name][:8] == b"XYZ " + bytes(4) for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt"))
    np.testing.assert_allclose(numbers(found[b"wtpt"][8:]), D50, atol=1e-4)
    x, y = white
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    ratio = (cones @ np.array([x, y, 1 - x - y]) / y) / (cones @ np.array(D50))
    light = np.linalg.inv(cones) @ (ratio[:, None] * (cones @ columns))
    return (light[:2] / light.sum(0)).T, columns.sum(1)


@pytest.mark.parametrize("primaries", H273)
def test_code_points_become_the_colours_that_they_stand_for(primaries):
    white, *rgb = H273[primaries]
    profile = Appearance.of(made.png_with(made.code_points(primaries, 8))).icc_profile
    found, light = chromaticities(profile, white)
    np.testing.assert_allclose(found, rgb, atol=2e-4)
    np.testing.assert_allclose(light, D50, atol=1e-4)


@pytest.mark.parametrize(
    "transfer, expected",
    [
        (1, (0, 2.4)),
        (4, (0, 2.2)),
        (5, (0, 2.8)),
        (6, (0, 2.4)),
        (8, (0, 1.0)),
        (13, SRGB_CURVE),
        (14, (0, 2.4)),
        (15, (0, 2.4)),
    ],
)
def test_transfers_become_curves_and_that_of_video_in_a_film_s_still_is_srgb_s(transfer, expected):
    assert curve(Appearance.of(made.png_with(made.code_points(12, transfer))).icc_profile) == pytest.approx(
        expected, abs=1e-5
    )
    still = colours._profile_of_code_points(12, transfer, video=colours._SRGB)
    assert curve(still) == pytest.approx(SRGB_CURVE if transfer in (1, 6, 14, 15) else expected, abs=1e-5)


@pytest.mark.parametrize("primaries, transfer", [(1, 13), (1, 2), (2, 13), (0, 0), (3, 3)])
def test_srgb_and_what_is_not_specified_need_no_profile(primaries, transfer):
    assert colours._profile_of_code_points(primaries, transfer, video=colours._power(2.4)) is None


@pytest.mark.parametrize("primaries, transfer", [(8, 13), (10, 13), (22, 13), (12, 7), (12, 16), (12, 18)])
def test_other_code_points_are_refused(primaries, transfer):
    with pytest.raises(ColoursError, match=f"H.273's primaries {primaries} and transfer {transfer}, of which"):
        colours._profile_of_code_points(primaries, transfer, video=colours._power(2.4))


@pytest.mark.parametrize(
    "primaries, transfer, matrix, full, known",
    [
        (12, 8, 0, 1, True),
        (12, 8, 1, 1, False),
        (12, 8, 0, 0, False),
        (2, 8, 0, 1, False),
        (12, 2, 0, 1, False),
        (0, 8, 0, 1, False),
        (12, 3, 0, 1, False),
    ],
)
def test_a_png_s_code_points_count_if_all_is_specified_of_rgb_of_full_range(primaries, transfer, matrix, full, known):
    data = made.png_with(made.code_points(primaries, transfer, matrix, full))
    assert colours._code_points_of_png(data) == ((primaries, transfer) if known else None)


def test_a_png_s_code_points_count_before_the_pixels_only_and_four_bytes_long():
    late = made.png_with(late=[made.code_points(12, 8)])
    long = made.png_with(made.chunk(b"cICP", bytes([12, 8, 0, 1, 0])))
    assert colours._code_points_of_png(late) is None is colours._code_points_of_png(long)
    assert colours._code_points_of_png(made.png_with(made.chunk(b"cICP", bytes(3)), made.code_points(12, 8))) == (12, 8)


# gAMA and cHRM


def test_a_gamma_near_srgb_s_is_taken_for_it_unless_primaries_are_known_too():
    for gamma, other in ((0.4317, True), (0.4320, False), (0.4545, False), (0.4770, False), (0.4774, True)):
        profile = colour_profile(RGB, {"gamma": gamma})
        assert (profile is not None) == other, gamma
        if other:
            assert curve(profile) == pytest.approx((0, 1 / gamma), abs=1e-4)
            np.testing.assert_allclose(chromaticities(profile, D65)[0], H273[1][1:], atol=2e-4)
    wide = (0.3127, 0.329, 0.735, 0.265, 0.115, 0.826, 0.157, 0.018)
    profile = colour_profile(RGB, {"gamma": 0.4545, "chromaticity": wide})
    found, light = chromaticities(profile, wide[:2])
    np.testing.assert_allclose(found.ravel(), wide[2:], atol=2e-4)
    assert curve(profile) == pytest.approx((0, 1 / 0.4545), abs=1e-4)
    assert colour_profile(RGB, {"gamma": 1.0, "chromaticity": wide[:6]}) == colour_profile(RGB, {"gamma": 1.0})


@pytest.mark.parametrize(
    "info", [{}, {"gamma": 0}, {"gamma": -1.0}, {"chromaticity": (0.3,) * 8}, {"srgb": 0, "gamma": 1}]
)
def test_without_a_gamma_or_with_a_word_of_srgb_nothing_is_said(info):
    assert colour_profile(RGB, info) is None


def test_exponents_end_at_a_thousand():
    assert curve(colour_profile(RGB, {"gamma": 1 / 1000}))[1] == pytest.approx(1000, rel=1e-4)
    with pytest.raises(ColoursError, match="its gAMA is 0.00099, expected at least 0.001"):
        colour_profile(RGB, {"gamma": 0.00099})


# Profiles


@pytest.mark.parametrize(
    "mode, profile, kept",
    [
        ("RGB", made.SRGB, True),
        ("RGBA", made.SRGB, True),
        ("L", made.SRGB, True),
        ("CMYK", made.SRGB, False),
        ("RGB", made.grey_profile(1), False),
        ("P", made.grey_profile(1), False),
        ("RGB", made.cmyk_profile(), False),
        ("RGB", "text", False),
        ("CMYK", made.grey_profile(1), False),
    ],
)
def test_a_profile_is_kept_where_it_is_of_the_pixels_colours(mode, profile, kept):
    assert colour_profile(Image.new(mode, (1, 1)), {"icc_profile": profile}) == (profile if kept else None)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I", "I;16", "I;16B"])
def test_the_profile_of_grey_gives_its_curve_to_all_colours(mode):
    profile = colour_profile(Image.new(mode, (1, 1)), {"icc_profile": made.grey_profile(1.5)})
    found = tags(profile)
    assert found[b"rTRC"] == found[b"bTRC"] == b"curv" + bytes(4) + struct.pack(">IH", 1, 384) + bytes(2)
    np.testing.assert_allclose(chromaticities(profile, D65)[0], H273[1][1:], atol=2e-4)


def test_the_profile_of_grey_without_a_curve_or_cut_short_says_nothing():
    grey, whole = Image.new("L", (1, 1)), made.grey_profile(1.5)
    count = int.from_bytes(whole[128:132], "big")
    without_the_last = whole[:128] + struct.pack(">I", count - 1) + whole[132:]
    assert whole.index(b"kTRC") == 132 + 12 * (count - 1)
    for profile in (whole.replace(b"kTRC", b"xTRC"), whole[:140], without_the_last, made.grey_profile(1.5, b"Lab ")):
        assert colour_profile(grey, {"icc_profile": profile}) is None


def test_a_bmp_of_the_fifth_version_has_its_profile_behind_the_pixels():
    data = made.bmp_with(b"a profile of 25 bytes, or")
    assert colours._embedded_in_bmp(data) == b"a profile of 25 bytes, or"
    assert colours._embedded_in_bmp(data[:138]) == b""
    assert colours._embedded_in_bmp(data[:137]) is None
    assert colours._embedded_in_bmp(data.replace(b"DEBM", b"LINK")) is None
    assert colours._embedded_in_bmp(data[:14] + struct.pack("<I", 108) + data[18:]) is None


# AVIF and HEIC


def box(kind, *parts, form="short"):
    body = b"".join(parts)
    if form == "long":
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body) if form == "short" else 0, kind) + body


def heif(associations, item=7, versions=(0, 0), flags=0, form="short", chosen=None):
    """A file whose properties are: an ispe, a colr with a profile, one of code points (12, 8), another of (9, 16)."""
    properties = box(
        b"ipco",
        box(b"ispe", bytes(12)),
        box(b"colr", b"prof", b"a profile"),
        box(b"colr", b"nclx", struct.pack(">HHHB", 12, 8, 0, 128), form=form),
        box(b"colr", b"nclx", struct.pack(">HHHB", 9, 16, 0, 128)),
    )
    ipma = struct.pack(">B2xBI", versions[1], flags, len(associations))
    for number, indices in associations:
        ipma += struct.pack(">IB" if versions[1] else ">HB", number, len(indices))
        ipma += struct.pack(f">{len(indices)}{'H' if flags else 'B'}", *indices)
    pitm = struct.pack(">B3x" + ("I" if versions[0] else "H"), versions[0], item)
    meta = bytes(4) + box(b"pitm", pitm) + box(b"iprp", properties, box(b"ipma", ipma))
    return box(b"ftyp", b"avif") + box(b"meta", meta, form=form) + (box(b"mdat", b"pixels") if form != "rest" else b"")


@pytest.mark.parametrize(
    "data, points",
    [
        (heif([(7, [1, 2, 3])]), (12, 8)),
        (heif([(7, [1, 0x80 | 4, 3])]), (9, 16)),  # the first counts; the high bit only says that it is essential
        (heif([(1, [4]), (7, [3])]), (12, 8)),  # of another item
        (heif([(1, [4]), (7, [3])], versions=(1, 0)), (12, 8)),
        (heif([(1, [4]), (7, [3])], versions=(0, 1)), (12, 8)),
        (heif([(1, [4, 1]), (7, [0x8000 | 3])], flags=1), (12, 8)),
        (heif([(1, [4, 1]), (7, [3])], versions=(1, 1), flags=1), (12, 8)),
        (heif([(7, [3])], form="long"), (12, 8)),
        (heif([(7, [1, 4])], form="rest"), None),  # a box to the end swallows what follows
        (heif([(7, [1, 2])]), None),
        (heif([(7, [0, 5, 9])]), None),  # no such properties
        (heif([(7, [])]), None),
        (heif([(6, [3])]), None),
        (heif([]), None),
        (b"", None),
        (heif([(7, [3])]).replace(b"pitm", b"xitm"), None),
        (heif([(7, [3])]).replace(b"ipma", b"xpma"), None),
        (heif([(7, [3])]).replace(b"meta", b"xeta"), None),
        (heif([(7, [3])]).replace(b"iprp", b"xprp"), None),
    ],
)
def test_code_points_in_boxes_are_those_of_the_primary_item(data, points):
    assert colours._code_points_of_heif(data) == points


@pytest.mark.parametrize(
    "data, boxes",
    [
        (box(b"abcd", b"12") + box(b"efgh"), [(b"abcd", b"12"), (b"efgh", b"")]),
        (box(b"abcd", b"12", form="long") + box(b"efgh", b"3"), [(b"abcd", b"12"), (b"efgh", b"3")]),
        (box(b"abcd", b"12") + box(b"efgh", b"345", form="rest"), [(b"abcd", b"12"), (b"efgh", b"345")]),
        (box(b"abcd", form="long"), [(b"abcd", b"")]),
        (struct.pack(">I4s", 7, b"abcd"), []),  # smaller than itself
        (struct.pack(">I4s", 8, b"abcd")[:7], []),
        (struct.pack(">I4sQ", 1, b"abcd", 15), []),
        (struct.pack(">I4s", 1, b"abcd") + bytes(7), []),
        (struct.pack(">I4s", 99, b"abcd") + b"12", [(b"abcd", b"12")]),
    ],
)
def test_boxes_follow_each_other_by_their_sizes(data, boxes):
    assert [(kind, bytes(body)) for kind, body in colours._boxes(memoryview(data))] == boxes


# Orientation


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "entries, orientation",
    [
        ([(0x0112, 3, 1, 6)], 6),
        ([(0x0100, 3, 1, 5), (0x0112, 3, 1, 8)], 8),
        ([(0x0112, 3, 1, 0), (0x0112, 3, 1, 1)], 1),
        ([(0x0112, 3, 1, 9), (0x0112, 3, 1, 3)], 3),
        ([(0x0112, 3, 1, 1), (0x0112, 3, 1, 3)], 1),
        ([(0x0112, 3, 1, 9)], 1),
        ([(0x0112, 4, 1, 6)], 1),
        ([(0x0112, 3, 2, 6)], 1),
        ([(0x0113, 3, 1, 6)], 1),
        ([], 1),
    ],
)
def test_the_orientation_is_one_short_of_1_to_8_in_the_first_directory(order, entries, orientation):
    start = b"II*\0" if order == "<" else b"MM\0*"
    exif = start + struct.pack(order + "I", 10) + b"??" + struct.pack(order + "H", len(entries))
    exif += b"".join(struct.pack(order + "HHIH2x", *entry) for entry in entries)
    for data in (exif, b"Exif\0\0" + exif):
        assert _orientation(data) == orientation
    behind = exif + struct.pack(order + "HHIH2x", 0x0112, 3, 1, 7)
    assert _orientation(behind) == orientation  # no longer in the directory
    assert _orientation(b"XX" + exif[2:]) == 1 and _orientation(None) == 1

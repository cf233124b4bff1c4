"""Pictures side by side, as a notebook shows them: where each lies, what is between, and what is written below."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nsfw_experiments.display import figures, never_raises, png, reduced, strip

RED, BLUE = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (40, 10), "blue")


def test_pictures_lie_side_by_side_from_the_top_with_eight_white_pixels_between():
    expected = Image.new("RGB", (78, 20), "white")
    expected.paste(RED, (0, 0))
    expected.paste(BLUE, (38, 0))
    np.testing.assert_array_equal(strip([(RED, ""), (BLUE, "")]), expected)


def test_captions_have_a_line_of_eighteen_pixels_and_make_room_for_themselves():
    font, caption = ImageFont.load_default(), "a caption wider than its picture"
    width = int(np.ceil(font.getlength(caption)))
    expected = Image.new("RGB", (width + 8 + 40, 20 + 18), "white")
    expected.paste(RED, (0, 0))
    expected.paste(BLUE, (width + 8, 0))
    ImageDraw.Draw(expected).text((0, 24), caption, "black", font)
    np.testing.assert_array_equal(strip([(RED, caption), (BLUE, "")]), expected)


def test_one_picture_alone_has_nothing_beside_it():
    assert strip([(RED, "")]).size == RED.size
    np.testing.assert_array_equal(Image.open(io.BytesIO(png([(RED, "")]))), RED)


@pytest.mark.parametrize(
    ("size", "expected"), [((257, 10), (256, 10)), ((256, 256), (256, 256)), ((100, 1024), (25, 256)), ((3, 2), (3, 2))]
)
def test_a_reduced_picture_has_at_most_256_pixels_a_side(size, expected):
    picture = Image.new("RGB", size)
    assert reduced(picture).size == expected and picture.size == size


def test_a_reduced_picture_is_resampled_as_told():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 512, 3), np.uint8))
    for told, resampling in ((), Image.Resampling.LANCZOS), ((Image.Resampling.NEAREST,), Image.Resampling.NEAREST):
        expected = picture.copy()
        expected.thumbnail((256, 256), resampling)
        np.testing.assert_array_equal(reduced(picture, *told), expected)


def test_figures_stand_in_one_line_each_with_its_caption_and_the_text_below():
    source = f"data:image/png;base64,{base64.b64encode(png([(RED, '')])).decode()}"
    assert figures([(RED, 'a "red" <one>')], "1 < 2\n  3") == (
        '<div><figure style="display:inline-block;margin:0 8px 0 0;vertical-align:top">'
        f'<img src="{source}" alt="a &quot;red&quot; &lt;one&gt;">'
        "<figcaption>a &quot;red&quot; &lt;one&gt;</figcaption></figure>"
        "<pre>1 &lt; 2\n  3</pre></div>"
    )
    assert "<pre>" not in figures([(RED, "")])


def test_what_fails_to_be_shown_is_not_shown_and_what_interrupts_it_does():
    class Shown:
        """Shown as told, or not at all."""

        def __init__(self, error=None):
            self.error = error

        @never_raises
        def _repr_html_(self):
            if self.error:
                raise self.error
            return "<p>"

    assert Shown()._repr_html_() == "<p>" and Shown(ValueError("no"))._repr_html_() is None
    assert Shown._repr_html_.__name__ == "_repr_html_"
    with pytest.raises(KeyboardInterrupt):
        Shown(KeyboardInterrupt())._repr_html_()

"""Draw starry_swirls.png: a night sky of swirling brush strokes over a sleeping village.

Usage: python img/starry_swirls.py OUTPUT.png
"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter, map_coordinates

WIDTH, HEIGHT = 640, 512
#: Centre x, y, reach in pixels and turning sense of every whirl in the sky.
WHIRLS = [
    (290, 190, 95, 1.0), (395, 225, 60, -1.0), (130, 110, 50, 0.7), (560, 90, 85, -0.8), (60, 250, 60, -0.6),
]  # fmt: skip
#: Centre x, y and radius of the core of the stars, the moon last.
STARS = [
    (60, 60, 9), (150, 150, 7), (215, 60, 10), (330, 55, 8), (430, 110, 10),
    (470, 35, 7), (120, 235, 12), (250, 285, 6), (505, 200, 8), (575, 85, 24),
]  # fmt: skip
HORIZON = 350


def flow(x, y):
    """Direction of the strokes at each pixel: a breeze with whirls in it, and rings around the stars."""
    u, v = np.ones_like(x), 0.35 * np.sin(x / 70.0)
    stars = [(cx, cy, 4.0 * radius, 1.0) for cx, cy, radius in STARS]
    for cx, cy, reach, sense in WHIRLS + stars:
        dx, dy = x - cx, y - cy
        strength = 6.0 * sense * np.exp(-(dx**2 + dy**2) / reach**2) / reach
        u, v = u - strength * dy, v + strength * dx
    norm = np.hypot(u, v) + 1e-9
    return u / norm, v / norm


def strokes(grain, u, v, length=18):
    """Smear grain along the flow.

    This is line integral convolution: B. Cabral, L. C. Leedom, "Imaging Vector Fields Using Line Integral
    Convolution", SIGGRAPH 1993.
    """
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    total = np.zeros_like(grain)
    for sense in (1, -1):
        px, py = x.copy(), y.copy()
        for _ in range(length):
            total += map_coordinates(grain, [py, px], order=1, mode="reflect")
            px += sense * map_coordinates(u, [py, px], order=1, mode="nearest")
            py += sense * map_coordinates(v, [py, px], order=1, mode="nearest")
    total -= total.mean()
    return total / total.std()


def sky(random):
    """The blues of the night, lighter in a band and along the whirls, with glowing stars and a moon."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    texture = strokes(gaussian_filter(random.standard_normal((HEIGHT, WIDTH)), 1.2), *flow(x, y))
    band = np.exp(-(((y - 215 - 40 * np.sin(x / 110)) / 55) ** 2))
    whirls = sum(np.exp(-((np.hypot(x - cx, y - cy) / reach) ** 2)) for cx, cy, reach, _ in WHIRLS[:2])
    light = np.clip(0.32 + 0.25 * band + 0.3 * whirls + 0.16 * texture, 0, 1)[..., None]
    colour = (1 - light) * np.array([18, 32, 92]) + light * np.array([150, 190, 215])
    for cx, cy, radius in STARS:
        distance = np.hypot(x - cx, y - cy) / radius
        glow = np.exp(-((distance / 2.6) ** 2)) * (0.85 + 0.15 * np.cos(4 * distance))
        glow = np.clip(glow + 0.1 * texture * (distance < 3) + (distance < 1), 0, 1)[..., None]
        colour = (1 - glow) * colour + glow * np.array([250, 224, 110])
    return colour


def land(random):
    """Hills, a village with lit windows, and a cypress, as a picture and its mask."""
    picture, mask = Image.new("RGB", (WIDTH, HEIGHT)), Image.new("L", (WIDTH, HEIGHT))
    paint, cover = ImageDraw.Draw(picture), ImageDraw.Draw(mask)

    def shape(points, colour):
        paint.polygon(points, fill=colour)
        cover.polygon(points, fill=255)

    xs = np.arange(0, WIDTH + 8, 8)
    for level, rise, colour in ((0, 34, (36, 60, 118)), (38, 22, (26, 50, 84)), (70, 14, (18, 40, 52))):
        ridge = HORIZON + level - rise * np.sin(xs / 90 + level) - 0.05 * (xs - 200)
        shape([*zip(xs.tolist(), ridge.tolist()), (WIDTH, HEIGHT), (0, HEIGHT)], colour)
    for _ in range(26):
        left, base = random.integers(190, 600), random.integers(420, 500)
        wide, high = random.integers(18, 34), random.integers(12, 24)
        walls = [(left, base), (left, base - high), (left + wide, base - high), (left + wide, base)]
        shape(walls, (44, 62, 92))
        roof = [(left - 3, base - high), (left + wide // 2, base - high - 12), (left + wide + 3, base - high)]
        shape(roof, (70, 66, 78))
        if random.random() < 0.6:
            x, y = left + wide // 2, base - high // 2
            shape([(x, y), (x + 4, y), (x + 4, y + 5), (x, y + 5)], (240, 200, 90))
    shape([(418, 470), (424, 340), (430, 470)], (30, 38, 58))  # the steeple
    heights = np.linspace(0, 1, 60)
    for offset, shade in ((0, 12), (-10, 26), (9, 20)):
        half = 36 * np.sin(np.pi * heights**0.8) ** 0.8 * (1 + 0.25 * np.sin(heights * 23 + offset)) + 1
        y = HEIGHT - heights * (430 + 2 * offset)
        middle = 78 + offset + 7 * np.sin(heights * 9)
        left, right = zip(middle - half, y), zip((middle + half)[::-1], y[::-1])
        shape([*left, *right], (shade, shade + 16, shade + 8))
    return picture, mask.filter(ImageFilter.GaussianBlur(0.8))


def main():
    random = np.random.default_rng(1889)
    picture = Image.fromarray(np.clip(sky(random), 0, 255).astype(np.uint8))
    ground, mask = land(random)
    picture.paste(ground, mask=mask)
    picture.save(sys.argv[1])


if __name__ == "__main__":
    main()

"""Draw docs/gallery.png, the pictures of img/ with their scores: ``python docs/gallery.py``."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIDE, GAP, CAPTION, COLUMNS = 200, 12, 44, 4
ORDER = (
    *("hubble_deep_field", "rocket", "coffee", "astronaut"),
    *("starry_swirls", "retina", "evolved_triangles", "evolved_circles"),
)


def main() -> None:
    from open_nsfw import nsfw_scores, resize_image

    files = [next((ROOT / "img").glob(f"{name}.[jp][pn]g")) for name in ORDER]
    rows = -(-len(files) // COLUMNS)
    size = COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + CAPTION) + GAP
    gallery = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(gallery)
    for i, (file, score) in enumerate(zip(files, nsfw_scores(files))):
        left, top = GAP + i % COLUMNS * (SIDE + GAP), GAP + i // COLUMNS * (SIDE + CAPTION)
        gallery.paste(resize_image(file, (SIDE, SIDE), convert_to_array=False), (left, top))
        colour = "#cc3311" if score > 0.5 else "#222222"
        font = ImageFont.load_default(22)
        draw.text((left + SIDE // 2, top + SIDE + 4), f"{score:.4f}", fill=colour, font=font, anchor="ma")
    gallery.save(ROOT / "docs/gallery.png", optimize=True)


if __name__ == "__main__":
    main()

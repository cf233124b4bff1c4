"""Draw the README's pictures, docs/*.png: ``python docs/figures.py [NAME ...]``, all of `FIGURES` by default."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIDE, GAP, CAPTION, COLUMNS = 200, 12, 44, 4
GALLERY = (
    *("hubble_deep_field", "rocket", "coffee", "astronaut"),
    *("starry_swirls", "retina", "evolved_triangles", "evolved_circles"),
)


def gallery() -> None:
    """Pictures of img/ with their scores."""
    from open_nsfw import nsfw_scores, read_picture

    files = [next((ROOT / "img").glob(f"{name}.[jp][pn]g")) for name in GALLERY]
    pictures = [(read_picture(file), f"{score:.4f}", score > 0.5) for file, score in zip(files, nsfw_scores(files))]
    draw_table(pictures, "gallery.png")


def evolution() -> None:
    """Circles, triangles and a painted picture on their way, by the default painters."""
    from nsfw_experiments.evolution.fitness import NsfwLogit, Psnr
    from nsfw_experiments.evolution.primitives import Circles, Polygons
    from nsfw_experiments.evolution.strategies import compact_toolbox, least_squares_toolbox

    circles, triangles = Circles(), Polygons(3)
    pictures = stages(compact_toolbox(circles, 50, NsfwLogit(), seed=0), (0.5, 0.9, 0.99, 0.9999), "{:.4f}")
    pictures += stages(compact_toolbox(triangles, 100, NsfwLogit(), seed=0), (0.1, 0.5, 0.9, 0.99), "{:.4f}")
    target = Psnr(ROOT / "img/starry_swirls.png")
    aims = [target.mean_colour_baseline() + gain for gain in (5, 6, 7)]
    painted = stages(least_squares_toolbox(circles, 50, target, seed=0), aims, "{:.1f} dB")
    draw_table([*pictures, *painted, (target.target, "the target", False)], "evolution.png")


def stages(toolbox, thresholds: Sequence[float], caption: str) -> list[tuple[Image.Image, str, bool]]:
    """Evolve, and give the best painting as it first passes each threshold."""
    from nsfw_experiments.evolution import Evolution
    from nsfw_experiments.evolution.painting import render

    run, pictures = Evolution(toolbox), []
    for threshold in thresholds:
        run.run(sys.maxsize, until=threshold)
        text = f"{caption.format(run.best_display_value)} after {run.evaluations}"
        pictures.append((render(run.best, toolbox.primitive), text, threshold < 1 and run.best_display_value > 0.5))
    return pictures


def inverse() -> None:
    """A photograph and a painting before and after, with their differences."""
    from nsfw_experiments.inverse import inverse as invert
    from nsfw_experiments.inverse.callbacks import amplified_difference
    from open_nsfw import resize_image

    pictures = []
    for name, target in (("coffee.jpg", 0.98), ("evolved_circles.png", 0.02)):
        original = resize_image(ROOT / "img" / name)
        changed, record = invert(ROOT / "img" / name, target)
        difference = amplified_difference(original, np.asarray(changed), factor=16)
        pictures += [
            (Image.fromarray(original), f"{record.start_score:.4f}", record.start_score > 0.5),
            (changed, f"{record.final_score:.4f}", record.final_score > 0.5),
            (Image.fromarray(difference), f"x16 ({record.psnr:.1f} dB)", False),
        ]
    draw_table(pictures, "inverse.png", columns=3)


def survival() -> None:
    """Scores in the wild of a picture that was changed plainly and robustly."""
    from matplotlib.figure import Figure

    from nsfw_experiments.inverse import inverse as invert
    from nsfw_experiments.inverse.eot import GRID, SHOWN, robustness_grid
    from nsfw_experiments.inverse.wild import wild_scores

    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    for mode, robust, colour in (("plain", False, "#4477aa"), ("robust", True, "#cc3311")):
        changed, record = invert(ROOT / "img" / "coffee.jpg", 0.9, robust=robust)
        grid, wild = robustness_grid(np.asarray(changed)), wild_scores(np.asarray(changed))
        rows = {
            "JPEG 50-95, x0.75-x2, the lowest": (min(grid[each] for each in GRID), True),
            **{str(each): (score, each.required) for each, score in wild.items()},
            "JPEG 50-95, x0.5, the lowest": (min(grid[each] for each in SHOWN), False),
        }
        scores = [score for score, _ in rows.values()]
        axes.plot(scores, range(len(rows)), "o", color=colour, label=f"{mode}, {record.psnr:.1f} dB")
    axes.axhspan(sum(required for _, required in rows.values()) - 0.5, len(rows) - 0.5, color="#eeeeee", zorder=0)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(
        xlim=(-0.02, 1.02),
        xlabel="score; on grey: not required",
        ylim=(len(rows) - 0.5, -0.5),
    )
    axes.legend(loc="center")
    figure.savefig(ROOT / "docs" / "survival.png", dpi=90)


def explanation() -> None:
    """Pictures beside what three methods make of them."""
    from nsfw_experiments.explanation import explain

    pictures = []
    for name in ("astronaut.png", "retina.jpg", "coffee.jpg", "evolved_circles.png"):
        found = explain(ROOT / "img" / name)
        pictures += [
            (found.picture, f"{found.score:.4f}", found.score > 0.5),
            (found.overlay(), "class activation map", False),
        ]
        for method in ("occlusion", "integrated-gradients"):
            overlay = explain(ROOT / "img" / name, method).overlay()
            pictures.append((overlay, method.replace("-", " "), False))
    draw_table(pictures, "explanation.png")


def draw_table(pictures: Sequence[tuple[Image.Image, str, bool]], name: str, columns: int = COLUMNS) -> None:
    """Draw pictures in rows, each above its caption, which is red where the third value says so."""
    rows = -(-len(pictures) // columns)
    table = Image.new("RGB", (columns * (SIDE + GAP) + GAP, rows * (SIDE + CAPTION) + GAP), "white")
    draw = ImageDraw.Draw(table)
    font = ImageFont.load_default(22 if max(len(caption) for _, caption, _ in pictures) < 18 else 17)
    for place, (picture, caption, red) in enumerate(pictures):
        left, top = GAP + place % columns * (SIDE + GAP), GAP + place // columns * (SIDE + CAPTION)
        table.paste(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), (left, top))
        colour = "#cc3311" if red else "#222222"
        draw.text((left + SIDE // 2, top + SIDE + 4), caption, fill=colour, font=font, anchor="ma")
    table.save(ROOT / "docs" / name, optimize=True)


FIGURES = {figure.__name__: figure for figure in (gallery, evolution, inverse, survival, explanation)}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or FIGURES:
        FIGURES[chosen]()

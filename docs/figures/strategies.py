"""The picture of docs/cuda.md: python docs/figures/strategies.py writes strategies.svg beside it (needs matplotlib)."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

COLOURS = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#eeca3b", "#9d755d"]


def cell(ax, x, y, colour, text="", width=1.0, height=1.0):
    ax.add_patch(Rectangle((x, -y - height), width * 0.94, height * 0.9, facecolor=colour, edgecolor="none"))
    if text:
        ax.text(x + width * 0.47, -y - height * 0.55, text, ha="center", va="center", fontsize=7, color="white")


def arrow(ax, start, end, colour="#555555", bend=0.0):
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, color=colour, lw=1,
                                 connectionstyle=f"arc3,rad={bend}"))  # fmt: skip


def frame(ax, title, width, height, caption):
    ax.set_xlim(-1.6, width + 0.3)
    ax.set_ylim(-height - 1.5, 0.9)
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_title(title, fontsize=11, loc="left", fontweight="bold")
    ax.text(-1.5, -height - 0.35, caption, fontsize=7.5, va="top", linespacing=1.4)


def time_axis(ax, height):
    arrow(ax, (-0.45, 0), (-0.45, -height))
    ax.text(-0.75, -height / 2, "steps", rotation=90, fontsize=8, ha="center", va="center")


def lane(ax):
    frame(ax, "lane", 8, 5, "A thread owns a lane: all of its steps. The state is in its\n"
          "registers; neighbours read neighbours.")  # fmt: skip
    time_axis(ax, 5)
    for x in range(8):
        for y in range(5):
            cell(ax, x, y, COLOURS[x], f"thr {x}" if y == 0 else "")


def block(ax):
    frame(ax, "block", 8, 5, "The threads of a block share out the elements of a row. The\n"
          "state is in the block's memory; dashes are barriers.")  # fmt: skip
    time_axis(ax, 5)
    for x in range(8):
        for y in range(5):
            cell(ax, x, y, COLOURS[x % 4], f"thr {x % 4}" if y == 0 else "")
    for y in range(1, 5):
        ax.plot([0, 7.9], [-y - 0.02] * 2, ls="--", lw=1, color="#222222")


def grid(ax):
    frame(ax, "grid", 8, 5, "All blocks share out a row that is too wide for one. They wait\n"
          "for one another (solid lines); the state is in global memory.")  # fmt: skip
    time_axis(ax, 5)
    for x in range(8):
        for y in range(5):
            cell(ax, x, y, COLOURS[x // 2], f"blk {x // 2}" if y == 0 and x % 2 == 0 else "")
    for y in range(1, 5):
        ax.plot([0, 7.9], [-y - 0.02] * 2, lw=1.6, color="#222222")


def prefix(ax):
    frame(ax, "prefix", 8, 5, "A block owns a tile of the one sequence, a thread some steps in a\n"
          "row. Tiles look back for what all steps before them do to the state.")  # fmt: skip
    arrow(ax, (0, 0.3), (8, 0.3))
    ax.text(4, 0.42, "steps", fontsize=8, ha="center")
    for x in range(8):
        cell(ax, x, 0, COLOURS[x // 2], f"thr {x % 2}")
        ax.text(x + 0.47, -1.45, "a, b", fontsize=7, ha="center", va="center")
    for tile in range(4):
        cell(ax, 2 * tile, 2, COLOURS[tile], f"tile {tile}: A, B", width=2)
        cell(ax, 2 * tile, 4, COLOURS[tile], "its steps", width=2)
        arrow(ax, (2 * tile + 0.95, -1.65), (2 * tile + 0.95, -2.05))
        arrow(ax, (2 * tile + 0.95, -3.05), (2 * tile + 0.95, -4.05))
        if tile:
            arrow(ax, (2 * tile + 0.7, -3.05), (2 * tile - 0.8, -3.05), bend=-0.45)
    ax.text(-0.85, -3.4, "look\nback", fontsize=7, ha="center", va="center")


def main() -> None:
    matplotlib.rcParams["svg.hashsalt"] = "scancc"  # equal runs make equal files
    figure, axes = plt.subplots(2, 2, figsize=(9, 7.4))
    for draw, ax in zip((lane, block, grid, prefix), axes.flat, strict=True):
        draw(ax)
    figure.tight_layout(h_pad=1.5)
    for target in sys.argv[1:] or [str(Path(__file__).parent / "strategies.svg")]:
        figure.savefig(target, metadata={"Date": None} if target.endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    main()

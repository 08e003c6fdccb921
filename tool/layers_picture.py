"""Draws the picture of the floors, by graphviz, and checks that the committed one is up to date.

The SVG begins with a comment that describes in words what it shows. The check compares this text
and not the drawing, because another version of graphviz places the boxes elsewhere. The number of
lines in a folder, and the number of #include lines behind an arrow, change with most commits: the
picture shows them, the text does not.
"""

import html
import os
import re
import shutil
import subprocess
import textwrap
from collections import Counter

from layers_read import DEBUG, folder_of

HEAD = "Drawn by tool/layers from this:\n"
REMEDY = "run tool/layers --picture doc/floors.svg"

# Colours that can be read on white and on black.
GREY, RED, FILL, EDGE = "#808080", "#e03131", "#dfe9f3", "#5b7a99"
POINTS = 72 # in an inch, the unit of dot -Tplain
PILLAR, MARGIN = 150, 8 # the width of the box of debug/, the space around it


def arrows(tree):
    """(folder, folder that it includes) -> the number of #include lines. debug/ is left out: it may
    include everything, and everything may include it."""
    pairs = ((folder_of(user), folder_of(used)) for user, _, _, used in tree.includes()
             if used in tree.files)
    return Counter(pair for pair in pairs if pair[0] != pair[1] and DEBUG not in pair)


def files_in(tree, folder):
    return [name for name in tree.files if folder_of(name) == folder]


def outline(tree):
    """The text that is compared."""
    lines, drawn = [], arrows(tree)
    for floor in sorted(tree.titles, reverse=True):
        lines.append(f"{floor}: {tree.titles[floor]}")
        for folder in tree.folders():
            if tree.floor_of(folder) == floor:
                used = [other for other in tree.folders() if (folder, other) in drawn]
                lines.append(f"   {folder}, {len(files_in(tree, folder))} files: "
                             f"{' '.join(used) or 'includes nothing'}")
    lines.append(f"beside them: {DEBUG}, {len(files_in(tree, DEBUG))} files")
    return "\n".join(lines).replace("--", "- -") + "\n"


def comment(tree):
    return f"<!-- {HEAD}{outline(tree)}-->\n"


def check(tree, path):
    """Yields each difference between the committed picture and the sources."""
    shown = "doc/" + os.path.basename(path)
    if not os.path.exists(path):
        yield f"{shown}: it does not exist: {REMEDY}"
        return
    with open(path, encoding="utf-8") as file:
        found = re.search(re.escape(HEAD) + r"(.*?)-->", file.read(), re.S)
    old, new = (found[1] if found else "").splitlines(), outline(tree).splitlines()
    for line in [line for line in old if line not in new]:
        yield f"{shown}: it shows '{line.strip()}', which is not so: {REMEDY}"
    for line in [line for line in new if line not in old]:
        yield f"{shown}: it does not show '{line.strip()}': {REMEDY}"


# ---- Drawing

def size_of(tree, folder):
    files = files_in(tree, folder)
    lines = sum(tree.texts[name].count("\n") for name in files)
    return f"{len(files)} file{'s'[:len(files) - 1]}, {max(round(lines, -2), 100)} lines"


def box(tree, folder, is_ground):
    """The node of a folder."""
    small = size_of(tree, folder) + ("<br/><i>every folder includes it</i>" if is_ground else "")
    return (f"{folder} [label=<<b>{folder}</b><br/><font point-size='10'>{small}</font>>"
            f"{', width=6' if is_ground else ''}];")


def floor_label(tree, floor):
    text = "<br align='left'/>".join(map(html.escape, textwrap.wrap(tree.titles[floor], 34)))
    return (f'"floor {floor}" [shape=plaintext style="" fontcolor="{GREY}" fontsize=11 label=<'
            f"<table border='0'><tr><td width='24' align='right'><font point-size='16'><b>{floor}"
            f"</b></font></td><td width='200' align='left' balign='left'>{text}"
            "<br align='left'/></td></tr></table>>];")


def dot_of(tree):
    """The picture in the language of dot. A folder that all others include has a line of text
    instead of its arrows."""
    drawn, floors = arrows(tree), sorted(tree.titles, reverse=True)
    folders = [folder for folder in tree.folders() if tree.floor_of(folder) is not None]
    ground = {used for used in folders
              if all((user, used) in drawn for user in folders if user != used)}
    lines = [f"""digraph floors {{
        graph [rankdir=TB, bgcolor=transparent, nodesep=0.5, ranksep=0.45, fontname="sans-serif",
               fontsize=11, fontcolor="{GREY}", labeljust=l,
               label="An arrow: includes; the thicker, the more often. Red: does not go down.\\l"];
        node [shape=box, style="filled,rounded", fillcolor="{FILL}", color="{EDGE}", width=1.7,
              fontname="sans-serif", fontsize=13, margin="0.2,0.08"];
        edge [color="{GREY}", arrowsize=0.7];"""]
    for floor in floors:
        on = [folder for folder in folders if tree.floor_of(folder) == floor]
        lines.append(floor_label(tree, floor))
        lines += [box(tree, folder, folder in ground) for folder in on]
        lines.append(f'{{rank=same; "floor {floor}"; {"; ".join(on)}}}')
    for above, below in zip(floors, floors[1:]):
        lines.append(f'"floor {above}" -> "floor {below}" [style=invis, weight=1000];')
        lines += [f"{user} -> {used} [style=invis];" for user in folders for used in ground
                  if (tree.floor_of(user), tree.floor_of(used)) == (above, below)]
    for (user, used), count in sorted(drawn.items()):
        if used in ground or not {user, used} <= set(folders):
            continue
        is_down = tree.floor_of(used) < tree.floor_of(user)
        kind = "" if is_down else f', color="{RED}", constraint=false'
        lines.append(f"{user} -> {used} [penwidth={0.6 + 0.35 * count:.2f}, weight={count}{kind}];")
    return "\n".join([*lines, "}", ""])


def run_dot(text, kind):
    return subprocess.run(["dot", f"-T{kind}"], input=text, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def lines_between(plain, width):
    """A line between each two floors, from where `dot -Tplain` says that the nodes are."""
    spans = {}
    for found in re.finditer(r'^node (?:"[^"]*"|\S+) \S+ (\S+) \S+ (\S+)', plain, re.M):
        y, half = float(found[1]) * POINTS, float(found[2]) * POINTS / 2
        low, high = spans.get(y, (y, y))
        spans[y] = min(low, y - half), max(high, y + half)
    floors = [spans[y] for y in sorted(spans)]
    for (_, high), (low, _) in zip(floors, floors[1:]):
        yield (f'<path fill="none" stroke="{GREY}" stroke-opacity="0.4" '
               f'd="M0,{-(high + low) / 2:.1f} H{width:.1f}"/>')


def pillar(tree, left, height):
    """The box of debug/, which stands beside all floors."""
    middle, text = left + PILLAR / 2, ["beside all floors:", "it may read everything,",
                                       "and is called only", "to report"]
    yield (f'<rect x="{left:.1f}" y="{-height:.1f}" width="{PILLAR}" height="{height:.1f}" rx="12" '
           f'fill="none" stroke="{EDGE}" stroke-dasharray="5,3"/>')
    yield (f'<text x="{middle:.1f}" y="{-height / 2 - 20:.1f}" text-anchor="middle" fill="{GREY}" '
           f'font-family="sans-serif" font-size="13" font-weight="bold">{DEBUG}</text>')
    for i, line in enumerate([size_of(tree, DEBUG), *text]):
        yield (f'<text x="{middle:.1f}" y="{-height / 2 + 13 * i - 5:.1f}" text-anchor="middle" '
               f'fill="{GREY}" font-family="sans-serif" font-size="10" '
               f'font-style="{"italic" if i else "normal"}">{line}</text>')


def finish(tree, svg, plain):
    """Adds to dot's drawing the lines, the box of debug/ and the comment."""
    width, height = map(float, re.search(r'viewBox="0\.00 0\.00 (\S+) (\S+)"', svg).groups())
    wide = width + PILLAR + 2 * MARGIN
    svg = re.sub(r'<svg width="\d+pt"', f'<svg width="{wide:.0f}pt"', svg)
    svg = svg.replace(f'viewBox="0.00 0.00 {width:.2f}', f'viewBox="0.00 0.00 {wide:.2f}')
    more = "\n".join([*lines_between(plain, width - MARGIN),
                      *pillar(tree, width + MARGIN, height - 2 * MARGIN)])
    svg = svg.replace("<title>floors</title>", f"<title>floors</title>\n{more}")
    start = svg.index("<svg")
    return f"{svg[:start]}{comment(tree)}{svg[start:]}"


def can_draw():
    return shutil.which("dot") is not None


def draw(tree, path):
    text = dot_of(tree)
    with open(path, "w", encoding="utf-8") as file:
        file.write(finish(tree, run_dot(text, "svg"), run_dot(text, "plain")))

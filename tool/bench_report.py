"""What tool/bench makes of its measurements: tables, the picture, targets, the comparison."""

import datetime
import os
import platform
import re
import subprocess
import textwrap

NOISY_SPREAD = 0.5
INSTRUCTIONS, WITH_LTO = "instructions", "with LTO" # columns of the tables

# What coir promises itself: its figure is at most LIMIT times the lowest of these peers', or at
# most LIMIT where there are none.
TARGETS = (
    ("yield_2", "ns", 0.20, ("go", "boost_fiber")),
    ("yield_1000", "ns", 0.25, ("go",)),
    ("yield_deep", "ns", 0.25, ("go",)),
    ("spawn_end", "ns", 0.35, ("st", "boost_fiber", "go")),
    ("scope_join", "ns", 0.4, ("go",)),
    ("chan", "ns", 0.3, ("go", "boost_fiber")),
    ("chan", "ns", 1.1, ("st",)),
    ("sieve", "ns", 0.35, ("go",)),
    ("timer_1m", "ns", 1.0, ("libev",)),
    ("sleepers_100k", "cpu_ms", 0.8, ("go",)),
    ("wake_late", "ns", 1.2, ("bare",)),
    ("parked_1m", "bytes", 4.5 * 1024, ()),
)

# The picture: what is drawn, and of whom, in which colour. They hold on white and on black.
DRAWN = ("yield_2", "yield_1000", "yield_deep", "yield_deep_10k", "spawn_end", "spawn_join",
         "scope_join", "park_wake", "chan", "sieve", "timer_1m", "timer_last_1m", "sleepers_100k")
COLOURS = {"go": "#2a9fd6", "boost_fiber": "#d9822b", "st": "#4caf50", "libev": "#b05cc6",
           "libevent": "#d64f6a", "libuv": "#8c8c3a"}
GREY = "#808080"


def figure_of(name):
    return "cpu_ms" if name.startswith("sleepers") else "ns"


def target_needs():
    """The benchmarks and the peers that the targets are about."""
    return [target[0] for target in TARGETS], {peer for target in TARGETS for peer in target[3]}


def noisy(result):
    return result["spread"] > NOISY_SPREAD


def number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def show(results, peers):
    print(f"{'':15}{'ns':>10}{'spread':>8}{'instructions':>14}{'with LTO':>10}{'bytes':>7}"
          f"{'cpu ms':>8}"
          "   peers, each with its spread and ours / theirs")
    labels = {peer.name: peer.label for peer in peers}
    for result in results.values():
        figure = figure_of(result["name"])
        beside = [f"{labels[peer]} {number(theirs[figure])} {theirs['spread']:.0%} "
                  f"{result['ratio'][peer]:.2f}" for peer, theirs in result["peers"].items()]
        print(f"{result['name']:15}{result['ns']:10.2f}{result['spread']:8.0%}"
              + (f"{result['instructions']:14.1f}{result['with_lto']:10.1f}"
                 if "instructions" in result else " " * 24)
              + (f"{result['bytes']:7.0f}" if "bytes" in result else " " * 7)
              + (f"{result['cpu_ms']:8.0f}" if "cpu_ms" in result else " " * 8)
              + ("   " + "; ".join(beside) if beside else ""))
    for line in noise(results, labels):
        print(line)
    if not any("instructions" in result for result in results.values()):
        print("no instruction counts: valgrind is not installed, or nothing is counted")


def noise(results, labels):
    """One line that names the noisy figures, or none."""
    names = [result["name"] for result in results.values() if noisy(result)]
    names += [f"{result['name']} ({labels[peer]})" for result in results.values()
              for peer, theirs in result["peers"].items() if noisy(theirs)]
    if names:
        yield f"noisy (spread above {NOISY_SPREAD:.0%}), not to be relied on: " + ", ".join(names)


def check_targets(results):
    """Prints one line for each target; returns the exit status."""
    totals = {"ok": 0, "FAIL": 0, "skip": 0}
    for name, figure, limit, peers in TARGETS:
        ours = results[name]
        theirs = {peer: ours["peers"][peer][figure] for peer in peers if peer in ours["peers"]}
        if len(theirs) < len(peers):
            verdict, text = "skip", "not all of " + ", ".join(peers) + " are installed"
        elif not peers:
            verdict = "ok" if ours[figure] <= limit else "FAIL"
            text = f"{ours[figure]:.0f} {figure}, at most {limit:.0f}"
        else:
            best = min(theirs, key=theirs.get)
            ratio = ours[figure] / theirs[best]
            verdict = "ok" if ratio <= limit else "FAIL"
            text = (f"{ratio:.3f} of {best} ({number(ours[figure])} / {number(theirs[best])} "
                    f"{figure.replace('cpu_', '')}), at most {limit:.2f}")
            if noisy(ours) or noisy(ours["peers"][best]):
                text += "; a noisy run"
        totals[verdict] += 1
        print(f"{verdict} {name}: {text}")
    print(f"{totals['ok']} passed, {totals['FAIL']} failed, {totals['skip']} skipped")
    return 1 if totals["FAIL"] else 0


def compare(results, earlier):
    """Prints what became slower or larger; returns 1 when an operation has more instructions."""
    status = 0
    for name, new in results.items():
        old = earlier.get(name)
        if not old:
            print(f"{name}: not in the earlier file")
            continue
        for key in ("instructions", "with_lto"):
            if new.get(key, 0) > old.get(key, float("inf")) + 0.5:
                print(f"MORE INSTRUCTIONS {name}, {key}: {old[key]:.1f} -> {new[key]:.1f}")
                status = 1
        if new.get("bytes", 0) > 1.02 * old.get("bytes", float("inf")):
            print(f"larger: {name}: {old['bytes']:.0f} -> {new['bytes']:.0f} bytes")
        figure = figure_of(name)
        margin = max(new["spread"], old.get("spread", 0), 0.05)
        if figure in old and new[figure] > old[figure] * (1 + margin):
            print(f"slower: {name}: {number(old[figure])} -> {number(new[figure])} "
                  f"{figure.replace('cpu_', '')}, and the noise is {margin:.0%}")
    print("more instructions than before" if status else "no more instructions than before")
    return status


# ---- README

def cell(result, name):
    if not result:
        return ""
    if name.startswith("parked"):
        return f"{result['bytes']:.0f} B"
    value = result[figure_of(name)]
    unit = " ms" if figure_of(name) == "cpu_ms" else " µs" if name == "wake_late" else ""
    text = number(value / 1000 if name == "wake_late" else value) + unit
    return text + (" ~" if noisy(result) else "")


def table(results, peers, spreads):
    rows = [["", "coir", INSTRUCTIONS, WITH_LTO, *(peer.label for peer in peers)]]
    rows.append(["---"] + ["--:"] * (len(rows[0]) - 1))
    for name, result in results.items():
        row = [name, cell(result, name), *(f"{result[key]:.0f}" if key in result else ""
                                           for key in ("instructions", "with_lto"))]
        row += [cell(result["peers"].get(peer.name), name) for peer in peers]
        if spreads:
            if name.startswith("parked"): # the bytes are shown, and they do not spread
                rows.append(row)
                continue
            figures = [result, None, None, *(result["peers"].get(peer.name) for peer in peers)]
            for i, figure in enumerate(figures):
                row[i + 1] += f" ±{figure['spread'] / 2:.0%}" if figure else ""
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def replace_section(path, text, mark="tool/bench --readme"):
    with open(path, encoding="utf-8") as file:
        before = file.read()
    after, count = re.subn(rf"(<!-- {mark} -->\n).*?(<!-- end -->)",
                           lambda found: found[1] + text + found[2], before, flags=re.S)
    if count != 1:
        raise SystemExit(f"tool/bench: {path} has no section between the markers")
    with open(path, "w", encoding="utf-8") as file:
        file.write(after)


def set_cells(path, mark, column, after, cells):
    """Puts text into the cells {name of the row: text} of one column of the table between the
    markers; the column is added behind another one if it is not there."""
    with open(path, encoding="utf-8") as file:
        section = re.search(rf"<!-- {mark} -->\n(.*?)<!-- end -->", file.read(), re.S)[1]
    lines = section.splitlines(keepends=True)
    rows = {i: line.strip().strip("|").split("|") for i, line in enumerate(lines)
            if line.startswith("|")}
    header = [name.strip() for name in next(iter(rows.values()))]
    if column not in header:
        at = header.index(after) + 1
        header.insert(at, column)
        for row in rows.values():
            row.insert(at, "--:" if row[0].strip() == "---" else "")
        next(iter(rows.values()))[at] = column
    for i, row in rows.items():
        name = row[0].strip()
        if name in cells:
            row[header.index(column)] = cells[name]
        lines[i] = "| " + " | ".join(cell.strip() for cell in row) + " |\n"
    replace_section(path, "".join(lines), mark)


def write_counts(counts, of_servers, root):
    """Only the instructions, in the tables of an earlier --readme. `of_servers`: label -> count."""
    for path in (os.path.join(root, "README.md"), os.path.join(root, "bench", "README.md")):
        for column, key, after in ((INSTRUCTIONS, "instructions", "coir"),
                                   (WITH_LTO, "with_lto", INSTRUCTIONS)):
            set_cells(path, "tool/bench --readme", column, after,
                      {name: f"{result[key]:.0f}" for name, result in counts.items()})
        after = ""
        for label, value in of_servers.items():
            set_cells(path, "tool/bench --readme, servers", label, after,
                      {INSTRUCTIONS: f"{value:.0f}"})
            after = label


def paragraph(text):
    return textwrap.fill(text, 98, break_on_hyphens=False) + "\n"


def machine():
    cpu = ""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = re.search(r"model name\s*: (.*)", file.read())
            cpu = found[1] if found else ""
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout
    return (f"{platform.machine()}, {cpu}, {os.cpu_count()} processors; {platform.system()} "
            f"{platform.release().split('-')[0]}; {compiler.splitlines()[0]}")


def write_readme(results, peers, runs, root, build):
    shown = [peer for peer in peers if peer.name in COLOURS]
    load = " and ".join(f"{value:.1f}" for value in os.getloadavg()[1:])
    head = (f"Measured on {datetime.date.today()}, medians of {runs} interleaved runs; load {load} "
            "in the last 5 and 15 minutes.\n")
    figures = [figure for result in results.values()
               for figure in (result, *result["peers"].values())]
    count = sum(map(noisy, figures))
    if count:
        head += (f"{count} of {len(figures)} figures are noisy (spread above {NOISY_SPREAD:.0%}) "
                 "and marked ~: take their ratios for orders of magnitude.\n")
    replace_section(os.path.join(root, "README.md"),
                    f"{paragraph(head)}\n{table(results, shown, False)}\n")
    versions = ", ".join(f"{peer.label} {peer.version}" for peer in peers if peer.version)
    replace_section(os.path.join(root, "bench", "README.md"),
                    f"{paragraph(head)}\n{paragraph(f'The machine: {machine()}.')}"
                    f"{paragraph(f'The peers: {versions}.')}\n{table(results, peers, True)}\n")
    draw(results, shown, os.path.join(root, "doc", "bench.svg"), build)


def draw(results, peers, path, build):
    data = os.path.join(build, "ratios.txt")
    names = [name for name in DRAWN if name in results]
    with open(data, "w", encoding="utf-8") as file:
        for name in names:
            ratios = [results[name]["ratio"].get(peer.name) for peer in peers]
            file.write(f"{name} " + " ".join(f"{1 / r:.3f}" if r else "?" for r in ratios) + "\n")
    bars = ", ".join(f"'{data}' using {i + 2}:xtic(1) title '{peer.label}' "
                     f"linecolor rgb '{COLOURS[peer.name]}'" for i, peer in enumerate(peers))
    script = f"""
        set terminal svg size 900,420 dynamic font 'sans-serif,13'
        set output '{path}'
        set datafile missing '?'
        set style data histogram
        set style histogram clustered gap 1
        set style fill solid 1 noborder
        set boxwidth 0.9
        set rmargin 7
        set logscale y
        set yrange [0.5:*]
        set border 3 linecolor rgb '{GREY}'
        set tics textcolor rgb '{GREY}' nomirror
        set xtics rotate by -30 noenhanced
        set grid ytics linecolor rgb '{GREY}' linewidth 0.3
        set key outside top center horizontal textcolor rgb '{GREY}' noenhanced
        set ylabel 'times the cost in coir' textcolor rgb '{GREY}'
        set arrow from graph 0, first 1 to graph 1, first 1 nohead front linewidth 2 \\
            linecolor rgb '{GREY}'
        set label 'coir' at graph 1.005, first 1 textcolor rgb '{GREY}'
        plot {bars}
    """
    done = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"tool/bench: gnuplot failed: {done.stderr}")

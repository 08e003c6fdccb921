"""Reads what tool/layers checks: the floors in src/coir.c, the #include lines of the sources, and
the symbols that the objects of a build define and refer to."""

import os
import re
import subprocess

DEBUG = "debug"
PUBLIC = "include"

# The folders that src/coir.c does not include, each with the folder whose floor it shares: the
# files of ctx/ are assembled.
BESIDE = {"ctx": "os"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
SYMBOL_LINE = re.compile(
    r"\s*\d+:\s+\S+\s+\S+\s+\S+\s+(?P<bind>GLOBAL|WEAK)\s+(?P<visibility>\S+)\s+"
    r"(?:\[.*\]\s+)?(?P<section>\S+)\s+(?P<name>[^\s@]+)")


def folder_of(name):
    return os.path.dirname(name)


class Tree:
    """The sources. A file is named as in src/coir.c, by its path below src/: world/epoll.c."""

    def __init__(self, root):
        self.src = os.path.join(os.path.realpath(root), "src")
        self.listed = []  # (name, floor) in the order of src/coir.c; None: it is on no floor
        self.titles = {}  # floor -> the text of its comment
        self.files = sorted(
            os.path.relpath(os.path.join(at, name), self.src)
            for at, _, names in os.walk(self.src) for name in names
            if name.endswith((".c", ".h", ".S")) and (at, name) != (self.src, "coir.c"))
        self.read_floors()
        self.texts = {name: self.read(name) for name in self.files}

    def read(self, name):
        with open(os.path.join(self.src, name), encoding="utf-8") as file:
            return file.read()

    def read_floors(self):
        floor = None
        for found in re.finditer(r'/\*(.*?)\*/|^#include "([^"]+)"', self.read("coir.c"),
                                 re.M | re.S):
            if found[2]:
                self.listed.append((found[2], floor))
                continue
            mark = re.match(r"\s*(\d+):\s*(.*)", found[1], re.S)
            floor = int(mark[1]) if mark else None
            if mark:
                self.titles[floor] = " ".join(mark[2].split())

    def floors_of(self, folder):
        """The floors on which src/coir.c has files of the folder."""
        folder = BESIDE.get(folder, folder)
        return sorted({floor for name, floor in self.listed
                       if folder_of(name) == folder and floor is not None})

    def floor_of(self, folder):
        floors = self.floors_of(folder)
        return floors[0] if floors else None

    def folders(self):
        return sorted({folder_of(name) for name in self.files})

    def includes(self):
        """Yields (name, line, text, included name) for each #include "text". The included name is
        None if there is no such file, and a path such as include/coir.h if it is not in src/."""
        for name in self.files:
            for found in INCLUDE.finditer(self.texts[name]):
                line = self.texts[name].count("\n", 0, found.start(1)) + 1
                yield name, line, found[1], self.resolve(name, found[1])

    def resolve(self, name, included):
        root = os.path.dirname(self.src)
        for base in (os.path.join(self.src, folder_of(name)), self.src,
                     os.path.join(root, PUBLIC)):
            path = os.path.normpath(os.path.join(base, included))
            if os.path.exists(path):
                inside = os.path.commonpath([path, self.src]) == self.src
                return os.path.relpath(path, self.src if inside else root)
        return None


class Object:
    """An object file: the symbols that it defines and those that it refers to."""

    def __init__(self, name):
        self.name = name
        self.defined = {}  # name -> visibility
        self.undefined = set()

    def modules(self):
        folder, file = os.path.split(self.name)
        return {folder, os.path.splitext(file)[0]} - {""}


def read_objects(build, tree):
    """The objects of a build of separate objects, except those left over from removed files."""
    base = os.path.join(build, "CMakeFiles", "coir.dir", "src")
    paths = sorted(os.path.join(at, name) for at, _, names in os.walk(base) for name in names
                   if name.endswith(".o"))
    names = [os.path.relpath(path, base)[:-len(".o")] for path in paths]
    if not paths or "coir.c" in names:
        raise SystemExit(f"layers: {build} holds no separate objects: build the preset debug first")
    listed = {name for name, _ in tree.listed}
    objects = {path: Object(name) for path, name in zip(paths, names)
               if name in listed or name in tree.files and folder_of(name) in BESIDE}
    listing = subprocess.run(["readelf", "-sW", *objects], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    # readelf prints no "File:" line if it is given one file only.
    current = next(iter(objects.values()))
    for line in listing.splitlines():
        if line.startswith("File: "):
            current = objects[line[len("File: "):]]
            continue
        symbol = SYMBOL_LINE.match(line)
        if symbol and symbol["section"] == "UND":
            current.undefined.add(symbol["name"])
        elif symbol:
            current.defined[symbol["name"]] = symbol["visibility"]
    return list(objects.values())

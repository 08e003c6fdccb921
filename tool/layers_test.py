"""The self-test of tool/layers. It writes and compiles a sound tree of a few tiny files, in which
nothing may be found, and then its mutants. Each breaks one rule, and just that must be found."""

import os
import subprocess
import tempfile
from xml.etree import ElementTree

import layers_picture
from layers_read import Tree, read_objects

PICTURE = "doc/floors.svg"
SVG_TITLE = "{http://www.w3.org/2000/svg}title" # where graphviz writes the names of nodes and edges
HIDDEN = '__attribute__((visibility("hidden")))'


def include(name):
    """A line that tool/layers reads and the compiler skips: headers may include each other so."""
    return f'#ifdef NEVER\n#include "{name}"\n#endif\n'


# The sound tree. Each source has one function.
SOUND = {
    "include/coir.h": "int coir_run(void);\n",
    "test/test.h": "\n",
    "src/coir.c": """/* The table of contents. */
/* 0: the ground */
#include "base/list.c"
/* 1: the system */
#include "os/linux.c"
/* 2: fibers */
#include "core/sched.c"
/* 3: the kernel */
#include "world/epoll.c"
/* 4: the loop */
#include "run/run.c"
/* Beside all floors. */
#include "debug/fatal.c"
#include "debug/symbol.c"
""",
    "src/base/list.h": "int cr_list_add(void);\n",
    "src/base/list.c": f'#include "list.h"\n{HIDDEN} int cr_list_add(void) {{ return 1; }}\n',
    "src/os/os.h": '#include "../base/list.h"\nint cr_os_name(void);\n',
    "src/os/linux.c": f"""#include "os.h"
{HIDDEN} int cr_os_name(void) {{ return cr_list_add(); }}
""",
    "src/ctx/ctx.h": '#include "../base/list.h"\n',
    "src/ctx/cpu.S": ".globl cr_ctx_switch\n.hidden cr_ctx_switch\ncr_ctx_switch:\n",
    "src/core/sched.h": """#include "../base/list.h"
#include "../ctx/ctx.h"
int cr_sched_wake(void);
""",
    "src/core/sched.c": f"""#include "sched.h"
#include "../debug/debug.h"
{HIDDEN} int cr_sched_wake(void) {{ cr_fatal_stop(); return cr_list_add(); }}
""",
    "src/world/world.h": '#include "../base/list.h"\n',
    "src/world/epoll.c": f"""#include "world.h"
#include "../os/os.h"
int close(int fd);
{HIDDEN} int cr_epoll_open(void) {{ return close(cr_os_name()); }}
""",
    "src/run/run.c": """#include "../../include/coir.h"
#include "../core/sched.h"
#include "../world/world.h"
int coir_run(void) { return cr_sched_wake(); }
""",
    "src/debug/debug.h": '#include "../base/list.h"\nvoid cr_fatal_stop(void);\n',
    "src/debug/symbol.h": "int cr_symbol_find(void);\n",
    "src/debug/symbol.c": f"{HIDDEN} int cr_symbol_find(void) {{ return 0; }}\n",
    "src/debug/fatal.c": f"""#include "debug.h"
#include "../core/sched.h"
{HIDDEN} void cr_fatal_stop(void) {{ cr_sched_wake(); }}
""",
}

# Each mutant: what is wrong; the file, the text in it that is replaced (None: the new text is added
# at its end), the new text; the start of each finding.
MUTANTS = (
    ("an upward include of a source",
     "src/core/sched.c", None, include("../world/world.h"),
     "src/core/sched.c:5: it includes world/world.h: world is on floor 3, core on floor 2"),
    ("an upward include of a header",
     "src/base/list.h", None, include("../ctx/ctx.h"),
     "src/base/list.h:3: it includes ctx/ctx.h: ctx is on floor 1, base on floor 0"),
    ("an upward call",
     "src/os/linux.c", "cr_list_add()", "cr_epoll_open()",
     "src/os/linux.c: it refers to cr_epoll_open of world/epoll.c: world is on floor 3"),
    ("an include of the folder beside",
     "src/ctx/ctx.h", None, include("../os/os.h"),
     "src/ctx/ctx.h:3: it includes os/os.h: ctx and os stand side by side"),
    ("a call to the folder beside",
     "src/ctx/cpu.S", None, ".quad cr_os_name\n",
     "src/ctx/cpu.S: it refers to cr_os_name of os/linux.c: ctx and os stand side by side"),
    ("a forbidden include",
     "src/world/epoll.c", None, include("../core/sched.h"),
     "src/world/epoll.c:6: it includes core/sched.h: world uses only base, os"),
    ("a forbidden call",
     "src/world/epoll.c", "cr_os_name()", "cr_sched_wake()",
     "src/world/epoll.c: it refers to cr_sched_wake of core/sched.c: world uses only base, os"),
    ("a header for all that brings a floor with it",
     "src/debug/debug.h", None, include("../core/sched.h"),
     "src/debug/debug.h:4: it includes core/sched.h: debug/debug.h uses only base"),
    ("a call to debug/ that is no report",
     "src/core/sched.c", "cr_fatal_stop", "cr_symbol_find",
     "src/core/sched.c: it refers to cr_symbol_find of debug/symbol.c: nobody calls debug/"),
    ("an include of debug/ that is not its header for all",
     "src/core/sched.c", "debug.h", "symbol.h",
     "src/core/sched.c:2: it includes debug/symbol.h: of debug/ only debug/debug.h"),
    ("an include of what is not there",
     "src/os/os.h", None, include("rings.h"),
     "src/os/os.h:4: it includes rings.h, which is nowhere"),
    ("an include of what is outside",
     "src/os/os.h", None, include("../../test/test.h"),
     "src/os/os.h:4: it includes test/test.h, which is neither in src/ nor in include/"),
    ("a folder that src/coir.c does not name",
     "src/sync/queue.h", None, "\n",
     "src/sync: src/coir.c includes nothing of it"),
    ("a file that src/coir.c names and that is missing",
     "src/coir.c", "/* 4", '#include "world/poll.c"\n/* 4',
     "src/coir.c: there is no src/world/poll.c"),
    ("a folder on two floors",
     "src/coir.c", "/* 4", '#include "core/sched.h"\n/* 4',
     "src/core: it is on the floors 2 and 3"),
    ("a file on two floors",
     "src/coir.c", "/* 4", '#include "core/sched.c"\n/* 4',
     "src/coir.c: it includes core/sched.c 2 times", "src/core: it is on the floors 2 and 3"),
    ("a file on no floor",
     "src/coir.c", "/* 4: the loop */", "/* the loop */",
     "src/coir.c: run/run.c stands on no floor"),
    ("a floor below the one before",
     "src/coir.c", None, '/* 3: the kernel */\n#include "world/world.h"\n',
     "src/coir.c: floor 3 stands after floor 4"),
    ("a file outside of the folders",
     "src/more.h", None, "\n",
     "src: a file stands in no folder"),
    ("a global name that does not tell its module",
     "src/os/linux.c", None, f"{HIDDEN} int cr_list_move(void) {{ return 0; }}\n",
     "src/os/linux.c: cr_list_move is global"),
    ("a name that is visible outside",
     "src/os/linux.c", HIDDEN, "",
     "src/os/linux.c: cr_os_name is visible outside"),
    ("a system call where it does not belong",
     "src/run/run.c", "cr_sched_wake()", "kqueue()",
     "src/run/run.c: it refers to kqueue: only world/.* calls the kernel"),
    ("a picture that is out of date",
     PICTURE, "4: the loop", "4: the turn",
     "doc/floors.svg: it shows '4: the turn', which is not so",
     "doc/floors.svg: it does not show '4: the loop'"),
)


def write(root, name, text):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def change(root, name, old, new):
    path, text = os.path.join(root, name), ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    if old is not None and old not in text:
        raise SystemExit(f"layers: the self-test does not find {old!r} in its {name}")
    write(root, name, text + new if old is None else text.replace(old, new, 1))


def compile_all(root, tree):
    """Puts the objects where CMake does. In gnu89 a mutant may call a function nobody declares."""
    for name in tree.files:
        if name.endswith((".c", ".S")):
            path = os.path.join(root, "build", "CMakeFiles", "coir.dir", "src", name + ".o")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            subprocess.run(["cc", "-std=gnu89", "-w", "-c", "-o", path,
                            os.path.join(tree.src, name)], check=True)


def findings_in(root, checks, *mutation):
    """The findings in the sound tree, or in one of its mutants."""
    for name, text in SOUND.items():
        write(root, name, text)
    of_picture = mutation[:1] == (PICTURE,)
    if mutation and not of_picture:
        change(root, *mutation)
    tree = Tree(root)
    write(root, PICTURE, layers_picture.comment(tree))
    if of_picture:
        change(root, *mutation)
    compile_all(root, tree)
    objects = read_objects(os.path.join(root, "build"), tree)
    return [finding for _, found in checks(tree, objects, os.path.join(root, PICTURE))
            for finding in found]


def drawing():
    """What is wrong with the picture of the sound tree."""
    if not layers_picture.can_draw():
        return "dot (graphviz) is not installed"
    with tempfile.TemporaryDirectory(prefix="coir-layers-") as root:
        for name, text in SOUND.items():
            write(root, name, text)
        tree, path = Tree(root), os.path.join(root, "floors.svg")
        layers_picture.draw(tree, path)
        titles = {title.text for title in ElementTree.parse(path).iter(SVG_TITLE)}
        wanted = {"base", "os", "ctx", "core", "world", "run", "floor 4", "core->ctx", "run->world"}
        return [f"it lacks {title}" for title in sorted(wanted - titles)]


def run(checks):
    """(title, list of what is wrong or the reason of a skip) for each test."""
    cases = [("nothing in a sound tree", (), ()),
             *((mutant[0], mutant[1:4], mutant[4:]) for mutant in MUTANTS)]
    results = []
    for title, mutation, expected in cases:
        with tempfile.TemporaryDirectory(prefix="coir-layers-") as root:
            found = findings_in(root, checks, *mutation)
        right = len(found) == len(expected) and all(map(str.startswith, found, expected))
        results.append((f"finds {title}", [] if right else [
            f"expected: {', '.join(expected) or 'nothing'}", *(f"found: {f}" for f in found)]))
    results.append(("draws a picture", drawing()))
    return results

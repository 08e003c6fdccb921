"""The libraries that tool/bench compares coir with: how each is found and built.

A peer's program is bench/peer/<name>.{c,cpp,go}; bench/bench.h has its command line. What a peer
can do it lists itself, when called without arguments.
"""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "bench")

C = ["cc", "-std=gnu11", "-O2", "-g", "-DNDEBUG"]
CXX = ["c++", "-std=c++17", "-O2", "-g", "-DNDEBUG"]
GO = ["go", "build"]


class Peer:
    """One peer. `divisor`: it does so many times fewer operations, because it is so slow."""

    def __init__(self, label, source, compiler, libraries=(), header=None, package=None,
                 divisor=1):
        self.label, self.source, self.compiler = label, source, compiler
        self.libraries, self.header, self.package = list(libraries), header, package
        self.divisor = divisor
        self.name = source.split(".")[0]
        self.source_path = os.path.join(ROOT, "bench", "peer", source)
        self.program = os.path.join(BUILD, self.name)
        self.benches = set()
        self.version = ""

    def missing(self):
        """Why it cannot be built; None when it can."""
        if not which(self.compiler[0]):
            return f"{self.compiler[0]} is not installed"
        if not self.header:
            return None
        done = subprocess.run([*self.compiler, "-E", "-x",
                               "c++" if self.compiler is CXX else "c", "-"],
                              input=f"#include <{self.header}>\n", capture_output=True, text=True)
        return f"{self.package} is not installed" if done.returncode != 0 else None

    def compile(self):
        """None, or why it failed."""
        command = [*self.compiler, "-o", self.program, self.source_path, *self.libraries]
        environment = {**os.environ, "GOCACHE": os.path.join(BUILD, "gocache"), "GOPROXY": "off"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            return f"{' '.join(command)} failed: {done.stderr.strip()}"
        self.version = version_of(self.package)
        return None

    def build(self):
        """Compiles it and asks it what it can do: None, or why that failed."""
        os.makedirs(BUILD, exist_ok=True)
        reason = self.compile()
        if reason:
            return reason
        usage = subprocess.run([self.program], capture_output=True, text=True).stderr
        self.benches = set(re.search(r"^names:(.*)", usage, re.M)[1].split())
        return None


PEERS = (
    Peer("bare epoll_pwait2", "bare.c", C),
    Peer("State Threads", "st.c", C, ["-lst"], "st.h", "libst-dev"),
    Peer("Boost.Fiber", "boost_fiber.cpp", CXX, ["-lboost_fiber", "-lboost_context", "-lpthread"],
         "boost/fiber/all.hpp", "libboost-fiber-dev"),
    Peer("Boost.Context", "boost_context.cpp", CXX, ["-lboost_context"],
         "boost/context/detail/fcontext.hpp", "libboost-context-dev"),
    Peer("GNU Pth", "pth.c", C, ["-lpth"], "pth.h", "libpth-dev", divisor=100),
    Peer("Go", "go.go", GO, package="golang-go"),
    Peer("libev", "libev.c", C, ["-lev"], "ev.h", "libev-dev"),
    Peer("libuv", "libuv.c", C, ["-luv"], "uv.h", "libuv1-dev"),
    Peer("libevent", "libevent.c", C, ["-levent_core"], "event2/event.h", "libevent-dev"),
)


def which(tool):
    return subprocess.run(["which", tool], capture_output=True).returncode == 0


def version_of(package):
    """What the system's packages say, without Debian's own part; "" where they say nothing."""
    if not package or not which("dpkg-query"):
        return ""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Depends}|${Version}", package],
                          capture_output=True, text=True)
    depends, _, version = done.stdout.partition("|")
    real = re.search(r"^[a-z]+-[a-z]*-?(\d[\d.]+)", depends) # what a package of defaults depends on
    found = re.match(r"(?:\d+:)?(\d[\w.]*)", version)
    if package.startswith(("golang", "libboost")) and real:
        return real[1]
    return found[1] if found else ""


def build_peers(names=None):
    """Those that are installed, built; and a line for each of the others. `names`: only these."""
    built, lines = [], []
    for peer in PEERS:
        if names is not None and peer.name not in names:
            continue
        reason = peer.missing() or peer.build()
        if reason:
            lines.append(f"without {peer.label}: {reason} (tool/setup bench)")
        else:
            built.append(peer)
    return built, lines

"""The servers that tool/bench compares: coir's and its peers', each in a process of its own, under
the same client. A server is bench/server/<name>.{c,go}; it prints "port N" or "listening on …:N".

What counts is the server's processor time for one request, in microseconds: the time that passes
is the client's as much. In a run all servers are up, each with its client, and take short turns, so
that the machine's weather is the same for all. System calls are counted by the kernel (perf stat),
untraced, in a run of their own. User instructions are counted by callgrind, in a run whose client
asks in rounds (load.c) and in which coir's clock stands still (still.c): so the count depends
neither on how many requests a wait brings nor on how long they take, and is the same on a busy
machine.
"""

import contextlib
import datetime
import glob
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

import bench_report
from bench_peers import BUILD, C, GO, ROOT, Peer, which

# name -> (connections, requests of a turn)
ECHO = {"echo_1": (1, 5_000), "echo_50": (50, 20_000), "echo_1000": (1000, 20_000)}
HTTP = {"http_50": (50, 1)}  # connections, seconds
TURNS = 4 # of each server in a run
COUNTS = 5 # of system calls, each in a run of its own
NAMES = [*ECHO, *HTTP]
COUNTED = ("coir", "coir_lto", "bare", "libuv", "libevent") # valgrind cannot follow State Threads
CALLGRIND_REQUESTS = (1_000, 6_000) # whole rounds
CALLGRIND_RUNS = 3 # of which the least counts: the kernel can still bring a round in two parts
ANSWER = "hello, world\n"

# At most so many times the peer's processor time; so many system calls more than the peer; so many
# instructions.
TIME_LIMITS = {"echo_1": ("bare", 1.03), "echo_50": ("bare", 1.1), "echo_1000": ("bare", 1.1),
               "http_50": ("nginx", 0.9)}
CALLS_LIMIT = 0.12
INSTRUCTIONS_LIMIT = 280


class Server(Peer):
    """One server. What coir's is built of is the library of the preset release, or lto."""

    def __init__(self, label, source, compiler, libraries=(), header=None, package=None,
                 benches=(), name=None):
        super().__init__(label, source, compiler, libraries, header, package)
        self.source_path = os.path.join(ROOT, "bench", "server", source)
        self.benches = set(benches)
        self.name = name or self.name
        self.program = os.path.join(BUILD, "server", self.name)
        self.counted = self # what callgrind runs

    def build(self):
        os.makedirs(os.path.dirname(self.program), exist_ok=True)
        return self.compile() or (self.counted is not self and self.counted.build()) or None

    def command(self, name):
        if self.name == "http":
            return [self.program, "127.0.0.1:0"]
        return [self.program, *(["http"] if name in HTTP else [])]


class Nginx(Server):
    """nginx, with one worker and a configuration of its own."""

    CONFIG = """
        daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000; default_type text/plain;
            client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t;
            scgi_temp_path t;
            server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello, world\\n"; }} }}
        }}
    """

    def __init__(self):
        super().__init__("nginx", "nginx", ["nginx"], package="nginx-light", benches=HTTP)

    def missing(self):
        return None if which("nginx") else "nginx is not installed"

    def build(self):
        self.folder_of_run = tempfile.mkdtemp(prefix="coir-nginx-")
        return None

    def command(self, name):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = os.path.join(self.folder_of_run, "nginx.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(self.CONFIG.format(port=self.port))
        return ["nginx", "-p", self.folder_of_run, "-c", config]


def library(preset):
    return [f"-I{ROOT}/include", os.path.join(ROOT, "build", preset, "libcoir.a"), "-lpthread"]


LIBRARY = library("release")
COIR = Server("coir", "coir.c", C, LIBRARY, benches=ECHO)
COIR_LTO = Server("coir with LTO", "coir.c", [*C, "-O3", "-flto"], library("lto"), benches=ECHO,
                  name="coir_lto")
LLHTTP = ["-DLLHTTP_STRICT_MODE=1", "-I/usr/share/include/llhttp"]
COIR_HTTP = Server("coir", "http.c", [*C, *LLHTTP],
                   [*sorted(glob.glob("/usr/share/llhttp/*.c")), *LIBRARY], "llhttp.h",
                   "node-llhttp", benches=HTTP)
COIR_HTTP.source_path = os.path.join(ROOT, "example", "server", "http.c")
for still in (COIR, COIR_LTO):
    still.counted = Server(still.label, "coir.c", still.compiler, [
        os.path.join(ROOT, "bench", "server", "still.c"), "-Wl,--wrap=clock_gettime",
        *still.libraries], name=f"{still.name}_still")
LOAD = Server("the client", "load.c", C)
PEERS = (
    Server("bare epoll", "bare.c", C, benches=ECHO),
    Server("State Threads", "st.c", C, ["-lst"], "st.h", "libst-dev", benches=ECHO),
    Server("libuv", "libuv.c", C, ["-luv"], "uv.h", "libuv1-dev", benches=ECHO),
    Server("libevent", "libevent.c", C, ["-levent_core"], "event2/event.h", "libevent-dev",
           benches=ECHO),
    Server("Go", "go.go", GO, package="golang-go", benches=NAMES),
    Nginx(),
)


# ---- one run

def on_cpu(number):
    return lambda: os.sched_setaffinity(0, {number % os.cpu_count()})


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [int(child) for child in found.split()]


def cpu_ns(pids):
    """What the threads of these processes have run, to the nanosecond."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total


class Running:
    """A server that runs, for the length of a with block."""

    def __init__(self, server, name, prefix=()):
        self.command, self.server = [*prefix, *server.command(name)], server

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.PIPE if "valgrind" in self.command
                                        else None, preexec_fn=on_cpu(0))
        if isinstance(self.server, Nginx):
            self.port = self.server.port
            self.wait_for_port()
        else:
            self.port = int(re.search(r"(\d+)\s*$", self.process.stdout.readline())[1])
        self.pids = [self.process.pid, *children(self.process.pid)]
        return self

    def wait_for_port(self):
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("tool/bench: nginx does not listen")

    def __exit__(self, *error):
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT) # a client that failed may have left it stopped
        self.errors = self.process.communicate()[1]


class Client:
    """The client of a run: what it costs is not counted. Given the server's process, it asks in
    rounds."""

    def __init__(self, name, port, requests=None, process=None):
        self.is_http = name in HTTP
        if self.is_http:
            count, seconds = HTTP[name]
            self.command = ["wrk", "-t1", f"-c{count}", f"-d{seconds}s",
                            f"http://127.0.0.1:{port}/"]
        else:
            count, usual = ECHO[name]
            self.requests = requests or usual
            self.command = [LOAD.program, str(port), str(count), str(self.requests),
                            *([str(process)] if process else [])]

    def start(self):
        return subprocess.Popen(self.command, stdin=subprocess.PIPE, text=True,
                                stdout=subprocess.PIPE, preexec_fn=on_cpu(1))

    def __enter__(self):
        if not self.is_http:
            self.process = self.start()
            self.expect("ready")
        return self

    def __exit__(self, *error):
        if not self.is_http:
            self.process.communicate()

    def expect(self, word):
        if not self.process.stdout.readline().startswith(word):
            raise SystemExit(f"tool/bench: {' '.join(self.command)} failed")

    def run(self):
        """A turn; the number of requests. wrk connects anew in each."""
        if not self.is_http:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            self.expect("ns")
            return self.requests
        out = self.start().communicate()[0]
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"tool/bench: {' '.join(self.command)}: {out}")
        return int(re.search(r"(\d+) requests in", out)[1])


def run_together(servers, name):
    """The microseconds of a request for each server; whose turn it is first changes."""
    with contextlib.ExitStack() as stack:
        up = [stack.enter_context(Running(server, name)) for server in servers]
        clients = [stack.enter_context(Client(name, running.port)) for running in up]
        spent, requests = [0] * len(servers), [0] * len(servers)
        for turn in range(TURNS):
            for at in range(len(servers)):
                i = (at + turn) % len(servers)
                before = cpu_ns(up[i].pids)
                requests[i] += clients[i].run()
                spent[i] += cpu_ns(up[i].pids) - before
        return [ns / count / 1000 for ns, count in zip(spent, requests)]


def system_calls(servers, name):
    """For one request, of each server: medians, since how many requests a wait brings varies. None
    where the kernel does not let us count."""
    if not which("perf"):
        return None
    counts = [[count_calls(server, name) for server in servers] for _ in range(COUNTS)]
    if None in sum(counts, []):
        return None
    return {server.label: statistics.median(of_one) for server, of_one in
            zip(servers, zip(*counts))}


def count_calls(server, name):
    with Running(server, name) as running, Client(name, running.port) as client:
        counter = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p",
                                    ",".join(map(str, running.pids))], stderr=subprocess.PIPE,
                                   text=True)
        time.sleep(0.3)
        requests = sum(client.run() for _ in range(TURNS))
        counter.send_signal(signal.SIGINT)
        found = re.search(r"^(\d+),.*raw_syscalls", counter.communicate()[1], re.M)
    return int(found[1]) / requests if found else None


def instructions(server, name="echo_50"):
    least = [min(count_instructions(server.counted, name, requests) for _ in range(CALLGRIND_RUNS))
             for requests in CALLGRIND_REQUESTS]
    return (least[1] - least[0]) / (CALLGRIND_REQUESTS[1] - CALLGRIND_REQUESTS[0])


def count_instructions(server, name, requests):
    prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    with Running(server, name, prefix) as running, \
            Client(name, running.port, requests, running.process.pid) as client:
        client.run()
    found = re.search(r"Collected : (\d+)", running.errors)
    if not found:
        raise SystemExit(f"tool/bench: callgrind counted nothing: {running.errors}")
    return int(found[1])


def count():
    """Label -> instructions of a request to coir's echo servers."""
    counts = {}
    for server in (COIR, COIR_LTO):
        reason = LOAD.build() or server.build()
        if reason:
            raise SystemExit(f"tool/bench: {reason}")
        counts[server.label] = instructions(server)
    return counts


# ---- all of them

def build(wanted):
    """The servers that can be built, ours first, and a line for each of the others."""
    built, lines = [], []
    for server in (LOAD, COIR, COIR_LTO, COIR_HTTP, *PEERS):
        if server is not LOAD and not server.benches & set(wanted):
            continue
        reason = server.missing() or server.build()
        if reason:
            lines.append(f"without {server.label} ({server.source}): {reason} (tool/setup bench)")
        elif server is not LOAD:
            built.append(server)
    if set(wanted) & set(HTTP) and not which("wrk"):
        lines.append("without http_50: wrk is not installed (tool/setup bench)")
        built = [server for server in built if not server.benches <= set(HTTP)]
    return built, lines


def measure(names, servers, runs, progress):
    """name -> server's name -> {"cpu_us", "spread", "ratio" (to ours: theirs), "calls"}"""
    results = {}
    for name in names:
        beside = [server for server in servers if name in server.benches]
        samples = {server.label: [] for server in beside}
        for i in range(runs):
            progress(f"run {i + 1} of {runs}: {name}")
            for server, cpu_us in zip(beside, run_together(beside, name)):
                samples[server.label].append(cpu_us)
        results[name] = {}
        progress(f"counting: {name}")
        calls = system_calls(beside, name)
        for server in beside:
            values = samples[server.label]
            result = {"name": server.name, "cpu_us": statistics.median(values),
                      "spread": (max(values) - min(values)) / statistics.median(values),
                      "ratio": statistics.median(ours / theirs for ours, theirs in
                                                 zip(samples["coir"], values))}
            if calls:
                result["calls"] = calls[server.label]
            if name == "echo_50" and server.name in COUNTED and which("valgrind"):
                result["instructions"] = instructions(server)
            results[name][server.label] = result
    progress("")
    return results


def show(results):
    print(f"{'':11}{'':15}{'cpu µs':>9}{'spread':>8}{'ours/theirs':>13}{'calls':>8}"
          f"{'instructions':>14}")
    for name, servers in results.items():
        for label, result in servers.items():
            print(f"{name:11}{label:15}{result['cpu_us']:9.2f}{result['spread']:8.0%}"
                  f"{result['ratio']:13.3f}"
                  + (f"{result['calls']:8.3f}" if "calls" in result else " " * 8)
                  + (f"{result['instructions']:14.0f}" if "instructions" in result else ""))


def check_targets(results):
    """Prints one line for each target; returns how many passed, failed, were skipped."""
    totals = {"ok": 0, "FAIL": 0, "skip": 0}

    def say(verdict, text):
        totals[verdict] += 1
        print(f"{verdict} {text}")

    for name, servers in results.items():
        peer, limit = TIME_LIMITS[name]
        named = {result["name"]: result for result in servers.values()}
        ours = servers.get("coir")
        if not ours or peer not in named:
            say("skip", f"{name}: {peer} or our own is missing")
            continue
        ratio = named[peer]["ratio"]
        say("ok" if ratio <= limit else "FAIL",
            f"{name}: {ratio:.3f} of {peer}'s processor time, at most {limit:.2f}"
            + ("; a noisy run" if bench_report.noisy(ours) else ""))
        if name in ECHO and "calls" in ours:
            more = ours["calls"] - named[peer]["calls"]
            say("ok" if more <= CALLS_LIMIT else "FAIL",
                f"{name}: {more:+.3f} system calls beside {peer}'s {named[peer]['calls']:.3f}, "
                f"at most +{CALLS_LIMIT}")
        if "instructions" in ours:
            say("ok" if ours["instructions"] <= INSTRUCTIONS_LIMIT else "FAIL",
                f"{name}: {ours['instructions']:.0f} instructions, at most {INSTRUCTIONS_LIMIT}")
    return totals["ok"], totals["FAIL"], totals["skip"]


def table(results):
    labels = []
    for servers in results.values():
        labels += [label for label in servers if label not in labels]
    rows = [["", *labels], ["---"] + ["--:"] * len(labels)]
    for name, servers in results.items():
        rows.append([f"{name}, µs", *(f"{servers[label]['cpu_us']:.2f}"
                                      + (" ~" if bench_report.noisy(servers[label]) else "")
                                      if label in servers else "" for label in labels)])
        if any("calls" in result for result in servers.values()):
            rows.append(["system calls", *(f"{servers[label]['calls']:.2f}"
                                           if "calls" in servers.get(label, {}) else ""
                                           for label in labels)])
        if any("instructions" in result for result in servers.values()):
            rows.append(["instructions", *(f"{servers[label]['instructions']:.0f}"
                                           if "instructions" in servers.get(label, {}) else ""
                                           for label in labels)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def write_readme(results, runs):
    load = " and ".join(f"{value:.1f}" for value in os.getloadavg()[1:])
    head = (f"Measured on {datetime.date.today()}, medians of {runs} interleaved runs; load {load} "
            "in the last 5 and 15 minutes. Each row: the server's processor time for one request, "
            "in microseconds; below it, system calls and user instructions for one request.\n")
    for path in ("README.md", os.path.join("bench", "README.md")):
        bench_report.replace_section(os.path.join(ROOT, path),
                                     f"{bench_report.paragraph(head)}\n{table(results)}\n",
                                     "tool/bench --readme, servers")


def clean(servers):
    for server in servers:
        if isinstance(server, Nginx):
            shutil.rmtree(server.folder_of_run, ignore_errors=True)

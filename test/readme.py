#!/usr/bin/env python3
"""Runs the commands of README.md as they are printed, but for `./check`, in a copy of this tree.

usage: test/readme.py [--fresh]

--fresh   on a Debian 12 that debootstrap makes for it, below build/fresh: as root, with nothing
          installed but git and python3
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FRESH = os.path.join(ROOT, "build", "fresh")
MADE = os.path.join(FRESH, "etc", "coir-fresh")


def commands(text):
    """Lines that begin with four spaces, and what stands between backticks."""
    for line in text.split("\n"):
        if found := re.match(r"    ((?:cc|\./)\S*(?: \S+)*)", line):
            yield found[1]
        else:
            yield from (code for code in re.findall(r"`([^`]*)`", line)
                        if re.match(r"(cc|cmake|apt) [^.]", code))


def prepare(work):
    """A clone, and the first program of the README as your.c."""
    subprocess.run(["git", "clone", "-q", ROOT, work], check=True)
    with open(os.path.join(work, "README.md"), encoding="utf-8") as file:
        text = file.read()
    with open(os.path.join(work, "your.c"), "w", encoding="utf-8") as file:
        file.write(re.search(r"```c\n(.*?)```", text, re.S)[1])
    return text


def run(command, work, environment):
    """None, or what is wrong."""
    words = command.replace(" DIR", f" {work}/prefix").replace("apt install",
                                                              "apt-get -qq install -y")
    done = subprocess.run(["bash", "-c", words], cwd=work, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        return f"exit status {done.returncode}\n{done.stdout[-2000:]}"
    if "your.c" in command:
        out = subprocess.run(["./a.out"], cwd=work, capture_output=True, text=True).stdout
        if out != "hello after 10 ms\n":
            return f"the program prints {out!r}"
    return None


def run_all():
    """Prints a line for each; returns the exit status."""
    totals = {"ok": 0, "FAIL": 0, "skip": 0}

    def say(verdict, text):
        totals[verdict] += 1
        print(f"{verdict} {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        work = os.path.join(folder, "coir")
        text = prepare(work)
        environment = dict(os.environ, PKG_CONFIG_PATH=f"{work}/prefix/lib/pkgconfig")
        for command in commands(text):
            if command.startswith("./check"):
                continue
            if "apt install" in command and not os.path.exists("/etc/coir-fresh"):
                say("skip", f"{command}: this machine is not made for the test")
            elif fault := run(command, work, environment):
                say("FAIL", command + "\n    " + fault.replace("\n", "\n    "))
            else:
                say("ok", command)
    print("{ok} passed, {FAIL} failed, {skip} skipped".format(**totals))
    return 1 if totals["FAIL"] else 0


def mirror():
    """Where this machine has Debian 12 from, if it has."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"],
                          capture_output=True, text=True, check=False)
    found = re.findall("^bookworm (.*)$", done.stdout, re.M)
    return found[:1]


def make_fresh():
    """A new Debian, which has its packages from where this machine has them."""
    shutil.rmtree(FRESH, ignore_errors=True)
    subprocess.run(["debootstrap", "--variant=minbase", "--include=git,python3,ca-certificates",
                    "bookworm", FRESH, *mirror()], check=True, stdout=subprocess.DEVNULL)
    shutil.copy("/etc/resolv.conf", os.path.join(FRESH, "etc"))
    if mirror():
        os.remove(os.path.join(FRESH, "etc", "apt", "sources.list"))
        shutil.copytree("/etc/apt", os.path.join(FRESH, "etc", "apt"), dirs_exist_ok=True)
    with open(MADE, "w", encoding="utf-8") as file:
        file.write("made by test/readme.py\n")


def run_fresh():
    """The same in a new Debian."""
    for tool in ("debootstrap", "unshare"):
        if not shutil.which(tool):
            print(f"skip readme: {tool} is not installed\n0 passed, 0 failed, 1 skipped")
            return 0
    if os.geteuid() != 0:
        print("skip readme: debootstrap needs root\n0 passed, 0 failed, 1 skipped")
        return 0
    if not os.path.exists(MADE):
        make_fresh()
    inside = os.path.join(FRESH, "src")
    shutil.rmtree(inside, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", ROOT, inside], check=True)
    script = f"mount -t proc proc {FRESH}/proc && exec chroot {FRESH} python3 /src/test/readme.py"
    return subprocess.run(["unshare", "-m", "-p", "--fork", "bash", "-c", script]).returncode


if __name__ == "__main__":
    sys.exit(run_fresh() if "--fresh" in sys.argv else run_all())

#!/usr/bin/env python3
"""Every piece of code in README.md, in doc/from-go.md and in the comments of the headers runs.

usage: test/snippets.py OUTPUT      OUTPUT: a folder for the programs

A piece is what is indented in a comment, or fenced in README.md. Each has a frame here: a program
in which CODE stands for the piece. In doc/from-go.md each page is a heading, the line "Lines: 12,
Go's 8.", a complete program and its output: the line must be true, and the program at most 1.6
times as long as Go's. Prints one line per piece or page, and the totals.
"""
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

BEGIN = """#include <coir_buffer.h>
#include <coir_io.h>
#include <coir_local.h>
#include <coir_loop.h>
#include <coir_net.h>
#include <coir_select.h>
#include <coir_shared.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
"""

# By the first line of the piece: what is replaced in it, the frame, and what it prints.
FRAMES = {
    "#include <coir.h>": ({}, "CODE", "hello after 10 ms\n"),
    "static int hello(void *arg)": ({}, BEGIN + "CODE", "hello\n"),
    "coir_scope scope;": ({}, BEGIN + """
static int fetch(void *arg) { puts(arg); return coir_yield(); }
static int read_reply(int fd) { return printf("reply %d\\n", fd); }
static int fetch_two(void *arg)
{
    int fd = 7;
    char *a = arg, *b = arg;
    CODE
}
int main(void)
{
    int result = 0;
    int error = coir_run(fetch_two, "fetched", NULL, &result);
    printf("%d %d\\n", error, result);
}""", "reply 7\nfetched\nfetched\n0 8\n"),
    "coir_scope_open(&next, COIR_NEVER, COIR_SOFT);": ({}, BEGIN + """
static int fds[2];
static int waits(void *arg)
{
    char buf[8];
    int fd = fds[0];
    coir_scope next;
    (void)arg;
    CODE
    return result;
}
static int winds_down(void *arg)
{
    coir_scope scope;
    coir_fiber fiber;
    int results[2] = {-1, -1};
    coir_pipe(fds);
    coir_scope_open(&scope, COIR_NEVER, 0);
    coir_write(fds[1], "x", 1, COIR_NEVER);
    for (int i = 0; i < 2; i++) {
        coir_spawn(&fiber, waits, arg, NULL);
        coir_yield();
        if (i == 1)
            coir_scope_wind_down(&scope, COIR_SEC(1));
        coir_join(fiber, &results[i], COIR_NEVER);
    }
    printf("%d %d\\n", results[0], results[1]);
    return coir_scope_end(&scope, 0);
}
int main(void) { return coir_run(winds_down, NULL, NULL, NULL); }""", "1 0\n"),
    "static coir_event ready;   // all zeros: as good as new": ({}, BEGIN + """
CODE
static int both(void *arg)
{
    (void)arg;
    coir_spawn(NULL, opener, "open", NULL);
    return coir_spawn(NULL, visitor, "in", NULL);
}
int main(void) { return coir_run(both, NULL, NULL, NULL); }""", "open\nin\n"),
    "while (!condition && result == 0)": ({}, BEGIN + """
static coir_queue queue;
static bool condition;
static int waits(void *arg)
{
    int result = 0;
    coir_time until = COIR_NEVER;
    CODE
    return result == 0 ? puts(arg) : result;
}
static int both(void *arg)
{
    coir_spawn(NULL, waits, arg, NULL);
    coir_yield();
    condition = true;
    return (int)coir_queue_wake(&queue, 1);
}
int main(void) { return coir_run(both, "true", NULL, NULL); }""", "true\n"),
    "static int producer(void *arg)": ({}, BEGIN + """
CODE
static coir_chan chan;
static int both(void *arg)
{
    COIR_SCOPE(scope, COIR_NEVER, 0);
    coir_chan_open(&chan, sizeof(int), 0);
    coir_spawn(NULL, producer, &chan, NULL);
    coir_spawn(NULL, consumer, &chan, NULL);
    (void)arg;
    return coir_scope_end(&scope, 0);
}
int main(void)
{
    int error = coir_run(both, NULL, NULL, NULL);
    coir_chan_free(&chan, NULL, NULL);
    return error;
}""", "0\n1\n2\n"),
    "enum { QUIT, JOB };": ({}, BEGIN + """
CODE
static int all(void *arg)
{
    coir_event quit = {{0}};
    coir_chan jobs;
    int job = 7, got = 0;
    (void)arg;
    coir_chan_open(&jobs, sizeof job, 1);
    coir_chan_send(&jobs, &job, COIR_NEVER);
    int result = next_job(&quit, &jobs, &got);
    printf("%d %d\\n", result, got);
    coir_event_set(&quit);
    printf("%d\\n", next_job(&quit, &jobs, &got) == -EPIPE);
    coir_chan_free(&jobs, NULL, NULL);
    return 0;
}
int main(void) { return coir_run(all, NULL, NULL, NULL); }""", "0 7\n1\n"),
    "coir_subscriber prices = coir_broadcast_subscribe(broadcast);": ({}, BEGIN + """
static coir_broadcast market, *broadcast = &market;
static void prices_of(void)
{
    CODE
}
static int trades(void *arg)
{
    prices_of();
    return puts(arg);
}
static int all(void *arg)
{
    int result = coir_broadcast_open(broadcast, sizeof(int), 2);
    coir_spawn(NULL, trades, arg, NULL);
    coir_yield();
    for (int i = 1; i <= 4; i++)
        result = coir_broadcast_send(broadcast, &i);
    coir_broadcast_close(broadcast);
    return result;
}
int main(void)
{
    int result = coir_run(all, "closed", NULL, NULL);
    coir_broadcast_free(broadcast);
    return result;
}""", "1, after 0 that were missed\n3, after 1 that were missed\n"
     "4, after 0 that were missed\nclosed\n"),
    "static int squares(coir_chan *out, void *arg)": ({}, BEGIN + """
CODE
static int all(void *arg)
{
    coir_generator generator;
    int item;
    coir_generator_open(&generator, sizeof item, squares, arg);
    for (int i = 0; i < 3 && coir_generator_next(&generator, &item, COIR_NEVER) == 0; i++)
        printf("%d\\n", item);
    return printf("%d\\n", coir_generator_close(&generator) == 0);
}
int main(void) { return coir_run(all, NULL, NULL, NULL); }""", "0\n1\n4\n1\n"),
    "static coir_shared_chan jobs;   // opened before the thread began, freed after it has ended":
    ({}, BEGIN + """
CODE
int main(void)
{
    pthread_t thread;
    int result = 1;
    coir_shared_chan_open(&jobs, sizeof(int), 2);
    pthread_create(&thread, NULL, worker, NULL);
    int error = coir_run(giver, NULL, NULL, &result);
    pthread_join(thread, NULL);
    coir_shared_chan_free(&jobs, NULL, NULL);
    return error | result;
}""", "1\n4\n9\n"),
    "static const coir_local REQUEST = {.destroy = free};": ({}, BEGIN + """
CODE
static int sets(void *arg)
{
    coir_local_set(&REQUEST, strdup(arg));
    return puts(coir_local_get(&REQUEST));
}
int main(void) { return coir_run(sets, "a request", NULL, NULL); }""", "a request\n"),
    "coir_loop *loop;": ({"for (;;)": "for (int turn = 0; turn < 1; turn++)"}, BEGIN + """
static void serve(void *user, unsigned flags) { printf("%s %d\\n", (char *)user, flags != 0); }
int main(void)
{
    int fds[2], fd = pipe(fds) == 0 ? fds[0] : -1;
    char connection[] = "a connection";
    if (write(fds[1], "x", 1) != 1)
        return 1;
    CODE
    coir_loop_close(loop);
}""", "a connection 1\n"),
    "static int greet(int fd, void *arg)": ({
        "…": "coir_write(fd, line, strlen(line), COIR_NEVER);",
        "127.0.0.1:7000": "127.0.0.1:0",
        "}\nint listener": """}
static int client(void *arg)
{
    coir_addr addr;
    char text[COIR_ADDR_TEXT], answer[3] = "";
    int listener = *(int *)arg;
    coir_net_local(listener, &addr);
    coir_addr_text(&addr, text, sizeof text);
    int fd = coir_net_dial(text, NULL, COIR_NEVER);
    coir_write(fd, "hi\\n", 3, COIR_NEVER);
    coir_read(fd, answer, 2, COIR_NEVER);
    puts(answer);
    coir_close(fd);
    return coir_close(listener);
}
static int run(void *arg)
{
    int listener""",
        "coir_net_serve(listener": "coir_spawn(NULL, client, &listener, NULL);\n"
                                   "return arg ? 1 : coir_net_serve(listener",
    }, BEGIN + """
CODE
}
int main(void) { return coir_run(run, NULL, NULL, NULL); }""", "hi\n"),
}
CC = ["cc", "-std=gnu11", "-Wall", "-Werror", "-Iinclude"]
STRICT = ["-std=c11", "-Wextra", "-pedantic"]  # what a page's program is built with beside these
NO_CODE = ("127.0.0.1:80",)
PAGES = "doc/from-go.md"
PAGE = re.compile(r"## .*?^Lines: (\d+), Go's (\d+)\.\n\n"
                  r"```c\n(.*?)^```\n\n```text\n(.*?)^```\n", re.M | re.S)
LONGER_MAX = 1.6
COLUMNS_MAX = 100


def pieces():
    for path in ["README.md"] + sorted(glob.glob("include/*.h")):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if path.endswith(".md"):
            for code in re.findall(r"^```c\n(.*?)^```", text, re.M | re.S):
                yield path, code
            continue
        for code in re.findall(r"(?:^ \*     .*\n)+", text, re.M):
            code = re.sub(r"^ \*     ", "", code, flags=re.M).replace("*/", "")
            if not code.startswith(NO_CODE):
                yield path, code


def try_program(source, flags, expected, program):
    """Builds and runs it. Returns what is wrong, "" if nothing is."""
    with open(program + ".c", "w", encoding="utf-8") as file:
        file.write(source)
    library = os.path.join(os.path.dirname(program), "coir.o")
    port = glob.glob(f"src/ctx/{os.uname().machine}*.S")
    built = subprocess.run([*CC, *flags, "-o", program, program + ".c", library, *port,
                            "-lpthread"], capture_output=True, text=True)
    if built.returncode != 0:
        return built.stderr
    ran = subprocess.run([program], capture_output=True, text=True, timeout=60)
    if ran.returncode != 0 or ran.stdout != expected:
        return f"exit status {ran.returncode}: printed {ran.stdout!r} {ran.stderr!r}"
    return ""


def try_piece(code, program):
    first = code.split("\n", 1)[0]
    if first not in FRAMES:
        return "it has no frame in test/snippets.py"
    changes, frame, expected = FRAMES[first]
    for old, new in changes.items():
        if old not in code:
            return f"it has no '{old}'"
        code = code.replace(old, new, 1)
    return try_program(frame.replace("CODE", code, 1), [], expected, program)


def count_lines(code):
    """Those that are neither blank nor only a comment."""
    code = re.sub(r"^\s*(/\*.*?\*/|//.*?$)\s*$", "", code, flags=re.M | re.S)
    return sum(line.strip() != "" for line in code.split("\n"))


def try_page(section, program):
    page = PAGE.fullmatch(section.rstrip("\n") + "\n")
    if not page or section.count("```") != 4:
        return "it is no text, number of lines, program and output"
    lines, lines_go, code, expected = page.groups()
    count = count_lines(code)
    if count != int(lines):
        return f"the program has {count} lines, not {lines}"
    if count > LONGER_MAX * int(lines_go):
        return f"{count} lines are more than {LONGER_MAX} times Go's {lines_go}"
    for line in code.split("\n"):
        if len(line) > COLUMNS_MAX:
            return f"{len(line)} columns, more than {COLUMNS_MAX}: {line}"
    return try_program(code, STRICT, expected, program)


def main():
    output, failed, jobs = sys.argv[1], 0, []
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    os.makedirs(output, exist_ok=True)
    subprocess.run([*CC, "-c", "-o", os.path.join(output, "coir.o"), "src/coir.c"], check=True)
    for path, code in pieces():
        jobs.append((path, code.split("\n", 1)[0], try_piece, code))
    with open(PAGES, encoding="utf-8") as file:
        pages = re.split(r"^(?=## )", file.read(), flags=re.M)[1:]
    for page in pages:
        jobs.append((PAGES, page.split("\n", 1)[0][3:], try_page, page))
    with ThreadPoolExecutor(2) as pool:
        faults = pool.map(lambda job, number: job[2](job[3], f"{output}/snippet_{number}"),
                          jobs, range(1, len(jobs) + 1))
        for (path, name, _, _), fault in zip(jobs, faults):
            print(f"{'FAIL' if fault else 'ok'} {path}: {name}", flush=True)
            if fault:
                print("    " + fault.strip().replace("\n", "\n    "))
            failed += bool(fault)
    for first in FRAMES.keys() - {name for _, name, _, _ in jobs}:
        print(f"FAIL there is no piece of code that begins with {first}")
        failed += 1
    if not pages:
        print(f"FAIL {PAGES} has no pages")
        failed += 1
    print(f"{len(jobs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

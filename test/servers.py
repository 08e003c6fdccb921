#!/usr/bin/env python3
"""Tries the servers of example/server with real clients: curl, wrk, the client program, and sockets
that misbehave.

usage: test/servers.py BUILD:WORLD… [FILTER]

Each test runs for each BUILD (a build tree) and WORLD; FILTER: only those whose name contains it.
A server must end with status 0, having printed the line that says where it listens and nothing
else: so a leak that a sanitizer reports is a failure too.
"""
import concurrent.futures
import resource
import socket
import subprocess
import sys
import threading
import time

import servers_http
from peers import (PATIENCE_S, Late, Place, Server, Skip, among_the_bad, check, check_equal,
                   check_time, fill, read_all, read_exactly, send_in_pieces)

TRIES = 5 # of a test that finds something late: a fault makes it late each time
ONCE = ("test_echo_serves_ten_thousand_at_once",)  # in the first place only: poll does not scale


# ---- echo


def test_echo_brings_every_byte_back(place):
    with Server(place, "echo") as server:
        place.echo_client(server.address, 50, 40)


def test_echo_serves_ten_thousand_at_once(place):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 10100:
        raise Skip("so many descriptors are not to be had")
    with Server(place, "echo") as server:
        place.echo_client(server.address, 10000, 3)


def check_echo(peer):
    peer.sendall(b"good")
    check_equal(read_exactly(peer, 4), b"good")


def test_echo_suffers_no_bad_peer(place):
    with Server(place, "echo", 60, 1) as server:
        slow = among_the_bad(server, b"a request of some length\n", check_echo)
        slow.shutdown(socket.SHUT_WR)
        check_equal(read_all(slow), 2 * b"a request of some length\n")


def test_echo_gives_up_who_never_reads(place):
    with Server(place, "echo", 1) as server, server.connect() as peer:
        fill(peer)
        peer.settimeout(PATIENCE_S)
        try:
            read_all(peer)
        except ConnectionResetError:
            pass


def test_echo_ends_at_once_when_all_are_idle(place):
    with Server(place, "echo") as server:
        peers = [server.connect() for _ in range(20)]
        for peer in peers:
            peer.sendall(b"x")
            check_equal(read_exactly(peer, 1), b"x")
        server.term()
        server.term()
        for peer in peers:
            check_equal(read_all(peer), b"")
        server.end(most_s=1)


def test_echo_cuts_off_at_the_grace(place):
    with Server(place, "echo", 60, 1) as server, server.connect() as peer:
        fill(peer)
        server.term()
        server.check_refuses()
        server.end(least_s=0.5, most_s=2)


def test_an_address_in_use_is_told(place):
    with Server(place, "echo") as server:
        done = subprocess.run([place.program("echo"), server.address], capture_output=True,
                              text=True, timeout=PATIENCE_S, check=False)
        check_equal((done.returncode, done.stdout), (1, ""))
        check(done.stderr.endswith(f"{server.address}: EADDRINUSE\n"), done.stderr)


# ---- chat


def test_chat_lines_go_to_all_others_in_order(place):
    with Server(place, "chat") as server:
        peers = [server.connect() for _ in range(5)]
        server.settle()
        for round_ in range(20):
            for who, peer in enumerate(peers):
                peer.sendall(f"{who} says {round_}\r\n".encode())
        for who, peer in enumerate(peers):
            lines = read_exactly(peer, sum(len(f"{other} says {round_}\n") for round_ in range(20)
                                           for other in range(5) if other != who))
            for other in range(5):
                said = [int(line.split()[2]) for line in lines.decode().splitlines()
                        if line.startswith(f"{other} ")]
                check_equal(said, [] if other == who else list(range(20)))
        peers[0].shutdown(socket.SHUT_WR)
        check_equal(read_all(peers[0]), b"")


def test_regress_chat_cuts_lines_at_nul(place):
    with Server(place, "chat") as server:
        talker, listener = server.connect(), server.connect()
        server.settle()
        talker.sendall(b"a\0b\r\n\0\n\n")
        check_equal(read_exactly(listener, 7), b"a\0b\n\0\n\n")


def test_chat_sends_a_slow_reader_away(place):
    with Server(place, "chat") as server:
        deaf, talker, listener = server.connect(), server.connect(), server.connect()
        server.settle()
        line = b"x" * 1000 + b"\n"
        slowest = 0.0
        for _ in range(12000):
            began = time.monotonic()
            talker.sendall(line)
            check_equal(read_exactly(listener, len(line)), line)
            slowest = max(slowest, time.monotonic() - began)
        check_time(slowest < 1 * place.slow, f"the slowest line took {slowest:.2f} s")
        deaf.settimeout(PATIENCE_S)
        try:
            check(len(read_all(deaf)) < 12000 * len(line), "the slow one got all")
        except ConnectionResetError:
            pass
        server.term()
        server.end(most_s=1)


def test_chat_suffers_no_bad_peer(place):
    with Server(place, "chat", 60, 1) as server, server.connect() as listener:
        heard = listener.makefile("rb")

        def good(peer):
            peer.sendall(b"good\n")
            while (line := heard.readline()) != b"good\n":
                check(line, "the listener was sent away")

        among_the_bad(server, b"a line of some length\n", good).close()


# ---- proxy


def test_proxy_brings_every_byte_back(place):
    with Server(place, "echo") as echo:
        with Server(place, "proxy", before=[echo.address]) as server:
            place.echo_client(server.address, 50, 20)


def test_proxy_passes_on_the_end_of_one_direction(place):
    with Server(place, "echo") as echo, Server(place, "proxy", before=[echo.address]) as server:
        with server.connect() as peer:
            data = bytes(range(256)) * 1000
            sender = threading.Thread(target=lambda: (peer.sendall(data),
                                                      peer.shutdown(socket.SHUT_WR)))
            sender.start()
            check(read_all(peer) == data, "not all came back")
            sender.join()


def test_proxy_closes_what_is_silent_in_both_directions(place):
    with socket.create_server(("127.0.0.1", 0)) as target:
        address = f"127.0.0.1:{target.getsockname()[1]}"
        with Server(place, "proxy", 1, before=[address]) as server, server.connect() as peer:
            up = target.accept()[0]
            began = time.monotonic()
            for _ in range(8):
                time.sleep(0.25)
                up.sendall(b"x") # the other direction is silent
                check_time(time.monotonic() - began < 0.7, "this client")
                began = time.monotonic()
                check_equal(read_exactly(peer, 1), b"x")
            check_equal(read_all(peer), b"")
            check_equal(read_all(up), b"")
            took = time.monotonic() - began
            check_time(0.8 < took < 2 * place.slow, f"closed after {took:.2f} s")
            up.close()


def test_regress_proxy_loses_what_the_target_said_before_it_reset(place):
    """The target answers and closes with most of the request unread, as one that refuses it."""
    def answer(target):
        while True:
            try:
                peer = target.accept()[0]
            except OSError:
                return
            with peer:
                peer.recv(10)
                peer.sendall(b"early")

    with socket.create_server(("127.0.0.1", 0)) as target:
        threading.Thread(target=answer, args=(target,), daemon=True).start()
        with Server(place, "proxy", before=[f"127.0.0.1:{target.getsockname()[1]}"]) as server:
            for size in 20 * (2000, 10000, 100000, 1000000):
                with server.connect() as peer:
                    sender = threading.Thread(target=send_in_pieces,
                                              args=(peer, bytes(size), 1000))
                    sender.start()
                    check_equal(read_all(peer), b"early")
                    sender.join()
        target.shutdown(socket.SHUT_RDWR)


def test_proxy_suffers_no_bad_peer(place):
    with Server(place, "echo", 60, 1) as echo:
        with Server(place, "proxy", 60, 1, before=[echo.address]) as server:
            slow = among_the_bad(server, b"a request of some length\n", check_echo)
            slow.shutdown(socket.SHUT_WR)
            check_equal(read_all(slow), 2 * b"a request of some length\n")


def test_proxy_without_target_closes(place):
    with socket.create_server(("127.0.0.1", 0)) as target:
        address = f"127.0.0.1:{target.getsockname()[1]}"
    with Server(place, "proxy", before=[address]) as server, server.connect() as peer:
        check_equal(read_all(peer), b"")


def test_proxy_lets_go_on_until_the_grace(place):
    with Server(place, "echo") as echo:
        with Server(place, "proxy", 60, 1, before=[echo.address]) as server:
            with server.connect() as peer:
                peer.sendall(b"x")
                check_equal(read_exactly(peer, 1), b"x")
                server.term()
                server.check_refuses()
                peer.sendall(b"y")
                check_equal(read_exactly(peer, 1), b"y")
                check_equal(read_all(peer), b"")
                server.end(most_s=1.5)


# ---- Running them


def try_until_in_time(test, place):
    for _ in range(TRIES - 1):
        try:
            return test(place)
        except Late:
            pass
    return test(place)


def run(test, place):
    """The line that tells of a test, and its place in the totals."""
    name = f"{test.__name__} ({place.name})"
    try:
        note = try_until_in_time(test, place)
        return f"ok {name}" + (f": {note}" if note else ""), 0
    except Skip as reason:
        return f"skip {name}: {reason}", 2
    except Exception as fault:  # pylint: disable=broad-except
        at, lines = fault.__traceback__, []
        while at:
            lines.append(str(at.tb_lineno))
            at = at.tb_next
        return f"FAIL {name}: lines {', '.join(lines)}\n    {type(fault).__name__}: {fault}", 1


def main():
    places = [Place(text) for text in sys.argv[1:] if ":" in text]
    chosen = [text for text in sys.argv[1:] if ":" not in text] or [""]
    tests = [value for name, value in [*globals().items(), *vars(servers_http).items()]
             if name.startswith("test_") and chosen[0] in name]
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(run, test, place) for place in places for test in tests
                    if place is places[0] or test.__name__ not in ONCE]:
            line, result = job.result()
            print(line, flush=True)
            totals[result] += 1
    print("{} passed, {} failed, {} skipped".format(*totals))
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main())

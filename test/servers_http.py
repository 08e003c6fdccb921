"""The tests of example/server/http: curl, wrk, h2load, what the standards ask, and bad peers."""
import concurrent.futures
import re
import select
import signal
import threading
import time

import http_list
from peers import (GET, HELLO, PATIENCE_S, Server, among_the_bad, check, check_equal, check_get,
                   check_time, read_all, read_answer, read_exactly, send_in_pieces)


def curl(place, *arguments, given=None):
    return place.run("curl", "-sS", "--max-time", PATIENCE_S, *arguments, given=given)


def test_http_answers_curl(place):
    with Server(place, "http") as http:
        at = f"http://{http.address}"
        show = ["-w", "%{http_code} %{num_connects}\n"]
        check_equal(curl(place, *show, f"{at}/", f"{at}/"), "hello, world\n200 1\n"
                                                            "hello, world\n200 0\n")
        check_equal(curl(place, *show, f"{at}/none", f"{at}/"), "not found\n404 1\n"
                                                                "hello, world\n200 0\n")
        head = curl(place, "-I", f"{at}/")
        check(re.search(r"^Content-Length: 13$", head, re.M), head)
        check(head.startswith("HTTP/1.1 200 OK") and head.endswith("\n\n"), head)
        check_equal(curl(place, "--http1.0", *show, f"{at}/"), "hello, world\n200 1\n")
        check_equal(curl(place, "--http2", *show, f"{at}/"), "hello, world\n200 1\n")
        body = "x" * 100000
        check_equal(curl(place, *show, "-d", body, f"{at}/", f"{at}/"),
                    "hello, world\n200 1\nhello, world\n200 0\n")
        check_equal(curl(place, *show, "-H", "Transfer-Encoding: chunked", "-d", body, f"{at}/"),
                    "hello, world\n200 1\n")


def test_http_answers_curl_through_the_proxy(place):
    with Server(place, "http") as http:
        with Server(place, "proxy", before=[http.address]) as server:
            for _ in range(5):
                check_equal(curl(place, f"http://{server.address}/"), "hello, world\n")


def test_http_answers_what_is_pipelined_in_order(place):
    with Server(place, "http") as http, http.connect() as peer:
        sender = threading.Thread(target=peer.sendall, args=(500 * (
            GET + http_list.head("GET /none HTTP/1.1") + http_list.head("HEAD / HTTP/1.1") +
            http_list.BODY),))
        sender.start()
        for _ in range(500):
            check_equal(read_answer(peer)[::2], (200, HELLO))
            check_equal(read_answer(peer)[::2], (404, b"not found\n"))
            check_equal(read_answer(peer, has_body=False)[1]["Content-Length"], "13")
            check_equal(read_answer(peer)[::2], (200, HELLO))
        sender.join()


def test_http_closes_after_the_last(place):
    lasts = (b"GET / HTTP/1.0\r\n\r\n", http_list.head("GET / HTTP/1.1", "Connection: close"))
    with Server(place, "http") as http:
        for last in lasts:
            with http.connect() as peer:
                peer.sendall(GET + last + GET)
                check_equal(read_answer(peer)[1]["Connection"], "keep-alive")
                check_equal(read_answer(peer)[1]["Connection"], "close")
                try:
                    check_equal(read_all(peer), b"")
                except ConnectionResetError: # of the request that was not read
                    pass
        with http.connect() as peer:
            peer.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            check_equal(read_answer(peer)[1]["Connection"], "keep-alive")
            check_get(peer)


def answers_to(http, request, wanted, size):
    """What a request of the list is answered with, in the words of the list."""
    got, (*statuses, end) = [], wanted.split()
    with http.connect() as peer:
        sender = threading.Thread(target=send_in_pieces, args=(peer, request, size))
        sender.start()
        try:
            for wanted_status in statuses:
                prefix = "HEAD:" if wanted_status.startswith("HEAD:") else ""
                has_body = not prefix and wanted_status != "100"
                status, headers, _ = read_answer(peer, has_body)
                got.append(f"{prefix}{status}")
                check(status != 405 or "Allow" in headers, "no Allow")
            check_equal(headers["Connection"], "keep-alive" if end == "open" else "close")
            if end == "open":
                check_get(peer)
            else:
                check_equal(read_all(peer), b"")
            got.append(end)
        except (AssertionError, OSError) as fault:
            got.append(f"{type(fault).__name__} {fault}")
        sender.join()
    return " ".join(got)


def check_list(place, size, most):
    """Asks what is no longer than `most`, in pieces of `size`."""
    with Server(place, "http", 60, 1) as http, concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [(entry, pool.submit(answers_to, http, *entry[2:], size))
                for entry in http_list.LIST if len(entry[2]) <= most]
        faults = [f"RFC {section}, {what}: {job.result()} is not {wanted}"
                  for (section, what, _, wanted), job in jobs if job.result() != wanted]
        check(not faults, "\n    ".join(faults))
    return f"{len(jobs)} requests"


def test_http_answers_what_the_standards_ask(place):
    return check_list(place, 1 << 20, 1 << 20)


def test_http_answers_the_same_byte_by_byte(place):
    return check_list(place, 1, 300)


def test_http_asks_for_a_body_that_waits(place):
    with Server(place, "http") as http, http.connect() as peer:
        peer.sendall(http_list.post("Content-Length: 4", "Expect: 100-continue"))
        check_equal(read_answer(peer, has_body=False)[0], 100)
        peer.sendall(b"body")
        check_equal(read_answer(peer)[::2], (200, HELLO))
        body = "x" * 3000000
        check_equal(curl(place, "-w", "%{http_code}", "-H", "Expect: 100-continue", "-d",
                         "@-", f"http://{http.address}/", given=body), "hello, world\n200")


def test_http_gives_a_head_its_time_in_all(place):
    """A byte at a time keeps no connection open; a body may take longer."""
    with Server(place, "http", 1) as http, http.connect() as slow, http.connect() as body:
        body.sendall(http_list.post("Content-Length: 1000"))
        slow.sendall(b"GET / HTTP/1.1\r\nA: ")
        began = time.monotonic()
        while not select.select([slow], [], [], 0.2)[0]:
            check_time(time.monotonic() - began < 5 * place.slow, "the head may take for ever")
            slow.sendall(b"x")
            body.sendall(b"x")
        check_equal(read_answer(slow)[0], 408)
        for _ in range(10):
            time.sleep(0.2)
            body.sendall(b"x")
        body.sendall(bytes(1000))
        check_equal(read_answer(body)[0], 200)


def test_http_takes_a_request_byte_by_byte(place):
    with Server(place, "http") as http, http.connect() as peer:
        for byte in GET:
            peer.sendall(bytes([byte]))
            time.sleep(0.001)
        check_equal(read_answer(peer)[::2], (200, HELLO))


def test_http_suffers_no_bad_peer(place):
    with Server(place, "http", 60, 1) as http:
        slow = among_the_bad(http, GET, check_get)
        check_equal([read_answer(slow)[0] for _ in range(2)], [200, 200])


def test_http_closes_idle_connections(place):
    with Server(place, "http", 1) as http, http.connect() as idle, http.connect() as half:
        check_get(idle)
        half.sendall(GET[:10])
        began = time.monotonic()
        check_equal((read_all(idle), read_answer(half)[0]), (b"", 408))
        check_equal(read_all(half), b"")
        took = time.monotonic() - began
        check_time(0.8 < took < 3 * place.slow, f"closed after {took:.2f} s")


def test_http_stands_wrk(place):
    with Server(place, "http") as http:
        out = place.run("wrk", "-t1", "-c50", "-d2", "--timeout", "30", f"http://{http.address}/")
        check("Socket errors" not in out and "Non-2xx" not in out, out)
        return re.search(r"Requests/sec:\s*(\d+)", out).group(1) + " requests a second"


def test_http_stands_h2load(place):
    """It pipelines, ten requests at a time on each connection."""
    with Server(place, "http") as http:
        out = place.run("h2load", "--h1", "-n20000", "-c50", "-m10", f"http://{http.address}/")
        check("20000 succeeded, 0 failed, 0 errored, 0 timeout" in out and
              "20000 2xx, 0 3xx, 0 4xx, 0 5xx" in out, out)


def test_http_answers_what_is_in_flight_and_ends(place):
    with Server(place, "http") as http:
        idle, busy, sent = http.connect(), http.connect(), http.connect()
        for peer in (idle, sent, busy):
            check_get(peer)
        busy.sendall(GET[:10])
        http.settle()
        http.process.send_signal(signal.SIGSTOP)
        sent.sendall(GET) # arrives before the signal is handled
        http.term()
        http.process.send_signal(signal.SIGCONT)
        check_equal(read_answer(sent)[::2], (200, HELLO))
        check_equal((read_all(sent), read_all(idle)), (b"", b""))
        http.check_refuses()
        busy.sendall(GET[10:])
        status, headers, body = read_answer(busy)
        check_equal((status, headers["Connection"], body), (200, "close", HELLO))
        check_equal(read_all(busy), b"")
        http.end(most_s=1)


def test_http_cuts_off_who_never_finishes(place):
    with Server(place, "http", 60, 1) as http, http.connect() as peer:
        peer.sendall(GET[:10])
        http.settle()
        http.term()
        http.check_refuses()
        http.end(least_s=0.5, most_s=2)
        check_equal(read_all(peer), b"")


def test_http_ends_well_under_load(place):
    """Each answer that comes is whole; after one that says it is the last there is no other."""
    answered, ended = [0] * 8, []

    def ask(http, who):
        try:
            with http.connect() as peer:
                while True:
                    peer.sendall(GET)
                    start = peer.recv(1)
                    if not start: # closed between two requests
                        break
                    check_equal(read_exactly(peer, 4), b"TTP/")
                    status, headers, body = read_answer(peer)
                    check_equal((status, body), (200, HELLO))
                    answered[who] += 1
                    if headers["Connection"] == "close":
                        check_equal(read_all(peer), b"")
                        break
        except (ConnectionResetError, BrokenPipeError):
            pass
        ended.append(who)

    with Server(place, "http") as http:
        threads = [threading.Thread(target=ask, args=(http, who)) for who in range(8)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE_S
        while not all(answered) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3 * place.slow)
        http.term()
        http.end(most_s=2)
        for thread in threads:
            thread.join()
        check(len(ended) == 8 and all(answered), f"answered: {answered}")



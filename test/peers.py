"""What test/servers.py is made of: servers that run, and peers that behave and that do not."""
import concurrent.futures
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

PATIENCE_S = 60
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
HELLO = b"hello, world\n"


class Skip(Exception):
    pass


class Late(AssertionError):
    """Something took too long, which a busy machine can cause: the test is tried again."""


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def check_time(holds, what):
    if not holds:
        raise Late(what)


def check_equal(a, b):
    check(a == b, f"{a!r} is not {b!r}")


class Server:
    """A server that runs; used by `with`, whose end sends SIGTERM if the test has not."""

    def __init__(self, place, name, *arguments, before=()):
        self.place, self.ended = place, False
        program = place.program(name)
        self.process = subprocess.Popen(
            [program, *before, "127.0.0.1:0", *map(str, arguments)], env=place.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=place.limit)
        line = self.process.stdout.readline()
        check(line.startswith("listening on 127.0.0.1:"),
              f"{name} says {line!r}, and then {self.process.stderr.read() if not line else ''!r}")
        self.address = line.split()[-1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if not self.ended and kind is None:
                self.term()
                self.end()
        finally:
            self.process.kill()
            self.process.communicate()

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer

    def settle(self):
        """Gives the server time to do what it has to do, and waits until it sleeps."""
        asleep = 0
        while asleep < 20:
            time.sleep(0.01 * self.place.slow)
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
                asleep = asleep + 1 if file.read().rsplit(")", 1)[1].split()[0] == "S" else 0

    def term(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self, least_s=0.0, most_s=5.0):
        """Waits for the end, which comes so many seconds from now."""
        began = time.monotonic()
        self.ended = True
        out, err = self.process.communicate(timeout=PATIENCE_S)
        took = time.monotonic() - began
        check_equal((self.process.returncode, out, err), (0, "", ""))
        check_time(least_s <= took <= most_s * self.place.slow, f"ended after {took:.2f} s")

    def check_refuses(self):
        """From a signal on, sooner or later connects are refused."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                self.connect().close()
            except OSError:
                return
            time.sleep(0.01)
        check(False, "still accepts")


class Place:
    """A build and a world."""

    def __init__(self, text):
        self.build, self.world = text.split(":")
        self.name = f"{os.path.basename(self.build)}, {self.world}"
        self.environment = dict(os.environ, COIR_WORLD=self.world)
        self.slow = 10 if os.environ.get("COIR_TEST_SLOW") else 1

    def program(self, name):
        path = f"{self.build}/example/server/{name}"
        if not os.path.exists(path):
            raise Skip(f"{name} was not built: llhttp is not installed")
        return path

    @staticmethod
    def limit():
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def run(self, *command, given=None):
        if not os.path.exists(command[0]) and not shutil.which(command[0]):
            raise Skip(f"{command[0]} is not installed")
        done = subprocess.run([str(word) for word in command], env=self.environment, text=True,
                              input=given, capture_output=True, timeout=300,
                              preexec_fn=self.limit, check=False)
        check_equal((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def echo_client(self, address, connections, rounds):
        out = self.run(self.program("client"), address, connections, rounds)
        check_equal(out, f"{connections} connections, {connections * rounds} messages came back, "
                         "0 did not\n")


def send_in_pieces(peer, data, size):
    """As much as the peer takes."""
    try:
        for at in range(0, len(data), size):
            peer.sendall(data[at:at + size])
    except OSError:
        pass


def read_all(peer):
    data = b""
    while got := peer.recv(65536):
        data += got
    return data


def read_exactly(peer, count):
    data = b""
    while len(data) < count:
        got = peer.recv(count - len(data))
        check(got, f"the end of file after {data!r}")
        data += got
    return data


def read_answer(peer, has_body=True):
    """An answer: its status, its headers, its body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(peer, 1)
    status, *lines = head.decode().split("\r\n")[:-2]
    headers = dict(line.split(": ", 1) for line in lines)
    size = int(headers["Content-Length"]) if has_body else 0
    return int(status.split()[1]), headers, read_exactly(peer, size)


def check_get(peer, connection="keep-alive"):
    peer.sendall(GET)
    status, headers, body = read_answer(peer)
    check_equal((status, headers["Connection"], body), (200, connection, HELLO))


def reset(peer):
    """Closes such that the other side is told of an error."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def fill(peer):
    """Sends until nothing more is taken for a while."""
    peer.settimeout(1)
    try:
        while True:
            peer.send(bytes(65536))
    except OSError:
        pass


def among_the_bad(server, request, good):
    """Peers that send a byte at a time, never read, or reset after each byte of the request; `good`
    is called all the while with a connection of its own, and each call must be quick."""
    slow, deaf, over, worst = server.connect(), server.connect(), threading.Event(), [0.0, 0]

    def be_bad():
        fill(deaf)
        for k in range(2 * len(request) + 1):
            peer = server.connect()
            peer.sendall((2 * request)[:k])
            if k % 2:
                time.sleep(0.001)
            reset(peer)
            slow.sendall((2 * request)[k:k + 1])
        over.set()

    with server.connect() as peer, concurrent.futures.ThreadPoolExecutor(1) as pool:
        bad = pool.submit(be_bad)
        while not over.is_set() and not bad.done():
            began = time.monotonic()
            good(peer)
            worst[0] = max(worst[0], time.monotonic() - began)
            worst[1] += 1
        bad.result()
    check_time(worst[1] > 10 and worst[0] < 1 * server.place.slow,
               f"{worst[1]} good calls, the slowest took {worst[0]:.2f} s")
    reset(deaf)
    return slow

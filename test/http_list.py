"""What a server of HTTP/1.1 is asked, and what it has to answer, by RFC 9110 and RFC 9112.

Each entry: the section, what is special about the request, its bytes, and the answers: statuses,
and `open` or `close` for what becomes of the connection. HEAD stands before the status of an answer
to a HEAD, which has no body. Where the standard leaves a choice, the list has what the example
server chooses: mostly the stricter one.
"""


def head(line="GET / HTTP/1.1", *fields, host="a", body=b""):
    """A request by its first line and fields."""
    lines = [line, *([f"Host: {host}"] if host is not None else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def post(*fields, body=b"", line="POST / HTTP/1.1"):
    return head(line, *fields, body=body)


def chunked(body, *fields):
    return post("Transfer-Encoding: chunked", *fields, body=body)


GET = head()
BODY = post("Content-Length: 4", body=b"body")
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")

LIST = (
    # what is right
    ("9112 3", "a GET", GET, "200 open"),
    ("9110 9.3.2", "a HEAD", head("HEAD / HTTP/1.1"), "HEAD:200 open"),
    ("9112 6.2", "a body with its length", BODY, "200 open"),
    ("9112 6.2", "a body of no bytes", post("Content-Length: 0"), "200 open"),
    ("9112 6.3", "a POST without a body", post(), "200 open"),
    ("9110 9.3.1", "a GET with a body", head("GET / HTTP/1.1", "Content-Length: 3", body=b"abc"),
     "200 open"),
    ("9112 9.3.2", "pipelined requests", GET + BODY + head("HEAD / HTTP/1.1") + GET,
     "200 200 HEAD:200 200 open"),
    ("9110 15.5.5", "what is not there", head("GET /none HTTP/1.1"), "404 open"),

    # the request line
    ("9112 2.2", "empty lines before it", b"\r\n\r\n" + GET, "200 open"),
    ("9112 2.2", "a space before it", b" " + GET, "400 close"),
    ("9112 3", "two spaces in it", head("GET  / HTTP/1.1"), "200 open"),
    ("9112 3", "a tab in it", head("GET\t/ HTTP/1.1"), "400 close"),
    ("9112 3.2", "a space in the target", head("GET /a b HTTP/1.1"), "400 close"),
    ("9112 3", "a space at its end", head("GET / HTTP/1.1 "), "400 close"),
    ("9112 2.2", "lines that end with LF alone", GET.replace(b"\r\n", b"\n"), "400 close"),
    ("9112 2.2", "a field that ends with LF alone", b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
     "400 close"),
    ("9110 9.1", "a method in small letters", head("get / HTTP/1.1"), "400 close"),
    ("9110 9.1", "a method that nobody knows", head("HELLO / HTTP/1.1"), "400 close"),
    ("9110 15.5.6", "a method that is not allowed", head("DELETE / HTTP/1.1"), "405 open"),
    ("9110 15.5.6", "a PUT with its body", post("Content-Length: 4", body=b"body",
                                                line="PUT / HTTP/1.1"), "405 open"),
    ("9110 9.3.6", "a CONNECT", head("CONNECT a:80 HTTP/1.1"), "405 open"),
    ("9110 9.3.7", "OPTIONS of the server", head("OPTIONS * HTTP/1.1"), "200 open"),
    ("9110 9.3.7", "OPTIONS of a path", head("OPTIONS / HTTP/1.1"), "200 open"),
    ("9112 3", "nonsense", b"nonsense\r\n\r\n", "400 close"),
    ("9112 3", "an answer", b"HTTP/1.1 200 OK\r\n\r\n", "400 close"),
    ("9112 3", "a hello of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 close"),
    ("9112 6", "nonsense behind a HEAD", head("HEAD / HTTP/1.1") + b"12345\r\n\r\n",
     "HEAD:200 400 close"),
    ("9112 6", "a hello of TLS behind a GET", GET + b"\x16\x03\x01\x02\x00", "200 400 close"),

    # the version
    ("9112 2.3", "no version", b"GET /\r\n\r\n", "505 close"),
    ("9112 2.3", "a version in small letters", head("GET / http/1.1"), "400 close"),
    ("9112 2.3", "a version with a letter", head("GET / HTTP/1.x"), "400 close"),
    ("9112 2.3", "a version with two digits", head("GET / HTTP/1.10"), "400 close"),
    ("9110 2.5", "HTTP/1.2, which is answered as 1.1", head("GET / HTTP/1.2"), "200 open"),
    ("9110 15.6.6", "HTTP/0.9", head("GET / HTTP/0.9"), "505 close"),
    ("9110 15.6.6", "HTTP/2.0", head("GET / HTTP/2.0"), "505 close"),
    ("9110 15.6.6", "HTTP/3.7", head("GET / HTTP/3.7"), "505 close"),
    ("9113 3.4", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close"),

    # the target
    ("9112 3.2.1", "a query", head("GET /?a=b&c=/ HTTP/1.1"), "200 open"),
    ("9112 3.2.2", "a whole URL", head("GET http://a/ HTTP/1.1"), "200 open"),
    ("9112 3.2.2", "a URL without a path", head("GET http://a HTTP/1.1"), "200 open"),
    ("9112 3.2.2", "a URL with a query alone", head("GET http://a?b HTTP/1.1"), "200 open"),
    ("9112 3.2.2", "a URL of what is not there", head("GET http://a/none HTTP/1.1"), "404 open"),
    ("9112 3.2.2", "a URL in a path", head("GET /http://a/ HTTP/1.1"), "404 open"),
    ("9112 3.2.4", "a star", head("GET * HTTP/1.1"), "400 open"),
    ("9112 3.2", "a target that is no path", head("GET none HTTP/1.1"), "400 close"),
    ("9112 3.2", "a byte that no target has", head("GET /\x7f HTTP/1.1"), "400 close"),
    ("9112 3", "a long target", head(f"GET /{7000 * 'x'} HTTP/1.1"), "404 open"),
    ("9110 15.5.15", "a target that is too long", head(f"GET /{20000 * 'x'} HTTP/1.1"),
     "414 close"),

    # Host
    ("9112 3.2", "no Host", head(host=None), "400 close"),
    ("9112 3.2", "no Host in HTTP/1.0", head("GET / HTTP/1.0", host=None), "200 close"),
    ("9112 3.2", "two Hosts", head("GET / HTTP/1.1", "Host: b"), "400 close"),
    ("9112 3.2", "the same Host twice", head("GET / HTTP/1.1", "hOST: a"), "400 close"),
    ("9112 3.2", "an empty Host", head(host=""), "200 open"),
    ("9112 3.2", "a Host with a port", head(host="[::1]:80"), "200 open"),
    ("9112 3.2", "a Host with a space", head(host="a b"), "400 close"),
    ("9112 3.2", "a Host with a path", head(host="a/b"), "400 close"),
    ("9112 3.2", "a Host of two names", head(host="a, b"), "400 close"),
    ("9112 3.2", "a Host with a user", head(host="u@a"), "400 close"),
    ("9112 3.2.2", "a URL that says otherwise", head("GET http://b/ HTTP/1.1"), "200 open"),

    # fields
    ("9112 5.1", "a space before a colon", head("GET / HTTP/1.1", "B : c"), "400 close"),
    ("9112 5.1", "a space before the colon of a length",
     post("Content-Length : 4", body=b"body"), "400 close"),
    ("9112 5", "a line without a colon", head("GET / HTTP/1.1", "nothing"), "400 close"),
    ("9112 5", "a field without a name", head("GET / HTTP/1.1", ": c"), "400 close"),
    ("9112 2.2", "a space before the first field", head("GET / HTTP/1.1", host=None).replace(
        b"\r\n", b"\r\n Host: a\r\n", 1), "400 close"),
    ("9112 5.2", "a folded field", head("GET / HTTP/1.1", "B: c\r\n d"), "200 open"),
    ("9112 5.2", "a folded field that counts",
     post("Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), "200 open"),
    ("9110 5.1", "a byte that no name has", head("GET / HTTP/1.1", "B(: c"), "400 close"),
    ("9110 5.5", "a CR in a value", head("GET / HTTP/1.1", "B: c\rd"), "400 close"),
    ("9110 5.5", "a NUL in a value", head("GET / HTTP/1.1", "B: c\0d"), "400 close"),
    ("9110 5.5", "spaces and tabs around a value", head("GET / HTTP/1.1", "B: \t c \t "),
     "200 open"),
    ("9110 5.5", "spaces and tabs behind values that count", post(
        "Transfer-Encoding: chunked ", "Expect: 100-continue ", body=b"0\r\n\r\n").replace(
            b"Host: a", b"Host: a\t "), "100 200 open"),
    ("9112 5", "a CR that hides a coding (CVE-2023-30589)", post(
        "X:\rxTransfer-Encoding: chunked", body=b"0\r\n\r\n"), "400 close"),
    ("9112 3.2.2", "a URL with a long host", head(f"GET http://{400 * 'a'}/none HTTP/1.1"),
     "404 open"),
    ("9110 5.5", "no space and no value", head("GET / HTTP/1.1", "B:"), "200 open"),
    ("9110 5.5", "a value that is not ASCII", head("GET / HTTP/1.1", "B: \xe9\xff"), "200 open"),
    ("9112 5", "a hundred fields", head("GET / HTTP/1.1", *(f"B{i}: c" for i in range(100))),
     "200 open"),
    ("6585 5", "fields that are too large", head("GET / HTTP/1.1", f"B: {90000 * 'c'}"),
     "431 close"),
    ("6585 5", "too many fields", head("GET / HTTP/1.1", *(f"B{i}: c" for i in range(20000))),
     "431 close"),

    # the length of a body
    ("9112 6.3", "a length below 0", post("Content-Length: -4", body=b"body"), "400 close"),
    ("9112 6.3", "a length with a sign", post("Content-Length: +4", body=b"body"), "400 close"),
    ("9112 6.3", "a length in hexadecimal", post("Content-Length: 0x4", body=b"body"),
     "400 close"),
    ("9112 6.3", "a length of two words", post("Content-Length: 4 4", body=b"body"), "400 close"),
    ("9112 6.3", "an empty length", post("Content-Length:", body=b"body"), "400 close"),
    ("9112 6.3", "a list of lengths", post("Content-Length: 4, 4", body=b"body"), "400 close"),
    ("9112 6.3", "two lengths", post("Content-Length: 4", "Content-Length: 5", body=b"body"),
     "400 close"),
    ("9112 6.3", "a length of more than 64 bits",
     post("Content-Length: 18446744073709551620", body=b"body"), "400 close"),
    ("9112 6.3", "a length and a coding",
     chunked(b"0\r\n\r\n", "Content-Length: 4"), "400 close"),

    # transfer codings
    ("9112 7.1", "chunks", chunked(b"4\r\nbody\r\n0A\r\n0123456789\r\n0\r\n\r\n"), "200 open"),
    ("9112 7", "a coding in capitals", post("Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"),
     "200 open"),
    ("9112 7.1.1", "an extension of a chunk", chunked(b"4;a=b\r\nbody\r\n0\r\n\r\n"),
     "200 open"),
    ("9112 7.1.1", "two extensions of a chunk", chunked(b'4;a;b="c;d"\r\nbody\r\n0\r\n\r\n'),
     "200 open"),
    ("9112 7.1.2", "a trailer", chunked(b"0\r\nA: b\r\nHost: c\r\n\r\n"), "200 open"),
    ("9112 7.1", "a size that is no number", chunked(b"g\r\nbody\r\n0\r\n\r\n"), "400 close"),
    ("9112 7.1", "a size with 0x", chunked(b"0x4\r\nbody\r\n0\r\n\r\n"), "400 close"),
    ("9112 7.1", "no size", chunked(b"\r\nbody\r\n0\r\n\r\n"), "400 close"),
    ("9112 7.1", "a size of more than 64 bits", chunked(b"10000000000000004\r\nbody\r\n"),
     "400 close"),
    ("9112 7.1", "a chunk that is longer than its size",
     chunked(b"4\r\nbodies\r\n0\r\n\r\n"), "400 close"),
    ("9112 2.2", "a size that ends with LF alone", chunked(b"4\nbody\r\n0\r\n\r\n"), "400 close"),
    ("9112 6.1", "a coding that is not known",
     post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), "501 close"),
    ("9112 6.3", "chunked, and then another coding",
     post("Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), "400 close"),
    ("9112 6.3", "a coding without chunked", post("Transfer-Encoding: gzip", body=b"0\r\n\r\n"),
     "501 close"),
    ("9112 6.1", "chunked twice", chunked(b"0\r\n\r\n", "Transfer-Encoding: chunked"),
     "400 close"),
    ("9112 6.1", "a coding in HTTP/1.0", post("Transfer-Encoding: chunked", body=b"0\r\n\r\n",
                                              line="POST / HTTP/1.0"), "400 close"),

    # the connection
    ("9112 9.6", "close", head("GET / HTTP/1.1", "Connection: close"), "200 close"),
    ("9110 7.6.1", "CLOSE among others", head("GET / HTTP/1.1", "Connection: a, CLOSE"),
     "200 close"),
    ("9112 9.6", "a request behind the last", head("GET / HTTP/1.1", "Connection: close") + GET,
     "200 close"),
    ("9112 9.3", "HTTP/1.0", head("GET / HTTP/1.0"), "200 close"),
    ("9112 9.3", "HTTP/1.0 that is kept", head("GET / HTTP/1.0", "Connection: keep-alive"),
     "200 open"),

    # Expect
    ("9110 10.1.1", "a body that waits for 100",
     post("Content-Length: 4", "Expect: 100-continue", body=b"body"), "100 200 open"),
    ("9110 10.1.1", "chunks that wait for 100", chunked(b"0\r\n\r\n", "Expect: 100-Continue"),
     "100 200 open"),
    ("9110 10.1.1", "no body, and 100 expected", post("Expect: 100-continue"), "200 open"),
    ("9110 10.1.1", "100 expected in HTTP/1.0",
     post("Content-Length: 4", "Expect: 100-continue", body=b"body", line="POST / HTTP/1.0"),
     "200 close"),
    ("9110 15.5.18", "something else expected", post("Expect: miracles"), "417 close"),

    # Upgrade
    ("9110 7.8", "an upgrade", head("GET / HTTP/1.1", *UPGRADE), "200 open"),
    ("9110 7.8", "an upgrade, and a request behind it", head("GET / HTTP/1.1", *UPGRADE) + GET,
     "200 200 open"),
    ("9110 7.8", "an upgrade with a body",
     post("Content-Length: 3", *UPGRADE, body=b"abc") + GET, "200 200 open"),
    ("6455 4.2", "an upgrade to WebSocket, and a frame",
     head("GET / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket") + b"\x81\x00",
     "200 400 close"),
)

"""Requests that are torn, lie, are slow or bring bombs: each is answered or cut off, and the service scores on."""

import atexit
import contextlib
import json
import re
import resource
import socket
import time

from attack import Attack, Attacks
from bombs import BOMBS
from commands import ROCKET
from running_service import running_service

ATTACKS = Attacks()
#: Little patience, so that the slow are cut off in the time of a test; much for decoding on a slow machine.
LIMITS = ["--head-seconds", "3", "--body-seconds", "3", "--idle-seconds", "3", "--connections", "32", "--seconds", "20"]
with open(ROCKET, "rb") as file:
    PICTURE = file.read()
BOUNDARY = b"----torn"
PART = (
    b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n'
)
LAST = b"--%s--\r\n" % BOUNDARY
FORM = PART % (BOUNDARY, PICTURE[:2000]) * 3 + LAST
MULTIPART = b"multipart/form-data; boundary="
FORM_TYPE = MULTIPART + BOUNDARY
#: Seconds for an answer, or for being cut off.
PATIENCE = 60
RIGHT = "; then right"


def prepare():
    """Start the service that all are made of."""
    global SERVICE
    started = running_service(*LIMITS)
    SERVICE = started.__enter__()
    atexit.register(started.__exit__, None, None, None)


def request(body, content_type=b"application/octet-stream", length=None, path=b"/v1/score", more=b""):
    """The bytes of a request."""
    length = len(body) if length is None else length
    head = b"POST %s HTTP/1.1\r\nHost: here\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
    return head % (path, content_type, length, more) + body


def connection():
    return socket.create_connection(("127.0.0.1", SERVICE.port), timeout=PATIENCE)


def answer(data, ends=False):
    """The status of what is answered to some bytes, and the kind of the error; or that it is cut off."""
    with connection() as client:
        try:
            client.sendall(data)
            if ends:
                client.shutdown(socket.SHUT_WR)
            return _read(client)
        except (ConnectionError, TimeoutError) as error:
            return type(error).__name__


def _read(client):
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(65536)
        if not part:
            return "cut off"
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(65536)
    status = head.split()[1].decode()
    try:
        return f"{status} {json.loads(body)['error']['kind']}"
    except (json.JSONDecodeError, KeyError):
        return status


def still():
    """Whether the service scores a picture as ever."""
    ends = time.monotonic() + PATIENCE
    while (status := answer(request(PICTURE))) != "200":
        if time.monotonic() > ends or status not in ("503", "ConnectionResetError", "cut off"):
            return f"; then {status}"
        time.sleep(0.1)  # connections that are being closed are counted still
    return RIGHT


def add(name, data, outcome, **options):
    ATTACKS.append(Attack("service", name, lambda folder: answer(data, **options) + still(), f"({outcome}){RIGHT}"))


# Bombs, which are refused in the process that decodes them

REFUSED = "(415 not_a_picture|422 unreadable)"
for name, (data, outcome) in BOMBS.items():
    add(f"a bomb: {name}", request(data), REFUSED if outcome.startswith("(NotAP") else f"(200|{REFUSED})")

# Forms that are torn: at each end of a part, around it, and elsewhere

PLACES = {found.start() + shift for found in re.finditer(BOUNDARY + b"|\r\n\r\n", FORM) for shift in (-2, 0, 1, 5, 9)}
for place in sorted({*(place for place in PLACES if 0 <= place < len(FORM) - 4), *range(0, len(FORM), 701)}):
    torn = FORM[:place]
    add(f"a form of {place} bytes", request(torn, FORM_TYPE), "400 bad_request")
    add(f"a form that is left at {place} bytes", request(torn, FORM_TYPE, len(FORM)), "(400.*|cut off)", ends=True)

# Lengths that lie, and heads that are none

add("a length beyond the body", request(PICTURE, length=len(PICTURE) + 1), "408 too_slow")
add("a length of terabytes", request(PICTURE, length=10**13), "413 too_large")
add("a length below 0", request(b"", length=-1), "400")
add("two lengths", request(PICTURE, more=b"Content-Length: 3\r\n"), "400")
add("no length and no end", b"POST /v1/score HTTP/1.1\r\nHost: here\r\n\r\n", "400 bad_request")
CHUNKED = b"POST /v1/score HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
add("a chunk of no length", CHUNKED + b"many\r\n" + PICTURE, "400.*|cut off")
add("a chunk of exabytes", CHUNKED + b"f" * 15 + b"\r\n" + PICTURE, "(400|408).*|cut off")
MEGABYTES = (b"100000\r\n" + bytes(1 << 20) + b"\r\n") * 65
add("chunks beyond the limit", CHUNKED + MEGABYTES, "413 too_large|ConnectionResetError")
add("chunks and a length", request(b"0\r\n\r\n", more=b"Transfer-Encoding: chunked\r\n"), "400.*")
LARGE = b"GET /healthz HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n"
add("a head of a megabyte", LARGE, "400|cut off|ConnectionResetError|BrokenPipeError")
add("noise", bytes(range(256)) * 40, "400|cut off")
add("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "400|cut off")

# Forms that are odd

add("a boundary of 10,000 characters", request(FORM, MULTIPART + b"a" * 10_000), "400 bad_request")
add("no boundary", request(FORM, b"multipart/form-data"), "400 bad_request")
add("another boundary", request(FORM, MULTIPART + b"other"), "400 bad_request")
FIELD = b'--%s\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' % BOUNDARY
add("100,000 fields", request(FIELD * 100_000 + LAST, FORM_TYPE), "413 too_large|Connection.*")
HEADERS = b"--%s\r\n%s\r\n" % (BOUNDARY, b"X: y\r\n" * 100_000)
add("a part of 100,000 headers", request(HEADERS, FORM_TYPE), "400 bad_request|Connection.*")
LONG = b'--%s\r\nContent-Disposition: form-data; filename="%s"\r\n\r\n' % (BOUNDARY, b"a" * 10_000_000)
add("a name of 10 MB", request(LONG, FORM_TYPE), "400 bad_request|Connection.*")
WITHIN = (
    b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: %s\r\n\r\n%s\r\n--%s--\r\n'
)
add("a form in a form", request(WITHIN % (b"outer", FORM_TYPE, FORM, b"outer"), MULTIPART + b"outer"), REFUSED)
BOMB = BOMBS["PNG of 2 billion squared"][0]
MANY = (b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%s\r\n' % (BOUNDARY, BOMB)) * 32
add("32 bombs in a form", request(MANY + LAST, FORM_TYPE), REFUSED)


# Clients that are slow, or many


@ATTACKS.on("service", "(408|cut off).*" + RIGHT)
def a_body_by_the_byte(folder):
    with connection() as client:
        client.sendall(request(b"", length=1000))
        for _ in range(100):
            time.sleep(0.05)
            client.sendall(b"\xff")
        return _read(client) + still()


def _are_cut_off(clients):
    """How many of these connections are closed in time; a byte of each is sent meanwhile."""
    for client in clients:
        client.settimeout(PATIENCE)
    closed = 0
    for client in clients:
        try:
            closed += _read(client) != "200"
        except ConnectionError:
            closed += 1
        client.close()
    return f"{closed} of {len(clients)} cut off"


@ATTACKS.on("service", "200; 20 of 20 cut off" + RIGHT)
def heads_that_do_not_end(folder):
    clients = [connection() for _ in range(20)]
    for client in clients:
        client.sendall(b"POST /v1/score HTTP/1.1\r\nHost: h")
    meanwhile = answer(request(PICTURE))
    return f"{meanwhile}; {_are_cut_off(clients)}" + still()


@ATTACKS.on("service", "200; 20 of 20 cut off" + RIGHT)
def bodies_that_do_not_come(folder):
    clients = [connection() for _ in range(20)]
    for client in clients:
        client.sendall(request(b"\xff\xd8", length=5000))
    meanwhile = answer(request(PICTURE))
    return f"{meanwhile}; {_are_cut_off(clients)}" + still()


@ATTACKS.on("service", "200 of 200 cut off" + RIGHT)
def more_connections_than_are_taken(folder):
    clients = [connection() for _ in range(200)]
    return _are_cut_off(clients) + still()


@ATTACKS.on("service", "left" + RIGHT)
def clients_that_leave_before_their_answer(folder):
    for _ in range(100):
        with connection() as client:
            client.sendall(request(PICTURE))
    return "left" + still()


@ATTACKS.on("service", "200 times right" + RIGHT)
def answers_that_nobody_reads(folder):
    """Requests one behind the other, whose answers fill all buffers: others are served meanwhile."""
    with connection() as client:
        client.settimeout(1)
        try:
            for _ in range(2000):
                client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: here\r\n\r\n")
        except TimeoutError:
            pass
        return f"{answer(request(PICTURE))} times right" + still()


CUT_OFF = "(400|cut off|ConnectionResetError|BrokenPipeError), 0 MB more" + RIGHT
ENDLESS = {
    "headers behind a body": CHUNKED + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 3_000_000,
    "a header of megabytes behind a body": CHUNKED + b"1\r\nx\r\n0\r\nX: " + b"y" * 20_000_000,
    "words of a chunk": CHUNKED + b"1;x=" + b"y" * 20_000_000,
    "10,000 headers": b"GET /healthz HTTP/1.1\r\n" + b"X:y\r\n" * 10_000 + b"\r\n",
    "10,000 requests at once": request(PICTURE) + b"GET /healthz HTTP/1.1\r\n\r\n" * 10_000,
}


def _megabytes():
    with open(f"/proc/{SERVICE.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def _endless(data):
    def carry_out(folder):
        before = _megabytes()
        told = answer(data)
        return f"{told}, {max(0, round(_megabytes() - before, -1))} MB more" + still()

    return carry_out


for name, data in ENDLESS.items():
    ATTACKS.append(Attack("service", name, _endless(data), CUT_OFF))


@ATTACKS.on("service", "another is served" + RIGHT)
def a_crowd_that_reads_none_of_its_answers(folder):
    """As many connections as there may be, each with more answers than all buffers hold."""
    with contextlib.ExitStack() as crowd:
        for _ in range(32):
            client = crowd.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(1)
            client.connect(("127.0.0.1", SERVICE.port))
            with contextlib.suppress(OSError):
                for _ in range(20):
                    client.sendall(b"GET /openapi.json HTTP/1.1\r\n\r\n" * 30)
                    time.sleep(0.02)
        return "another is served" + still()


WEBSOCKET = (
    b"GET /v1/score HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
add("a WebSocket", WEBSOCKET, "405 method_not_allowed")

# What names and paths could reach


@ATTACKS.on("service", "404 not_found, 0 lines forged" + RIGHT)
def a_path_that_forges_a_line_of_the_log(folder):
    status = answer(b"GET /a%0a2026-01-01T00:00:00.000Z%20info%20forged%1b[2J HTTP/1.1\r\nHost: here\r\n\r\n")
    forged = re.findall(r"^2026-01-01|\x1b", SERVICE.log, re.MULTILINE)
    return f"{status}, {len(forged)} lines forged" + still()


@ATTACKS.on("service", "404 not_found, 0 facts forged" + RIGHT)
def a_path_that_forges_a_fact_of_the_log(folder):
    status = answer(b"GET /a%20status=299%20client=10.9.8.7 HTTP/1.1\r\nHost: here\r\n\r\n")
    forged = re.findall(r" (status=299|client=10\.9\.8\.7)", SERVICE.log)
    return f"{status}, {len(forged)} facts forged" + still()


for path in (
    b"/../../etc/passwd",
    b"/v1/%2e%2e/%2e%2e/etc/passwd",
    b"//etc/passwd",
    b"http://127.0.0.1:1/",
    b"/docs/../x",
):
    add(f"the path {path.decode()}", b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path, "404 not_found|400")
for body in b"/etc/passwd", b"file:///etc/passwd", b"http://127.0.0.1:1/a.jpg", b'{"url": "http://127.0.0.1:1/"}':
    add(f"the body {body.decode()}", request(body), "415 not_a_picture")
for option in b"frames=all", b"every=nan", b"every=0", b"threshold=2", b"path=/etc/passwd", b"precision=float8":
    add(f"the option {option.decode()}", request(PICTURE, path=b"/v1/score?" + option), "400 bad_request")

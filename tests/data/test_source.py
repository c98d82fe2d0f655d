"""Sources: every refusal names the cause, and no private address is ever connected to."""

import contextlib
import hashlib
import http.server
import io
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import NoCredentialsError

from dlcycle.data.download import Transport, connect_tls, is_public, redact
from dlcycle.data.source import open_source
from dlcycle.errors import SourceError

PUBLIC = "93.184.216.34"
BODY = b"category,description\nBooks,a novel\n"
DIGEST = hashlib.sha256(BODY).hexdigest()

Route = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def serving(routes: dict[str, Route], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve paths on a local port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            routes[self.path](self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        # The handshake then happens in the handler, which closes the connection when a client breaks it off.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sends(body: bytes = BODY, *, status: int = 200, length: int | None = None, **headers: str) -> Route:
    def respond(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if length != -1:
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def redirects(location: str) -> Route:
    return sends(b"", status=302, Location=location)


class Net:
    """A transport whose public addresses all lead to one local server; it records what was asked for."""

    def __init__(self, port: int, addresses: dict[str, list[str]] | None = None) -> None:
        self.port, self.addresses = port, addresses or {}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int, str]] = []

    def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append(host)
        return self.addresses.get(host, [PUBLIC])

    def connect(self, address: str, port: int, host: str) -> socket.socket:
        self.connected.append((address, port, host))
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    @property
    def transport(self) -> Transport:
        return Transport(resolve=self.resolve, connect=self.connect)


def refusal(uri: str, **options: object) -> str:
    with pytest.raises(SourceError) as caught, open_source(uri, **options):
        pass
    return str(caught.value)


# Local files


def test_local_file_is_described_and_digested(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for uri in ("a.csv", str(tmp_path / "a.csv"), "~/a.csv"):
        with open_source(uri, sha256=DIGEST) as source:
            assert (source.uri, source.name, source.size, source.sha256) == (uri, "a.csv", len(BODY), DIGEST)
            assert source.path.read_bytes() == BODY


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "ecommerce.csv").write_bytes(BODY)
    message = refusal(str(tmp_path / "ecomerce.csv"))
    assert "no such file" in message and "nearest: 'ecommerce.csv'" in message


def test_missing_folder_names_what_exists(tmp_path):
    message = refusal(str(tmp_path / "no" / "such" / "a.csv"))
    assert f"only {tmp_path} does" in message


def test_folder_lists_five_data_files(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.csv").write_bytes(BODY)
    (tmp_path / "notes.md").write_text("no data")
    message = refusal(str(tmp_path))
    assert "this is a folder" in message and "0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more" in message
    assert "notes.md" not in message


def test_empty_file_is_zero_bytes(tmp_path):
    (tmp_path / "a.csv").touch()
    assert "0 bytes" in refusal(str(tmp_path / "a.csv"))


def test_unreadable_and_special_files(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_bytes(BODY)
    assert "not a regular file" in refusal(os.devnull)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    assert "Permission denied" in refusal(str(tmp_path / "a.csv"))


def test_too_large_local_file(tmp_path):
    with (tmp_path / "a.csv").open("wb") as stream:
        stream.truncate(1_000_001)
    assert "limit of 1 MB" in refusal(str(tmp_path / "a.csv"), max_megabytes=1)


@pytest.mark.parametrize("scheme", ["http", "file", "ftp", "gopher", "gs", "HTTP", "zip"])
def test_other_schemes_are_refused(scheme):
    message = refusal(f"{scheme}://me:hunter2@example.org/a.csv?token=hunter2")
    assert "refused" in message and "https://" in message and "hunter2" not in message


@pytest.mark.parametrize("uri", ["", "  ", "a\0b"])
def test_no_source(uri):
    assert "names nothing" in refusal(uri)


# https://


def test_download_is_pinned_hidden_and_removed():
    with serving({"/d/a.csv?token=hunter2": sends()}) as port:
        net = Net(port)
        with open_source("https://Example.org/d/a.csv?token=hunter2#part", transport=net.transport) as source:
            path = source.path
            assert path.read_bytes() == BODY
            assert (source.uri, source.name) == ("https://Example.org/d/a.csv", "a.csv")
    assert not path.exists() and not path.parent.exists()
    # Resolved once, and connected to the address that was checked: a second answer of the name server has no effect.
    assert net.resolved == ["example.org"] and net.connected == [(PUBLIC, 443, "example.org")]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        [PUBLIC, "192.168.1.1"],
        ["::1"],
        ["::ffff:93.184.216.34"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["100.64.0.1"],
        ["2002:7f00:1::"],
        [],
    ],
)
def test_addresses_that_are_not_public_are_never_connected_to(addresses):
    net = Net(1, {"example.org": addresses})
    net.addresses["example.org"] = addresses
    transport = Transport(resolve=lambda host, port: addresses, connect=net.connect)
    assert "not public" in refusal("https://example.org/a.csv", transport=transport)
    assert net.connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "169.254.169.254"])
def test_real_resolver_refuses_local_hosts(host):
    assert "not public" in refusal(f"https://{host}/latest/meta-data")


def test_is_public_agrees_with_known_ranges():
    assert all(is_public(address) for address in (PUBLIC, "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"))
    assert not any(is_public(address) for address in ("not an address", "255.255.255.255", "192.0.2.1", "2001:db8::1"))


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://127.0.0.1/a.csv", "not public"),
        ("https://inside.example/a.csv", "not public"),
        ("http://example.org/a.csv", "not https://"),
        ("file:///etc/passwd", "not https://"),
        ("https://[", "not a URL"),
        ("https://me:hunter2@example.org/a.csv", "passwords in URLs are refused"),
        ("https://example.org/loop", "more than 5 redirects"),
    ],
)
def test_redirects_are_checked_again(location, said):
    with serving({"/loop": redirects(location)}) as port:
        net = Net(port, {"127.0.0.1": ["127.0.0.1"], "inside.example": [PUBLIC, "10.1.2.3"]})
        message = refusal("https://example.org/loop", transport=net.transport)
    assert said in message and "hunter2" not in message
    assert {address for address, _, _ in net.connected} == {PUBLIC}


def test_good_redirect_is_followed_and_hosts_allowed_one_by_one():
    with serving({"/old": redirects("https://cdn.example.net/new.csv"), "/new.csv": sends()}) as port:
        net = Net(port)
        with open_source("https://example.org/old", transport=net.transport) as source:
            assert source.sha256 == DIGEST
        hosts = ("Example.org",)
        message = refusal("https://example.org/old", allowed_hosts=hosts, transport=net.transport)
        assert "cdn.example.net is not in data.allowed_hosts" in message
        with open_source("https://example.org/old", allowed_hosts=("cdn.example.net", *hosts), transport=net.transport):
            pass


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (sends(b"x" * 1_000_001), "larger than the limit of 1 MB"),
        (sends(b"x" * 1_000_001, length=-1), "larger than the limit of 1 MB"),
        (sends(BODY, length=len(BODY) + 7), "broke off after 35 of 42 bytes"),
        (sends(b""), "0 bytes"),
        (sends(status=404), "404: no such file"),
        (sends(status=403), "access is denied"),
        (sends(status=500), "500"),
    ],
)
def test_bad_answers(route, said):
    with serving({"/a.csv?key=hunter2": route}) as port:
        message = refusal("https://example.org/a.csv?key=hunter2", max_megabytes=1, transport=Net(port).transport)
    assert said in message and "https://example.org/a.csv" in message and "hunter2" not in message


@pytest.mark.parametrize(
    "uri",
    ["https://me:hunter2@example.org/a.csv", "https://me:hun/hunter2@example.org/a", "https:///a.csv", "https://a b/"],
)
def test_bad_urls(uri):
    message = refusal(uri)
    assert "hunter2" not in message and "hun" not in message


def test_unreachable_hosts():
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    def closed(address: str, port: int, host: str) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    assert "cannot be resolved" in refusal("https://example.org/a", transport=Transport(resolve=unknown))
    transport = Transport(resolve=lambda host, port: [PUBLIC], connect=closed)
    assert "cannot connect to example.org" in refusal("https://example.org/a", transport=transport)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificate_must_belong_to_the_host(tmp_path):
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2"]
    subject = ["-subj", "/CN=example.org", "-addext", "subjectAltName=DNS:example.org"]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=cert)
    server.load_cert_chain(cert, key)
    with serving({"/a.csv": sends()}, server) as port:

        def connect(address: str, _: int, host: str) -> socket.socket:
            return connect_tls("127.0.0.1", port, host, context=client)

        transport = Transport(resolve=lambda host, port: [PUBLIC], connect=connect)
        with open_source("https://example.org/a.csv", transport=transport) as source:
            assert source.sha256 == DIGEST
        assert "certificate is not valid for example.com" in refusal("https://example.com/a.csv", transport=transport)


def test_redact():
    assert redact("https://a:b@h.org:8443/p/a@b.csv?q#f") == "https://h.org:8443/p/a@b.csv"
    assert redact("data/a.csv") == "data/a.csv"


# s3://


class FakeS3:
    def __init__(self, answer: dict[str, object] | Exception) -> None:
        self.answer = answer

    def get_object(self, **_: str) -> dict[str, object]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_s3_object_from_the_store_that_the_environment_names(monkeypatch):
    xml = b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
    routes = {"/bucket/d/a.csv": sends(), "/bucket/none.csv": sends(xml, status=404)}
    with serving(routes) as port:
        monkeypatch.setenv("METAFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with open_source("s3://bucket/d/a.csv") as source:
            assert (source.uri, source.name, source.sha256) == ("s3://bucket/d/a.csv", "a.csv", DIGEST)
        assert "no such object (NoSuchKey)" in refusal("s3://bucket/none.csv")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NoCredentialsError(), "no AWS credentials"),
        ({"ContentLength": 2_000_000, "Body": io.BytesIO()}, "larger than the limit of 1 MB"),
        ({"ContentLength": 50, "Body": io.BytesIO(BODY)}, "broke off after 35 of 50 bytes"),
        ({"Body": io.BytesIO(b"x" * 1_000_001)}, "larger than the limit of 1 MB"),
    ],
)
def test_bad_s3_answers(answer, said):
    assert said in refusal("s3://bucket/a.csv", max_megabytes=1, transport=Transport(s3=lambda: FakeS3(answer)))


@pytest.mark.parametrize(
    "uri", ["s3://bucket", "s3://bucket/", "s3:///a.csv", "s3://bucket/folder/", "s3://k:s@b/a.csv"]
)
def test_s3_addresses_of_no_object(uri):
    assert "expected s3://bucket/key" in refusal(uri)


# Digests


def test_wrong_digest_is_refused_for_every_kind_of_source(tmp_path):
    (tmp_path / "a.csv").write_bytes(BODY)
    with serving({"/a.csv": sends()}) as port:
        network = Net(port).transport
        store = Transport(s3=lambda: FakeS3({"Body": io.BytesIO(BODY)}))
        sources = [(str(tmp_path / "a.csv"), network), ("https://example.org/a.csv", network), ("s3://b/a.csv", store)]
        for uri, transport in sources:
            message = refusal(uri, sha256="0" * 64, transport=transport)
            assert "0" * 64 in message and DIGEST in message

"""A stand-in for S3 that keeps objects in memory: what Metaflow, its checkpoints and boto3 ask of a bucket.

It can refuse requests as a busy store does, or all of them as one that is gone.
"""

import hashlib
import itertools
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

BUCKET = "bucket"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@contextmanager
def s3_server() -> Iterator["Bucket"]:
    """Serve one empty bucket on a free port of this machine until the block ends."""
    server = _Server(("127.0.0.1", 0), _Requests)
    bucket = server.bucket = Bucket(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Bucket:
    """The objects of the bucket by key, where it is served, and how it fails."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}
        self.about: dict[str, dict[str, str]] = {}
        """Headers that were stored with an object."""
        self.parts: dict[str, dict[int, bytes]] = {}
        """Uploads in parts that are not complete, by identity."""
        self.refused_share = 0.0
        """Share of the requests that are answered with `refused_status`."""
        self.refused_status = 503
        self.served: float = float("inf")
        """Requests that are still answered; then none."""
        self.requests = self.refused = 0
        self._random, self._lock, self._numbers = random.Random(0), threading.Lock(), itertools.count()

    def refuses(self) -> bool:
        """Count a request, and decide whether it gets a 503."""
        with self._lock:
            self.requests += 1
            refused = self.requests > self.served or self._random.random() < self.refused_share
            self.refused += refused
            return refused

    def store(self, key: str, body: bytes, headers: dict[str, str]) -> None:
        """Keep an object and the headers that belong to it."""
        with self._lock:
            self.objects[key], self.about[key] = body, headers

    def remove(self, key: str) -> None:
        """Delete an object if there is one."""
        with self._lock:
            self.objects.pop(key, None)

    def begin_upload(self) -> str:
        """Begin an upload in parts; return its identity."""
        identity = f"upload-{next(self._numbers)}"
        self.parts[identity] = {}
        return identity

    def variables(self) -> dict[str, str]:
        """Environment variables that make the bucket Metaflow's datastore."""
        return {
            "METAFLOW_DEFAULT_DATASTORE": "s3",
            "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{BUCKET}/metaflow",
            "METAFLOW_S3_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Metaflow reads and writes with many processes at once.
    request_queue_size = 128
    bucket: Bucket


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            # A client that was killed or gave up.
            self.close_connection = True

    def do_PUT(self) -> None:
        body = self._body()
        if self._bucket.refuses():
            return self._answer(self._bucket.refused_status, SLOW_DOWN)
        if "partNumber" in self._query:
            self._bucket.parts[self._query["uploadId"][0]][int(self._query["partNumber"][0])] = body
        else:
            self._bucket.store(self._key, body, self._kept_headers())
        return self._answer(200, headers={"ETag": _etag(body)})

    def do_POST(self) -> None:
        body = self._body()
        if self._bucket.refuses():
            return self._answer(self._bucket.refused_status, SLOW_DOWN)
        if "delete" in self._query:
            for name in ElementTree.fromstring(body).iter():
                if name.tag.endswith("Key"):
                    self._bucket.remove(str(name.text))
            return self._answer(200, b"<DeleteResult></DeleteResult>")
        if "uploads" in self._query:
            identity = self._bucket.begin_upload()
            self._bucket.about[self._key] = self._kept_headers()
            text = f"<UploadId>{identity}</UploadId>"
            return self._answer(200, f"<InitiateMultipartUploadResult>{text}</InitiateMultipartUploadResult>".encode())
        parts = self._bucket.parts.pop(self._query["uploadId"][0])
        whole = b"".join(parts[number] for number in sorted(parts))
        self._bucket.store(self._key, whole, self._bucket.about.get(self._key, {}))
        text = f"<ETag>{escape(_etag(whole))}</ETag>"
        return self._answer(200, f"<CompleteMultipartUploadResult>{text}</CompleteMultipartUploadResult>".encode())

    def do_DELETE(self) -> None:
        if self._bucket.refuses():
            return self._answer(self._bucket.refused_status, SLOW_DOWN)
        self._bucket.remove(self._key)
        return self._answer(204)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self._bucket.refuses():
            return self._answer(self._bucket.refused_status, SLOW_DOWN)
        if not self._key:
            return self._list() if self.command == "GET" else self._answer(200)
        body = self._bucket.objects.get(self._key)
        if body is None:
            text = f"<Error><Code>NoSuchKey</Code><Message>no object {escape(self._key)}</Message></Error>"
            return self._answer(404, text.encode())
        headers = {"ETag": _etag(body), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        headers |= self._bucket.about.get(self._key, {})
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(body)}"
            return self._answer(206, body[int(first) : end + 1], headers=headers)
        return self._answer(200, body, headers=headers)

    def _list(self) -> None:
        prefix, delimiter = (self._query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        contents, folders = [], set()
        for key, body in sorted(self._bucket.objects.copy().items()):
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                contents.append(
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size><ETag>{escape(_etag(body))}</ETag>"
                    "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                )
        folders_text = [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)]
        text = "".join(["<ListBucketResult><IsTruncated>false</IsTruncated>", *contents, *folders_text])
        self._answer(200, f"{text}</ListBucketResult>".encode())

    def _answer(self, status: int, body: bytes = b"", *, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return _joined_chunks(body) if "aws-chunked" in self.headers.get("Content-Encoding", "") else body

    def _kept_headers(self) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}
        return kept | {name: value for name, value in self.headers.items() if name == "Content-Type"}

    @property
    def _bucket(self) -> Bucket:
        return self.server.bucket  # type: ignore[attr-defined]

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").removeprefix("/")

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing about single requests."""


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _joined_chunks(body: bytes) -> bytes:
    """The content of a body in AWS's chunks: size in hexadecimal, content, ..., 0, trailers."""
    content = b""
    while size := int(body.split(b"\r\n", 1)[0].split(b";")[0], 16):
        start = body.index(b"\r\n") + 2
        content, body = content + body[start : start + size], body[start + size + 2 :]
    return content

"""A stand-in for S3 that keeps objects in memory: enough for what Metaflow and boto3 ask of a bucket."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"


@contextmanager
def s3_server() -> Iterator["Bucket"]:
    """Serve one empty bucket on a free port of this machine until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Requests)
    server.daemon_threads = True
    bucket = server.bucket = Bucket(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Bucket:
    """The objects of the bucket by key, and where it is served."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}

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


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _joined_chunks(body)
        self._bucket.objects[self._key] = body
        self._answer(200, headers={"ETag": _etag(body)})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if "list-type" in self._query:
            return self._list()
        body = self._bucket.objects.get(self._key)
        if body is None:
            text = f"<Error><Code>NoSuchKey</Code><Message>no object {escape(self._key)}</Message></Error>"
            return self._answer(404, text.encode())
        headers = {"ETag": _etag(body), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(body)}"
            return self._answer(206, body[int(first) : end + 1], headers=headers)
        return self._answer(200, body, headers=headers)

    def _list(self) -> None:
        prefix, delimiter = (self._query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        contents, folders = [], set()
        for key, body in sorted(self._bucket.objects.items()):
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

    @property
    def _bucket(self) -> Bucket:
        return self.server.bucket  # type: ignore[attr-defined]

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")

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

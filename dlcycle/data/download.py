"""Fetch bytes from `https://` and `s3://`, from public addresses only and without showing secrets."""

import contextlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from dlcycle.errors import SourceError

CHUNK = 1 << 20
MEGABYTE = 1_000_000
CONNECT_SECONDS = 10
READ_SECONDS = 60
TOTAL_SECONDS = 3600
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
# IPv6 ranges that carry an IPv4 address in their last 32 bits (RFC 6052, RFC 4291).
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve_host(host: str, port: int) -> list[str]:
    """Return every address of a host, as text."""
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def connect_tls(address: str, port: int, host: str, *, context: ssl.SSLContext | None = None) -> socket.socket:
    """Connect to one address and check that the certificate there belongs to `host`."""
    plain = socket.create_connection((address, port), timeout=CONNECT_SECONDS)
    try:
        secured = (context or ssl.create_default_context()).wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    secured.settimeout(READ_SECONDS)
    return secured


def s3_client() -> Any:
    """Return a boto3 client, for the store that METAFLOW_S3_ENDPOINT_URL names or for AWS."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"max_attempts": 4, "mode": "standard"},
    )
    return boto3.client("s3", endpoint_url=os.environ.get("METAFLOW_S3_ENDPOINT_URL") or None, config=config)


@dataclass(frozen=True)
class Transport:
    """The three ways out of the machine; a test replaces them."""

    resolve: Callable[[str, int], list[str]] = resolve_host
    """(host, port) -> addresses."""
    connect: Callable[[str, int, str], socket.socket] = connect_tls
    """(address, port, host) -> a connected socket whose certificate was checked against the host."""
    s3: Callable[[], Any] = s3_client
    """() -> S3 client."""


def redact(uri: str) -> str:
    """Return a URI without user, password, query and fragment, which may hold secrets.

    >>> redact("https://me:secret@example.org/a.csv?token=abc")
    'https://example.org/a.csv'
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    port = authority.rpartition(":")[2]
    # A password may hold "/", "?" or "#" unquoted; then all up to the last "@" is taken for a secret.
    if "@" in rest and ("@" in authority or (":" in authority and not port.isdigit())):
        start = len(authority) if "@" in authority else len(rest)
        rest = rest[rest.rindex("@", 0, start) + 1 :]
    return f"{scheme}://{re.split('[?#]', rest, maxsplit=1)[0]}"


def is_public(address: str) -> bool:
    """Tell whether an address belongs to the public internet.

    IPv4 addresses hidden in IPv6 ones (mapped, 6to4, Teredo) are refused; behind a NAT64 gateway the hidden one counts.

    >>> [is_public(address) for address in ("93.184.216.34", "169.254.169.254", "::ffff:8.8.8.8", "64:ff9b::a00:1")]
    [True, False, False, False]
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.scope_id or ip.is_site_local:
            return False
    # 100.64.0.0/10 and the like are neither private nor global, therefore is_global is asked as well.
    refused = ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_reserved or ip.is_multicast
    return ip.is_global and not refused and not ip.is_unspecified


def https_chunks(uri: str, *, allowed_hosts: Sequence[str], limit: int, transport: Transport) -> Iterator[bytes]:
    """Yield the bytes behind an `https://` URL, following at most five redirects, each of them checked anew.

    Args:
        uri: The URL; it may carry a query string, which no message shows.
        allowed_hosts: Hosts that may be named; empty allows every public host.
        limit: Bytes after which a promised length is refused.
        transport: How hosts are resolved and reached.

    Raises:
        SourceError: The URL or a redirect must not be opened, or the download failed.
    """
    deadline = time.monotonic() + TOTAL_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        parts = _checked_url(uri, allowed_hosts)
        with (
            contextlib.closing(_connection(parts, transport)) as connection,
            contextlib.closing(_response(connection, parts)) as response,
        ):
            if response.status in REDIRECTS:
                uri = _redirected(uri, response.getheader("Location") or "")
                continue
            if response.status != 200:
                raise SourceError(_about_status(response.status, redact(uri)))
            yield from _body(response, redact(uri), limit=limit, deadline=deadline)
            return
    raise SourceError(f"{redact(uri)}: more than {MAX_REDIRECTS} redirects; give the final address")


def _redirected(uri: str, location: str) -> str:
    try:
        target = urljoin(uri, location)
        scheme = urlsplit(target).scheme
    except ValueError:
        raise SourceError(f"{redact(uri)}: redirects to something that is not a URL") from None
    if scheme != "https":
        raise SourceError(f"{redact(uri)}: redirects to {redact(target)}, which is not https://; refused")
    return target


def _checked_url(uri: str, allowed_hosts: Sequence[str]) -> SplitResult:
    shown = redact(uri)
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        raise SourceError(f"{shown}: not a valid URL") from None
    if "@" in parts.netloc:
        raise SourceError(
            f"{shown}: user names and passwords in URLs are refused, they end up in logs; use a pre-signed URL or s3://"
        )
    if not host or port == 0 or any(ord(character) <= 32 or ord(character) == 127 for character in uri):
        raise SourceError(f"{shown}: not a valid URL; expected https://host/path without spaces")
    allowed = [name.lower().rstrip(".") for name in allowed_hosts]
    if allowed and host.lower().rstrip(".") not in allowed:
        raise SourceError(f"{shown}: host {host} is not in data.allowed_hosts ({', '.join(allowed)})")
    return parts


def _connection(parts: SplitResult, transport: Transport) -> http.client.HTTPSConnection:
    """Return a connection to an address of the host that was checked to be public."""
    host, port, shown = parts.hostname or "", parts.port or 443, redact(parts.geturl())
    host = host if ":" in host else host.encode("idna").decode("ascii")
    try:
        addresses = transport.resolve(host, port)
    except OSError as error:
        raise SourceError(f"{shown}: host {host} cannot be resolved ({error.strerror or error}); check it") from None
    refused = [address for address in addresses if not is_public(address)]
    if refused or not addresses:
        raise SourceError(
            f"{shown}: host {host} has the address {', '.join(refused[:3]) or '(none)'}, which is not public; private, "
            "loopback and link-local addresses are refused. Fetch the file by other means and give its path"
        )
    problem: Exception | None = None
    for address in addresses:
        try:
            connected = transport.connect(address, port, host)
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"{shown}: the certificate is not valid for {host}: {error.verify_message}") from None
        except OSError as error:
            problem = error
            continue
        connection = http.client.HTTPSConnection(host, port, timeout=READ_SECONDS)
        connection.sock = connected
        # Without this, http.client would connect by name, past the check, should the socket close.
        connection.auto_open = 0
        return connection
    raise SourceError(f"{shown}: cannot connect to {host} port {port}: {problem}; check the network and try again")


def _response(connection: http.client.HTTPSConnection, parts: SplitResult) -> http.client.HTTPResponse:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept-Encoding": "identity", "User-Agent": "dlcycle"}
    try:
        connection.request("GET", quote(target, safe=string.punctuation), headers=headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{redact(parts.geturl())}: no answer: {type(error).__name__}; try again later") from None


def _about_status(status: int, shown: str) -> str:
    advice = {401: "it needs a login", 403: "access is denied, or a signed URL has expired", 404: "no such file"}
    return f"{shown}: the server answered {status}: {advice.get(status, 'try again later')}; check the URL in a browser"


def _body(response: http.client.HTTPResponse, shown: str, *, limit: int, deadline: float) -> Iterator[bytes]:
    def read() -> bytes:
        if time.monotonic() > deadline:
            raise SourceError(f"{shown}: not complete after {TOTAL_SECONDS // 60} minutes; fetch it by other means")
        return response.read1(CHUNK)

    try:
        yield from _complete(read, shown, promised=response.length, limit=limit)
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{shown}: the download broke off: {type(error).__name__}; try again") from None


def _complete(read: Callable[[], bytes], shown: str, *, promised: int | None, limit: int) -> Iterator[bytes]:
    """Yield what `read` returns until nothing comes; refuse more bytes than the limit and fewer than promised."""
    if promised is not None and promised > limit:
        raise SourceError(about_size(shown, limit, promised))
    received = 0
    while chunk := read():
        received += len(chunk)
        yield chunk
    if promised is not None and received < promised:
        raise SourceError(f"{shown}: the download broke off after {received:,} of {promised:,} bytes; try again")


def about_size(shown: str, limit: int, size: int | None = None) -> str:
    """Say that a source is too large; `limit` and `size` in bytes."""
    found = f"{size / MEGABYTE:,.1f} MB" if size else "the source"
    return f"{shown}: {found} is larger than the limit of {limit // MEGABYTE:,} MB; raise data.max_megabytes to read it"


def s3_chunks(uri: str, *, limit: int, transport: Transport) -> Iterator[bytes]:
    """Yield the bytes of an `s3://bucket/key` object.

    Raises:
        SourceError: The object is missing or too large, access is denied, no credentials are set, or the store cannot
            be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    # A key may hold "?" and "#", which a URL parser would cut off.
    bucket, _, key = uri.partition("://")[2].partition("/")
    if "@" in bucket or ":" in bucket:
        raise SourceError("s3://: credentials in the address are refused; expected s3://bucket/key")
    if not bucket or not key or key.endswith("/"):
        raise SourceError(f"{uri}: expected s3://bucket/key of one object, not a bucket or a folder")
    try:
        answer = transport.s3().get_object(Bucket=bucket, Key=key)
        body, promised = answer["Body"], answer.get("ContentLength")
        yield from _complete(lambda: body.read(CHUNK), uri, promised=promised, limit=limit)
    except (NoCredentialsError, PartialCredentialsError):
        raise SourceError(
            f"{uri}: no AWS credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        reasons = {"NoSuchKey": "no such object", "404": "no such object", "NoSuchBucket": "no such bucket"}
        reason = reasons.get(code, "access is denied" if code in ("AccessDenied", "403") else "the store refused")
        raise SourceError(f"{uri}: {reason} ({code}); check the name and the rights of the credentials") from None
    except (BotoCoreError, ValueError, OSError) as error:
        raise SourceError(f"{uri}: cannot be read from S3: {type(error).__name__} ({str(error)[:200]})") from None

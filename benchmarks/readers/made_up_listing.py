"""A server that answers as S3 does when a bucket ``keys-N`` is listed, of N keys that nobody stored.

Prints its URL and serves until it is ended.
"""

from __future__ import annotations

import http.server
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
A_CASE = 5000
KEY = "exports/case-{case:06d}/ct/{number:09d}.dcm"
CONTENT = (
    "<Contents><Key>" + KEY + "</Key><LastModified>2024-05-06T07:08:09.000Z</LastModified>"
    '<ETag>"{number:032x}"</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>'
)
COMMON = "<CommonPrefixes><Prefix>exports/case-{case:06d}/</Prefix></CommonPrefixes>"
RESULT = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<IsTruncated>{more}</IsTruncated>{token}{content}</ListBucketResult>"
)


class Listing(http.server.BaseHTTPRequestHandler):
    """Answers requests to list."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Say that there is no object."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Give a page."""
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        keys = int(asked.path.strip("/").rpartition("-")[2])
        body = page(keys, query).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def page(keys: int, query: dict[str, str]) -> str:
    """Give a page of a listing; of one case where the prefix names it."""
    begin, end = 0, keys
    parts = query.get("prefix", "").split("/")
    in_case = len(parts) > 2
    if in_case:
        case = int(parts[1].rpartition("-")[2])
        begin, end = case * A_CASE, min((case + 1) * A_CASE, keys)
    if "delimiter" in query and not in_case:
        cases = -(-keys // A_CASE)
        first = int(query.get("continuation-token", 0))
        last = min(first + PAGE, cases)
        content = "".join(COMMON.format(case=case) for case in range(first, last))
        return result(content, last if last < cases else None)
    first = int(query.get("continuation-token", begin))
    last = min(first + PAGE, end)
    lines = (
        CONTENT.format(case=number // A_CASE, number=number, size=500_000 + number % 1000)
        for number in range(first, last)
    )
    return result("".join(lines), last if last < end else None)


def result(content: str, token: int | None) -> str:
    """Give the document of a page."""
    following = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    return RESULT.format(more=str(token is not None).lower(), token=following, content=content)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

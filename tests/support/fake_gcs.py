"""fake-gcs-server, which speaks for Google Cloud Storage, as a child process on free loopback ports, with a front that lets the library write.

The library writes by Google's XML interface, which fake-gcs-server knows for reads, lists and deletes only. The front passes those on as they
are, makes an upload of the JSON interface out of each put, with its precondition, and keeps the parts of large ones until they are whole. So what
the store decides is fake-gcs-server's own; the words of Google's XML interface for writes are imitated.

Built by `make s3-servers`, which `make test` does too. Where it cannot be, tests are skipped with the reason.
"""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import pytest
from support.object_server import ObjectServer

from tools.s3_servers import FAKE_GCS

BUCKET = "moldau"
_PASSED_ON = ("range", "if-match", "if-none-match", "authorization", "x-goog-if-generation-match")
_GIVEN_BACK = (
    "content-type",
    "content-range",
    "etag",
    "last-modified",
    "x-goog-generation",
    "x-goog-stored-content-length",
)


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: int
    uploads: dict[str, dict[int, bytes]]
    ids: itertools.count[int]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def do_DELETE(self) -> None:
        if "uploadId" in self._query():
            self.uploads.pop(self._query()["uploadId"], None)
            self._answer(204)
        else:
            self._pass_on()

    def do_PUT(self) -> None:
        body, query = self._body(), self._query()
        if "partNumber" in query:
            self.uploads[query["uploadId"]][int(query["partNumber"])] = body
            self._answer(200, headers={"ETag": f'"{query["partNumber"]}"'})
        else:
            self._upload(body, b"")

    def do_POST(self) -> None:
        body, query = self._body(), self._query()
        if "uploads" in query:
            upload = f"upload-{next(self.ids)}"
            self.uploads[upload] = {}
            names = f"<Bucket>{BUCKET}</Bucket><Key>x</Key><UploadId>{upload}</UploadId>"
            self._answer(200, f"<InitiateMultipartUploadResult>{names}</InitiateMultipartUploadResult>".encode())
        else:
            parts = self.uploads.pop(query["uploadId"])
            wanted = re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)
            done = b'<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>'
            self._upload(b"".join(parts[int(number)] for number in wanted), done)

    def _query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _upload(self, body: bytes, done: bytes) -> None:
        _, bucket, key = urlsplit(self.path).path.split("/", 2)
        query = {"uploadType": "media", "name": unquote(key)}
        if (generation := self.headers.get("x-goog-if-generation-match")) is not None:
            query["ifGenerationMatch"] = generation
        path = f"/upload/storage/v1/b/{quote(bucket)}/o?{urlencode(query)}"
        status, _, answer = self._ask("POST", path, body, {"Content-Type": "application/octet-stream"})
        if status == 200:
            made = json.loads(answer)
            self._answer(200, done, {"ETag": made["etag"], "x-goog-generation": made["generation"]})
        else:
            self._answer(status, answer)

    def _pass_on(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() in _PASSED_ON}
        status, found, answer = self._ask(self.command, self.path, None, headers)
        given = {name: value for name, value in found if name.lower() in _GIVEN_BACK}
        self._answer(status, answer, given, dict(found).get("Content-Length") if self.command == "HEAD" else None)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, length: str | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client hung up."""


class GcsServer(ObjectServer):
    """One process with one bucket in its memory. `port` is the front's, `upstream` the server's own."""

    scheme = "gs"
    bucket = BUCKET

    def __init__(self) -> None:
        super().__init__("fake-gcs-server")
        self.upstream = self.port
        about = {"upstream": self.upstream, "uploads": {}, "ids": itertools.count()}
        self._front = _Server(("127.0.0.1", 0), type("Front", (_Front,), about))
        self.port = self._front.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        place = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(self.upstream), "-log-level", "error"]
        place += ["-backend", "memory", "-public-host", f"127.0.0.1:{self.upstream}"]
        self._launch([str(FAKE_GCS.path), *place], {}, self._answers)
        threading.Thread(target=self._front.serve_forever, name="gcs-front", daemon=True).start()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=10)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/storage/v1/b", json.dumps({"name": BUCKET}), headers)
            assert connection.getresponse().status == 200
        finally:
            connection.close()
        return True

    def close(self) -> None:
        self._front.shutdown()
        self._front.server_close()
        super().close()


@functools.cache
def running() -> GcsServer:
    """The server, started once for all tests. Skips the test where it is not built."""
    if not FAKE_GCS.path.exists():
        pytest.skip("fake-gcs-server is not built: run make s3-servers (it needs Go)")
    return GcsServer().kept()

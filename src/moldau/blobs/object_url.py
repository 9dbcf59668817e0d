"""From `moldau.blobs.url` to something to talk to: `s3://BUCKET/PREFIX?OPTION=VALUE&...`, `gs://...`, `az://...`.

Options, all of them optional:

    endpoint        where the store is, if not at AWS, Google or Azure: http://127.0.0.1:9000; of Azure with the account where it stands in
                    the path: http://127.0.0.1:10000/devstoreaccount1
    region          S3: default us-east-1, or what AWS_REGION says
    path_style      S3: true (default with an endpoint) puts the bucket into the path, false into the host's name
    sse             S3: server-side encryption, AES256, aws:kms or aws:kms:dsse
    sse_kms_key_id  S3: the key for aws:kms
    unsigned_payload  S3: false signs a SHA-256 of what is put, which S3 checks and which costs 0.5 ms of CPU a MiB on either side. Default
                    true over https:// and to this host, where nobody can change it on the way; else false
    conditional_put false for a store that does not know If-None-Match (of GCS: x-goog-if-generation-match)
    ca_file         a PEM file with further certificate authorities
    timeout_ms      of one request (default 10000)
    deadline_ms     of a call with all its retries (default 30000)

Credentials never stand in the URL, because settings are shown to clients. They come by the usual chain:

    S3      the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), the profile of the shared credentials file
            (AWS_PROFILE, `default`), web identity, container, instance
    GCS     GOOGLE_APPLICATION_CREDENTIALS, a file, or the instance. An http:// endpoint is an emulator, to which none are sent
    Azure   AZURE_STORAGE_ACCOUNT_NAME, always; AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN; else AZURE_TENANT_ID and
            AZURE_CLIENT_ID with AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE, or the instance

An endpoint may come from the environment too: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, GOOGLE_BASE_URL, AZURE_STORAGE_ENDPOINT.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from moldau.host_port import is_loopback

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "gs", "az")
_S3_OPTIONS: Final = ("region", "path_style", "sse", "sse_kms_key_id", "unsigned_payload")
_OPTIONS: Final = ("endpoint", *_S3_OPTIONS, "conditional_put", "ca_file", "timeout_ms", "deadline_ms")
_ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT",),
}
_AZURE: Final = {
    "account_name": "AZURE_STORAGE_ACCOUNT_NAME",
    "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
    "sas_key": "AZURE_STORAGE_SAS_TOKEN",
}
_SSE: Final = ("AES256", "aws:kms", "aws:kms:dsse")
CONNECT_SECONDS: Final = 3.0


class BadUrl(ValueError):
    """The URL cannot be used; the text says why, and what was expected."""


class ObjectUrl:
    """A URL taken apart and checked; nothing is connected to. Raises BadUrl."""

    __slots__ = ("bucket", "conditional_put", "deadline_seconds", "options", "prefix", "scheme", "timeout_seconds")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.scheme = parts.scheme
        if self.scheme not in SCHEMES:
            raise BadUrl(f"{url}: expected {', '.join(f'{each}://' for each in SCHEMES)} or file:///")
        if parts.username or parts.password or "@" in parts.netloc:
            raise BadUrl("credentials do not belong into the URL, which clients are shown; use the environment")
        if not parts.netloc:
            raise BadUrl(f"{url}: there is no bucket; expected {self.scheme}://BUCKET/PREFIX")
        if parts.fragment:
            raise BadUrl(f"{url}: expected no #")
        self.bucket = parts.netloc
        self.prefix = parts.path.strip("/")
        self.options = self._read(parts)
        self.conditional_put = self._flag("conditional_put", True)
        self.timeout_seconds = self._milliseconds("timeout_ms", 10_000)
        self.deadline_seconds = self._milliseconds("deadline_ms", 30_000)
        self._flag("path_style", True)
        self._flag("unsigned_payload", True)
        if self.options.get("sse", _SSE[0]) not in _SSE:
            raise BadUrl(f"sse={self.options['sse']}: expected {', '.join(_SSE)}")

    def _read(self, parts: SplitResult) -> dict[str, str]:
        options: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if (
                ("key" in name and name != "sse_kms_key_id")
                or "secret" in name
                or "token" in name
                or "password" in name
            ):
                raise BadUrl(f"{name} does not belong into the URL, which clients are shown; use the environment")
            if name not in _OPTIONS:
                raise BadUrl(f"there is no option {name}; expected {', '.join(_OPTIONS)}")
            if name in _S3_OPTIONS and self.scheme != "s3":
                raise BadUrl(f"option {name} is for s3://, not for {self.scheme}://")
            if name in options:
                raise BadUrl(f"option {name} is there twice")
            options[name] = value
        return options

    def _flag(self, name: str, default: bool) -> bool:
        value = self.options.get(name)
        if value not in (None, "true", "false"):
            raise BadUrl(f"{name}={value}: expected true or false")
        return default if value is None else value == "true"

    def _milliseconds(self, name: str, default: int) -> float:
        value = self.options.get(name, str(default))
        if not value.isdecimal() or not 0 < int(value) <= 3_600_000:
            raise BadUrl(f"{name}={value}: expected milliseconds, 1 to 3600000")
        return int(value) / 1000

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    def connect(self, env: Mapping[str, str] = os.environ) -> ObjectStore:
        """The library's store; sends nothing yet. Raises BadUrl, also when the library is not installed."""
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise BadUrl(f"{self.scheme}:// needs the extra: pip install 'moldau[cluster]'") from error
        client: dict[str, Any] = {
            "timeout": timedelta(seconds=self.timeout_seconds),
            "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, self.timeout_seconds)),
        }
        if "ca_file" in self.options:
            try:
                client["root_certificate"] = Path(self.options["ca_file"]).read_bytes()
            except OSError as error:
                raise BadUrl(f"ca_file={self.options['ca_file']}: {error.strerror}") from error
        endpoint = self._endpoint(env)
        if endpoint:
            client["allow_http"] = endpoint.startswith("http://")
        config = {"s3": self._s3, "gs": self._gs, "az": self._az}[self.scheme](endpoint, env)
        # moldau.blobs.objects sends requests again itself, out of one budget
        retries: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=self.timeout_seconds)}
        try:
            return from_url(str(self), config=config or None, client_options=client, retry_config=retries)  # type: ignore[call-overload, no-any-return]
        except Exception as error:
            raise BadUrl(f"{self}: {str(error).partition(chr(10))[0]}") from error

    def _endpoint(self, env: Mapping[str, str]) -> str:
        """As the option or the environment says; empty for the cloud's own. Raises BadUrl."""
        theirs = next(filter(None, map(env.get, _ENDPOINTS[self.scheme])), "")
        endpoint = self.options.get("endpoint", theirs)
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise BadUrl(f"endpoint={endpoint}: expected http://HOST:PORT or https://HOST:PORT")
        return endpoint.rstrip("/")

    def _gs(self, endpoint: str, env: Mapping[str, str]) -> dict[str, Any]:
        if endpoint.startswith("http://"):
            # an emulator: nothing is signed, and no token of anybody goes there in the clear
            keys = {"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "", "private_key": ""}
            return {"service_account_key": json.dumps({**keys, "private_key_id": ""})}
        config = {"base_url": endpoint} if endpoint else {}
        if env.get("GOOGLE_APPLICATION_CREDENTIALS"):
            config["application_credentials"] = env["GOOGLE_APPLICATION_CREDENTIALS"]
        return config

    def _az(self, endpoint: str, env: Mapping[str, str]) -> dict[str, Any]:
        config = {name: env[theirs] for name, theirs in _AZURE.items() if env.get(theirs)}
        if "account_name" not in config:
            raise BadUrl(f"{self}: which account? set AZURE_STORAGE_ACCOUNT_NAME in the environment")
        if endpoint:
            config["endpoint"] = endpoint
        return config

    def _s3(self, endpoint: str, env: Mapping[str, str]) -> dict[str, Any]:
        options = self.options
        config: dict[str, Any] = {"unsigned_payload": self._flag("unsigned_payload", _unaltered(endpoint))}
        virtual = not self._flag("path_style", bool(endpoint))
        if endpoint and virtual:
            scheme, _, host = endpoint.partition("://")
            endpoint = f"{scheme}://{self.bucket}.{host}"
        if endpoint:
            config["endpoint"] = endpoint
        config["virtual_hosted_style_request"] = virtual
        for name, theirs in (
            ("region", "region"),
            ("sse", "server_side_encryption"),
            ("sse_kms_key_id", "sse_kms_key_id"),
        ):
            if name in options:
                config[theirs] = options[name]
        if env.get("AWS_ACCESS_KEY_ID"):
            # the library reads the environment too, but that of the process
            for name in ("access_key_id", "secret_access_key", "session_token"):
                if env.get(f"AWS_{name.upper()}"):
                    config[name] = env[f"AWS_{name.upper()}"]
        elif not env.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            config |= _profile(env)
        return config


def _unaltered(endpoint: str) -> bool:
    """Whether nobody can change what is sent there on its way."""
    parts = urlsplit(endpoint)
    return parts.scheme != "http" or is_loopback(parts.hostname or "")


def _profile(env: Mapping[str, str]) -> dict[str, str]:
    """Keys from the shared credentials file, if the profile is there and has some. Raises BadUrl."""
    home = Path(env.get("HOME", "~")).expanduser()
    path = Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    name = env.get("AWS_PROFILE") or "default"
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise BadUrl(f"{path} cannot be read: {str(error).partition(chr(10))[0]}") from error
    if not parser.has_section(name):
        if env.get("AWS_PROFILE"):
            raise BadUrl(f"{path} has no profile {name}")
        return {}
    section = parser[name]
    found = {
        ours: section[theirs]
        for theirs, ours in (
            ("aws_access_key_id", "access_key_id"),
            ("aws_secret_access_key", "secret_access_key"),
            ("aws_session_token", "session_token"),
        )
        if theirs in section
    }
    return found if "access_key_id" in found else {}

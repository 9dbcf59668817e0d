"""Addresses as people write them."""

from __future__ import annotations


def host_port(host: str, port: int) -> str:
    """HOST:PORT; a host of IPv6 stands in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

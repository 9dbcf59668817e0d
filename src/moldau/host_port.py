"""Addresses as people write them."""

from __future__ import annotations


def host_port(host: str, port: int) -> str:
    """HOST:PORT; a host of IPv6 stands in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach it. A name other than `localhost` is not looked up."""
    if host.lower() == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False

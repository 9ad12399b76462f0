"""Which transport reaches a URL: through a proxy, over HTTP/2, or directly."""

from __future__ import annotations

import httpx

from deepthrift._net.network import Network
from deepthrift._net.transport import OriginTransport


def transport_for(url: httpx.URL, network: Network) -> OriginTransport:
    """The transport to `url`: through the proxy that was named or that the environment names for it, else direct.

    HTTP/2 is offered where it was asked for and nothing stands between.
    """
    proxy = network.proxy or _environment_proxy(url)
    if network.http2 and proxy is None and url.scheme == "https":
        from deepthrift._net.multiplexed import Http2Transport

        return Http2Transport(url, network=network)
    return OriginTransport(url, proxy=proxy, network=network)


def _environment_proxy(url: httpx.URL) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or url.host in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(url.host):
        return None
    return found if "://" in found else f"http://{found}"

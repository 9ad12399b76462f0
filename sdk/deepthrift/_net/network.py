"""How connections are made: proxies, certificates and protocol, as users of httpx expect."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from deepthrift._types.errors import ConfigurationError, MissingExtra

Verify: TypeAlias = bool | str | Path | ssl.SSLContext
"""Whom to trust: `True` is the usual authorities (or `SSL_CERT_FILE`, `SSL_CERT_DIR`), a path is a file or folder of
your own, a context is all of TLS, and `False` is anybody."""

Cert: TypeAlias = str | Path | tuple[str | Path, str | Path] | tuple[str | Path, str | Path, str]
"""A client certificate: a PEM file with its key, or the certificate, its key and the key's password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How connections are made."""

    proxy: str | None = field(default=None, repr=False)
    verify: Verify = True
    cert: Cert | None = field(default=None, repr=False)
    http2: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked here."""
        if self.http2 and find_spec("h2") is None:
            raise MissingExtra("HTTP/2 needs an extra; install it: pip install 'deepthrift[http2]'")

    def ssl_context(self) -> ssl.SSLContext:
        """The context for TLS.

        Raises:
            ConfigurationError: A file is missing or holds no certificate.
        """
        import httpx

        verify = self.verify
        try:
            if isinstance(verify, ssl.SSLContext):
                context = verify
            elif isinstance(verify, str | Path):
                folder = os.path.isdir(verify)  # noqa: PTH112  # also of a plain text
                context = ssl.create_default_context(
                    cafile=None if folder else verify, capath=str(verify) if folder else None
                )
            else:
                context = httpx.create_ssl_context(verify=verify)
            if isinstance(self.cert, tuple):
                context.load_cert_chain(self.cert[0], self.cert[1], self.cert[2] if len(self.cert) > 2 else None)
            elif self.cert is not None:
                context.load_cert_chain(self.cert)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"the certificates cannot be read: {error}; check verify, cert and SSL_CERT_FILE"
            ) from error
        return context

"""A setting or a feature that cannot be used; nothing was sent."""

from __future__ import annotations

from deepthrift_pricing.errors import ConfigurationError, InvalidRequestError


class ClientClosed(ConfigurationError):
    """The client was closed: the call was not sent, or was ended after `grace` and is booked as far as it came."""


class IsolationUnavailable(ConfigurationError):
    """Code of a model cannot be isolated on this system, so it was not run; the message says what to change."""


class NoEndpointAllowed(ConfigurationError):
    """No endpoint of the client is in a region that the call allows. Nothing was sent."""


class UnsupportedFeature(InvalidRequestError):
    """The host or the mode cannot do what was asked. Nothing was sent."""

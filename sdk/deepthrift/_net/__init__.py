"""Connections: sockets, pools, HTTP/2 and transports."""

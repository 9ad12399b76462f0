"""The calls that a router makes."""

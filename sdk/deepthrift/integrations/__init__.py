"""Deepthrift inside other people's frameworks; each module needs the extra that it is named after."""

__all__: list[str] = []

"""The folder that Deepthrift keeps its files in, locks, and files for the user's eyes alone."""

from __future__ import annotations

from deepthrift._util.file_locks import held
from deepthrift._util.home import home
from deepthrift._util.private_files import private_descriptor, private_file, private_text

__all__ = [
    "held",
    "home",
    "private_descriptor",
    "private_file",
    "private_text",
]

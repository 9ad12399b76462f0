"""`python -m deepthrift.cli` is the `deepthrift` command."""

from deepthrift.cli import main

main()

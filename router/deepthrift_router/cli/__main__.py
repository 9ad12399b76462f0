"""`python -m deepthrift_router.cli` is the `deepthrift` command."""

from deepthrift_router.cli import main

main()

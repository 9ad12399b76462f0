"""An answer, put together from its chunks."""

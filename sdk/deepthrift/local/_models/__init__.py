"""Model files: finding, fetching and checking them."""

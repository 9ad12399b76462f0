"""The decision and the savings as users see them."""

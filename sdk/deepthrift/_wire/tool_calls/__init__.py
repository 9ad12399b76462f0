"""Tool calls in every form that endpoints send them."""

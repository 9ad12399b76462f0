"""The counts that budgets are held against."""

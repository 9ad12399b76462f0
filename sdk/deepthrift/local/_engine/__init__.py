"""The engine as the client sees it: settings, profile, transport."""

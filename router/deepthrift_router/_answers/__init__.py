"""The answer inside a reply: normal forms, wording, length."""

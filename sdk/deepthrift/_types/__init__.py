"""The types that users see: messages, options, replies, events and errors."""

"""Features → registered version."""

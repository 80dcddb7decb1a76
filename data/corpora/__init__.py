"""One reader a public corpus."""

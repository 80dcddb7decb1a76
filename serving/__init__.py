"""Registered version → scorecard."""

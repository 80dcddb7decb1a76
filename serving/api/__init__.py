"""One router a caller, with access and problem details."""

"""Recording → features, shared by training and serving."""

"""A phone call is a function."""

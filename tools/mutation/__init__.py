"""Mutation testing: a random sample of small defects, and whether the tests notice each."""

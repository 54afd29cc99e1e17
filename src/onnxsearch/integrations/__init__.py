"""Adapters to other frameworks, one module each, with an extra of the same name.

No module here is imported by the rest of the package. Importing one whose framework is not
installed raises `MissingExtraError`.
"""

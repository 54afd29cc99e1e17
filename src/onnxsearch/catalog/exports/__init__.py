"""Exports: an index, or a part of it, in a file for other programs, by the file's ending.

.parquet   records and vectors, which `ParquetExport` reads back
.csv       records, each metadata field as a column
.jsonl     records, one JSON object a line
"""

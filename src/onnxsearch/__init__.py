"""onnxsearch: find similar images."""

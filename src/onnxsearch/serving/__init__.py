"""HTTP service and page over an engine; needs the extra `serve`."""

"""A photo library: albums, tags, and photos that look alike."""

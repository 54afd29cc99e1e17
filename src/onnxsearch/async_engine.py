"""The search engine for asyncio: the same operations, awaited."""

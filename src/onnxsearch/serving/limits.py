"""What one client may ask of the service: bytes, images, pixels, seconds."""

from __future__ import annotations

from dataclasses import dataclass

from onnxsearch._internal.cpu import available_cores
from onnxsearch._internal.validation import integer, seconds
from onnxsearch.images.reading import DEFAULT_MAX_PIXELS

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Limits of the service. A request beyond one of them is refused, whoever sends it."""

    upload_bytes: int = 32 * _MIB
    """Bytes of the body of a request; counted while they arrive."""
    images: int = 8
    """Images of each kind, to be like and to be unlike, that one request uploads."""
    pixels: int = DEFAULT_MAX_PIXELS
    """Pixels of a stored file of which a thumbnail is made. For uploads the `ReadPolicy` of the
    engine counts; `onnxsearch serve` gives both the same limit. A pixel takes 4 bytes."""
    top_k: int = 200
    """Hits of one search, and records of one page."""
    offset: int = 100_000
    """Hits or records to leave out before a page."""
    upload_seconds: float = 60.0
    """Seconds within which the body of a request arrives."""
    stall_seconds: float = 10.0
    """Seconds within which at least a part of it arrives."""
    answer_seconds: float = 60.0
    """Seconds within which an answer is ready, once the request is complete."""
    requests: int = 32
    """Requests that are worked on or wait at the same time; further ones get status 429. Their
    bodies are in memory."""
    threads: int = 0
    """Threads that embed, search and make thumbnails; 0 stands for one per core and one more."""
    cache_bytes: int = 64 * _MIB
    """Bytes of thumbnails that are kept in memory."""

    def __post_init__(self) -> None:
        for name in ("upload_bytes", "images", "pixels", "top_k", "requests"):
            integer(name, getattr(self, name), least=1)
        for name in ("offset", "threads", "cache_bytes"):
            integer(name, getattr(self, name), least=0)
        for name in ("upload_seconds", "stall_seconds", "answer_seconds"):
            seconds(name, getattr(self, name))

    @property
    def working_threads(self) -> int:
        """Number of threads, whatever `threads` says."""
        return self.threads or available_cores() + 1

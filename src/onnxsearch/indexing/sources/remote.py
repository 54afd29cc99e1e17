"""Images on the web and in object stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from onnxsearch._internal.validation import instance
from onnxsearch.errors import InvalidArgumentError, MissingExtraError, UnsupportedImageError
from onnxsearch.indexing.failures import failure
from onnxsearch.indexing.sources.remote_policy import HTTP, RemotePolicy
from onnxsearch.indexing.sources.urls import public_url
from onnxsearch.types import Item, Outcome

_Read: TypeAlias = Callable[[str], bytes]

READ_FROM_THE_WEB = RemotePolicy()
"""The default: images on the internet, by HTTP."""


class Remote:
    """The images at URLs: `http://` and `https://`, and those of fsspec such as `s3://`.

    Needs the extra `[remote]`. The worker threads, one per core, download the images side by
    side, each within the limits of the policy; nothing is written to disk. The id of an image,
    and its `uri`, is the URL without user, password, fragment, and parameters that are
    signatures or tokens; so it stays the same when a URL is signed anew.

    A URL of unknown origin cannot reach this machine or its network: the address of a host is
    checked when the connection is made, also after a redirect. Proxies of the environment
    are not used, for the address could not be checked then. A user and a password in a URL
    are sent to that host, and not to another one to which it redirects.

    Args:
        urls: URLs, one or several; they are read as they are needed.
        policy: The limits of size, time and place.

    Raises:
        InvalidArgumentError: An argument has a wrong type or value.
        MissingExtraError: A package is not installed.

    Example:
        >>> engine.add_many(Remote(["https://example.org/cat.jpg"]))
        >>> engine.add_many(Remote(open("urls.txt"), RemotePolicy(timeout=10)))
    """

    def __init__(self, urls: str | Iterable[str], policy: RemotePolicy = READ_FROM_THE_WEB) -> None:
        self._urls = _checked(urls)
        self._reader = RemoteReader(policy)

    def __iter__(self) -> Iterator[Item | Outcome]:
        """Yield an item for each URL, and an outcome for each that may not be read."""
        for url in self._urls:
            if _text(url).strip():
                yield self._reader.item(url.strip())


class RemoteReader:
    """Makes items of URLs, which share the connections of one policy.

    Args:
        policy: The limits of size, time and place.

    Raises:
        InvalidArgumentError: It is not a policy, or names a protocol that does not exist.
        MissingExtraError: A package is not installed.
    """

    def __init__(self, policy: RemotePolicy) -> None:
        self._policy = instance("policy", policy, RemotePolicy, "a RemotePolicy")
        self._readers = {**_web_readers(policy), **_filesystem_readers(policy)}

    def item(self, url: str) -> Item | Outcome:
        """Return the item of a URL, or an outcome if it may not be read."""
        shown = public_url(url)
        try:
            read = self._readers[self._policy.protocol(url)]
        except UnsupportedImageError as error:
            return failure(shown, error)
        return Item(partial(read, url), uri=shown)


def _checked(urls: str | Iterable[str]) -> Iterable[str]:
    if isinstance(urls, str):
        return [urls]
    if isinstance(urls, bytes | Mapping) or not isinstance(urls, Iterable):
        raise InvalidArgumentError(f"urls {urls!r:.80}: expected a URL, or several")
    # Those of an iterator are checked one by one.
    return list(map(_text, urls)) if isinstance(urls, Sequence) else urls


def _text(url: str) -> str:
    return instance("urls", url, str, "a URL, or several")


def _web_readers(policy: RemotePolicy) -> Mapping[str, _Read]:
    """Return what reads URLs of HTTP, by protocol."""
    protocols = [each for each in policy.protocols if each in HTTP]
    if not protocols:
        return {}
    try:
        from onnxsearch.indexing.sources.downloads import Downloader
    except ImportError as error:
        raise MissingExtraError.for_package("httpx2", extra="remote") from error
    return dict.fromkeys(protocols, Downloader(policy).fetch)


def _filesystem_readers(policy: RemotePolicy) -> Mapping[str, _Read]:
    """Return what reads URLs of fsspec, by protocol."""
    protocols = [each for each in policy.protocols if each not in HTTP]
    if not protocols:
        return {}
    try:
        from onnxsearch.indexing.sources.filesystems import check_filesystem, read_filesystem
    except ImportError as error:
        raise MissingExtraError.for_package("fsspec", extra="remote") from error
    for protocol in protocols:
        check_filesystem(protocol)
    return dict.fromkeys(protocols, partial(read_filesystem, policy=policy))

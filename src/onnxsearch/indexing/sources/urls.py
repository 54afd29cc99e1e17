"""URLs of images: what is requested, and what is shown and stored of it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from onnxsearch.errors import UnsupportedImageError

_LONGEST = 8_192
"""Characters of a URL, at most, as servers accept them."""

_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

_SECRET = re.compile(
    r"x-(amz|goog|oss|cos)-.*|(.*[_-])?(token|signature|password|passwd|secret|credentials?|jwt|"
    r"api[_-]?key|access[_-]?key([_-]?id)?|auth|authorization|session(id)?)|sig|key|apikey|pwd|"
    r"awsaccesskeyid|key-pair-id|policy|expires|s[veptirk]|s(ig|ks|kv|oid|tid|rt)",
    re.IGNORECASE,
)
"""Parameters of signed URLs: Amazon, Google, Azure, Alibaba, CloudFront, and tokens."""


def protocol_of(url: str) -> str:
    """Return the protocol of a URL, in lower case.

    Raises:
        UnsupportedImageError: It is not a URL.
    """
    found = _PROTOCOL.match(url)
    if found is None or len(url) > _LONGEST or not url.isprintable():
        raise UnsupportedImageError(
            f"{public_url(url)!r:.300} is not a URL: expected an address such as "
            f"'https://host/cat.jpg', of at most {_LONGEST:,} printable characters"
        )
    return found[1].lower()


def public_url(url: str) -> str:
    """Return a URL without what gives access: user, password, tokens and signatures.

    The fragment, which no server receives, is removed too. The result is the id of the image,
    and does not change when the URL is signed anew.

    Example:
        >>> public_url("https://me:secret@host/a.jpg?size=2&token=xyz#top")
        'https://host/a.jpg?size=2'
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that are not those of an IPv6 address
        return re.sub(r"//.*@", "//", url.partition("?")[0].partition("#")[0])
    place = parts.netloc.rpartition("@")[2]
    kept = [each for each in parts.query.split("&") if each and not _is_secret(each)]
    return urlunsplit((parts.scheme, place, parts.path, "&".join(kept), ""))


def _is_secret(parameter: str) -> bool:
    return _SECRET.fullmatch(parameter.partition("=")[0]) is not None

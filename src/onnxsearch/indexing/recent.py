"""Images that a run stored lately, which its workers may not have seen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class RecentImages:
    """The last images of a run, by id and by content.

    A worker that looked before a commit does not know what came with it.

    Args:
        size: Images that are remembered: as many as may come between a look and its result.
    """

    size: int
    _contents: dict[str, str] = field(default_factory=dict[str, str])
    """Content by id, the oldest first."""
    _holders: dict[str, str] = field(default_factory=dict[str, str])
    """Id by content."""

    def holder(self, content: str) -> str | None:
        """Return the id under which this content was stored."""
        return self._holders.get(content)

    def may_show(self, id: str, content: str) -> bool:
        """Return whether the id may show this content: no other one was stored there since."""
        return self._contents.get(id, content) == content

    def note(self, id: str, content: str) -> None:
        """Remember an image, in place of what its id showed."""
        self._forget(id)
        self._contents[id] = content
        self._holders.setdefault(content, id)
        if len(self._contents) > self.size:
            self._forget(next(iter(self._contents)))

    def _forget(self, id: str) -> None:
        content = self._contents.pop(id, None)
        if content is not None and self._holders.get(content) == id:
            del self._holders[content]

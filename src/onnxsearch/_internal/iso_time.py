"""Dates and times as text."""

from __future__ import annotations

from datetime import UTC, date, datetime

from onnxsearch.errors import InvalidArgumentError


def iso_text(moment: date) -> str:
    """Return a date or a time in the ISO 8601 form that metadata and filters share.

    That is "2026-01-31", "2026-01-31T12:30:00", or for a time with a zone, which is converted
    to UTC, "2026-01-31T12:30:00+00:00". Microseconds are written if they are not 0. Texts of
    one form sort as the times do.

    Raises:
        InvalidArgumentError: The time in UTC is out of the range of `datetime`, or is no time.
    """
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC)
        except (OverflowError, ValueError) as error:
            raise InvalidArgumentError(
                f"time {moment!r:.80} cannot be converted to UTC: expected a year from 1 to 9999"
            ) from error
    text = moment.isoformat()
    if not text[:1].isdigit():  # the missing time of pandas is a datetime too
        raise InvalidArgumentError(f"time {text!r:.80}: expected a date or a time")
    return text

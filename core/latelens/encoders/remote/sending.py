"""Requests that are asked again where that helps, and never tell a key."""

from __future__ import annotations

import email.utils
import os
import random
import threading
import time
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import httpx

_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_ATTEMPTS = 6
# Seconds: the first pause, which doubles, and the longest that is waited for a server.
_PAUSE, _LONGEST = 0.5, 60.0


class ServerError(RuntimeError):
    """A server could not be asked, or refused; the message names it, what it said and what to do."""


class Key:
    """A key that no print, error, pickle or JSON can tell."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Key(***)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not pickled: give it to the other process in its environment")

    def header(self) -> dict[str, str]:
        """What a request carries; empty without a key."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hidden(self, text: str) -> str:
        """A text that may quote the request, without the key."""
        return text.replace(self._value, "***") if self._value else text


class Sender:
    """Posts JSON to one address; safe to share between threads.

    Timeouts, cut connections and the statuses 408, 429 and 5xx are asked again, after as long as ``Retry-After`` says
    or a pause that doubles. Redirects are not followed: they would take texts and key to another server.
    """

    def __init__(self, address: str, key: Key, *, timeout: float) -> None:
        self.address = address
        self._key = key
        self._timeout = timeout
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def post(self, body: dict[str, Any]) -> Any:
        """The JSON that the server answers.

        Raises
        ------
        ServerError
            If it cannot be reached, still fails after all attempts, or refuses.
        """
        said = ""
        for attempt in range(_ATTEMPTS):
            pause = _PAUSE * 2**attempt * (0.5 + random.random() / 2)
            try:
                reply = self._open().post(self.address, json=body)
                if reply.is_success:
                    return reply.json()
            except httpx.TransportError as error:  # its traceback would hold the request: only what it says is kept
                said = f"{type(error).__name__}: {error}"
            except ValueError as error:
                said = f"no JSON ({error})"
            else:
                said = f"status {reply.status_code}: {reply.text[:200]!r}"
                if reply.status_code not in _AGAIN:
                    break
                pause = _asked_pause(reply.headers.get("Retry-After")) or pause
            if pause > _LONGEST or attempt == _ATTEMPTS - 1:
                break
            time.sleep(pause)
        raise ServerError(
            f"{self.address} gave no vectors after {attempt + 1} of {_ATTEMPTS} attempts ({self._key.hidden(said)}); "
            f"{_next_step(said)}"
        )

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(headers=self._key.header(), timeout=self._timeout, follow_redirects=False)
            return self._client


def checked_address(url: str, path: str) -> str:
    """The address to post to.

    Raises
    ------
    ValueError
        If it is no http or https address, or holds a name, a key or a query.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"a server is named as http://host:port or https://host, got {url!r:.100}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            f"the address of {parts.hostname!r} must hold no name, key or query: give a key with api_key=, or in the "
            "environment"
        )
    base = url.rstrip("/")
    return base if base.endswith(path) else base + path


def find_key(given: str | None, variable: str) -> Key:
    """The key that was given, else the one of the environment variable, else none."""
    value = os.environ.get(variable, "") if given is None else given
    if any(letter.isspace() or not letter.isascii() for letter in value.strip()):
        raise ValueError(f"a key has no white space and ASCII letters only; look at api_key= or {variable}")
    return Key(value.strip())


def _asked_pause(written: str | None) -> float | None:
    """Seconds of a ``Retry-After``, which is a number or a date; None without a sensible one."""
    if not written:
        return None
    try:
        return max(0.0, float(written))
    except ValueError:
        try:
            return max(0.0, (email.utils.parsedate_to_datetime(written) - datetime.now(timezone.utc)).total_seconds())
        except (TypeError, ValueError):
            return None


def _next_step(said: str) -> str:
    if "status 401" in said or "status 403" in said:
        return "check the key"
    if "status 4" in said and "status 429" not in said:
        return "check the address, api= and served_model="
    return "check that the server runs, ask for less at once with concurrency=, or raise timeout="

"""Waiting for a condition, with a deadline."""

import time


class Failed(Exception):
    """A case did not show what it is for."""


def eventually(what, seconds, look, every=0.1):
    """Calls `look` until it returns something true, and returns that. A `Failed` out of `look` is a "not yet"."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = look()
            if last:
                return last
        except Failed as error:
            last = error
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s; last seen: {str(last)[-2000:]}")
        time.sleep(every)


def stays(what, seconds, look, every=0.25):
    """Holds that `look` returns something true for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        expect(look(), f"{what}: it did not stay so for {seconds} s")
        time.sleep(every)


def expect(condition, text):
    """An assertion that is never optimised away."""
    if not condition:
        raise Failed(text)

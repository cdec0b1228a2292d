"""What schemathesis is told of this server: names that exist, and that a poll need not take long.

Names made up at random are those of databases and collections that do not exist, so that nearly
every answer would be 404. Of those that fit the description, some are put in the place of others.
"""

import re

import schemathesis

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
# Milliseconds that a poll waits at most here, where the description allows a minute.
WAIT_MS_MAX = 20


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    """Puts names that exist in the place of three in four, the same in every run."""
    parts = (
        ("database", "default"),
        ("collection", "default"),
        ("namespace", "books"),
        ("id", "7"),
    )
    for part, known in parts:
        value = (path_parameters or {}).get(part)
        fits = isinstance(value, str) and (part == "id" or NAME.fullmatch(value))
        if fits and sum(value.encode()) % 4 > 0:
            path_parameters[part] = known
    return path_parameters


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """The body of an import is text, which may be no JSON at all."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Shortens the time that a poll waits, when it is one."""
    wait = (case.query or {}).get("wait_ms")
    if str(wait).isdecimal() and WAIT_MS_MAX < int(wait) <= 60_000:
        case.query["wait_ms"] = WAIT_MS_MAX

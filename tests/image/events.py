"""Which events EventBridge delivers to a rule (user guide, "Event patterns"), of the filters that the rules here use."""

import fnmatch


def matches(pattern, event):
    """Whether EventBridge delivers the event to the rule (user guide, 'Event patterns'): every field of the pattern must
    be there, and of an array one element is enough."""
    for key, wanted in pattern.items():
        if key not in event:
            return False
        if isinstance(wanted, dict):
            if not isinstance(event[key], dict) or not matches(wanted, event[key]):
                return False
            continue
        values = event[key] if isinstance(event[key], list) else [event[key]]
        if not any(fits(one, value) for one in wanted for value in values):
            return False
    return True


def fits(wanted, value):
    if not isinstance(wanted, dict):
        return wanted == value
    ((kind, argument),) = wanted.items()
    if kind == "prefix":
        return isinstance(value, str) and value.startswith(argument)
    if kind == "wildcard":
        return isinstance(value, str) and fnmatch.fnmatchcase(value, argument)
    raise ValueError(f"a filter that this test does not know: {kind}")

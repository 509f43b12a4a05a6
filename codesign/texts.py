"""A text that is always there, cut in two, so that none of it both calibrates and scores."""

SCORED_CHARACTERS = 20_000


def scored_text() -> str:
    """What evaluation scores: the first characters of Python's help topics (PSF license), in the order of their
    names."""
    return _topics()[:SCORED_CHARACTERS]


def calibration_text() -> str:
    """What quantization and pruning are calibrated on: the characters after those."""
    return _topics()[SCORED_CHARACTERS:]


def _topics() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))

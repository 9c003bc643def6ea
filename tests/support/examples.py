"""How many examples a property test takes."""

import hypothesis

BESIDE_OTHERS = "beside others"
"""The profile of the workers of `-n`, which take the same examples in each run."""
ALONE = "alone"


def examples(count: int) -> int:
    """Return so many, or half as many beside others, where more would always be the same ones."""
    return count // 2 if hypothesis.settings.get_current_profile_name() == BESIDE_OTHERS else count

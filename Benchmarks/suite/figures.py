"""Medians, spread, and what counts as a difference."""

from math import inf
from statistics import median, quantiles


class Sample:
    """One figure of one contender in one cell: all of its runs."""

    def __init__(self, values):
        self.values = [value for value in values if value is not None]

    def __bool__(self):
        return bool(self.values)

    @property
    def median(self):
        return median(self.values)

    @property
    def spread(self):
        """Half the distance between the quartiles, as a part of the median: what one run says, give or take."""
        if len(self.values) < 2 or self.median == 0:
            return 0.0
        low, _, high = quantiles(self.values, n=4, method="inclusive")
        return (high - low) / 2 / self.median

    @property
    def reach(self):
        """Half of what lies between the lowest and the highest run, as a part of the median; one run says nothing."""
        if len(self.values) < 2:
            return inf
        return (max(self.values) - min(self.values)) / 2 / self.median if self.median else 0.0


def ratios(one, other):
    """Run by run where both have as many: two that were measured in turn met the same mood of the machine."""
    if len(one.values) == len(other.values) and all(other.values):
        return Sample([first / second for first, second in zip(one.values, other.values)])
    return Sample([one.median / other.median] if other.median else [float("nan")])


def ratio(one, other):
    return ratios(one, other).median


def noise(one, other, itself=None):
    """How far the ratio of two samples may be from 1 without meaning anything.

    `itself` is a second sample of the program in `one`, measured in turn with it: what lies between the two is noise
    by definition.
    """
    found = ratios(one, other)
    spread = found.spread if len(found.values) > 1 else one.spread + other.spread
    return max(spread, abs(ratio(one, itself) - 1) if itself else 0.0)

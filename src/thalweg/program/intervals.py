"""How sure a share is: Wilson's interval. Choose it for k right of n; it says something at 0 and at n too.

Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Cost: one square root.
"""

from __future__ import annotations

import math

from thalweg.errors import DataError


def wilson_interval(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The interval (low, high) of the share behind `k` right answers out of `n`; z = 1.96 covers it in 95 % of samples.

    Unlike k/n +- z sd it stays inside [0, 1] and says something when k is 0 or n. It always contains k/n.

    Raises:
        DataError: n < 1, k outside [0, n], or z that is negative or not finite.
    """
    if n < 1 or not 0 <= k <= n:
        raise DataError(f"{k} right of {n} is not a share.", "Pass 0 <= k <= n with n at least 1.")
    if not (math.isfinite(z) and z >= 0):
        raise DataError(f"z is {z}.", "Pass a number of standard deviations, such as 1.96 for 95 %.")
    share = k / n
    scale = 1 + z * z / n
    center = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding may push a bound past the share when k is 0 or n, or z is 0.
    return max(0.0, min(center - half, share)), min(1.0, max(center + half, share))

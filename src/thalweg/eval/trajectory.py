"""VERTEX: how closely a computation of several steps follows a reference trajectory, 1 for "as a reference sample".

Choose it to compare programs whose steps are texts, when the way matters and not only the end: outlines, chains of
thought, pipelines of operators. Each step is a set of samples; per step, the kernel mean similarity of generated and
reference embeddings is divided by the reference's similarity to itself; that of a random trajectory is taken away; the
mean over steps is the score. Source: Dinu et al. 2024, "SymbolicAI" (the VERTEX score); kernels as in Gretton et al.
2012, "A kernel two-sample test". Cost: one embedding a text, and n * m kernels a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from thalweg.models.embedder import Embedder

    Trajectory = Sequence[Any] | np.ndarray[Any, Any]

KERNELS, FACTOR = 5, 2.0


@dataclass(frozen=True)
class Vertex:
    """A score with its parts.

    Args:
        score: mean of `steps`, from 0 (as a random trajectory, or further away) to 1.
        steps: per step, ``clip(similarity / z - z_random, 0, 1)``.
        self_score: what the reference itself would score: the most that can be expected.
        bandwidth: of the middle kernel, a squared distance.
    """

    score: float
    steps: tuple[float, ...]
    self_score: float
    bandwidth: float

    def __float__(self) -> float:
        return self.score

    @property
    def of_self(self) -> float:
        """The score as a share of what the reference scores; nan where the random trajectory is as near."""
        return self.score / self.self_score if self.self_score > 0 else float("nan")


def vertex(
    generated: Trajectory, reference: Trajectory, random: Trajectory, *, embedder: Embedder | None = None
) -> Vertex:
    """Score a generated trajectory against a reference and a random one.

    The kernel is the mean of five Gaussians whose bandwidths are a factor 2 apart; the middle one is the mean squared
    distance between all reference and random samples, so that it is the same for everything that is compared with them.
    A reference step of several samples is compared with itself without comparing any sample to itself.

    Args:
        generated, reference, random: the same number of steps, each one text, a sequence of texts (samples of the
            step), or their vectors, [samples, dimensions]. embedder: default `MiniLM` (needs ``thalweg[embed]``).

    Raises:
        DataError: no steps, different numbers of steps, an empty step, or vectors that do not fit together.
    """
    import numpy as np

    if len(reference) == 0 or not len(generated) == len(reference) == len(random):
        raise DataError(
            f"The trajectories have {len(generated)}, {len(reference)} and {len(random)} steps.",
            "Give generated, reference and random trajectories of the same number of steps, at least one.",
        )
    made, known, other = _embedded([generated, reference, random], embedder)
    points = np.concatenate([*known, *other])
    bandwidth = _mean_distance(points)
    if bandwidth <= 0:
        raise DataError("All reference and random samples are equal.", "Give a random trajectory of other steps.")
    steps, ceilings = [], []
    for a, p, r in zip(made, known, other, strict=True):
        z = _self_similarity(p, bandwidth)
        floor = _similarity(r, p, bandwidth) / z
        steps.append(min(max(0.0, _similarity(a, p, bandwidth) / z - floor), 1.0))
        ceilings.append(min(max(0.0, 1.0 - floor), 1.0))
    return Vertex(float(np.mean(steps)), tuple(steps), float(np.mean(ceilings)), bandwidth)


def _similarity(a: Any, b: Any, bandwidth: float) -> float:
    return float(_kernel(a, b, bandwidth).mean())


def _self_similarity(points: Any, bandwidth: float) -> float:
    """The mean over different samples; a sample compared with itself tells nothing of the others (1 for one sample)."""
    n = len(points)
    if n == 1:
        return 1.0
    table = _kernel(points, points, bandwidth)
    return float((table.sum() - n) / (n * (n - 1)))


def _kernel(a: Any, b: Any, bandwidth: float) -> Any:
    """Mean of the kernels, in (0, 1].  # [len(a), len(b)]"""
    import numpy as np

    squared = _distances(a, b)
    widths = bandwidth * FACTOR ** (np.arange(KERNELS) - KERNELS // 2)
    return np.exp(-squared[..., None] / widths).mean(axis=-1)


def _distances(a: Any, b: Any) -> Any:
    """Squared distances.  # [len(a), len(b)]"""
    import numpy as np

    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    return np.maximum(squared, 0.0)


def _mean_distance(points: Any) -> float:
    n = len(points)
    return float(_distances(points, points).sum() / (n * (n - 1)))


def _embedded(trajectories: Sequence[Trajectory], embedder: Embedder | None) -> list[list[Any]]:
    """Vectors of every step of every trajectory; all texts are embedded in one batch."""
    import numpy as np

    texts: list[str] = []
    found: list[list[Any]] = []
    for trajectory in trajectories:
        steps: list[Any] = []
        for index, step in enumerate(trajectory):
            samples = [step] if isinstance(step, str) else step
            if len(samples) == 0:
                raise DataError(f"Step {index} has no sample.", "Give at least one text or vector a step.", row=index)
            if isinstance(samples[0], str):
                steps.append(range(len(texts), len(texts) + len(samples)))
                texts += samples
            else:
                steps.append(np.atleast_2d(np.asarray(samples, np.float64)))
        found.append(steps)
    if texts:
        if embedder is None:
            from thalweg.models.minilm import MiniLM

            embedder = MiniLM()
        vectors = embedder.embed(texts)
        found = [[vectors[one.start : one.stop] if isinstance(one, range) else one for one in steps] for steps in found]
    sizes = {step.shape[-1] for steps in found for step in steps}
    if len(sizes) != 1 or any(step.ndim != 2 for steps in found for step in steps):
        raise DataError(f"The vectors have {sorted(sizes)} dimensions.", "Embed everything with one embedder.")
    return found

"""Sequential Monte Carlo: a population of weighted samples of a grammar, resampled while they are written.

Every particle is written under the mask and weighted by the mass the mask left; when few carry the weight they are
resampled. Weighted, they follow the model's distribution over the grammar as their number grows, and the mean weight
estimates the grammar's mass without bias. Choose it where a prompt is sampled once or rarely: it learns nothing and
depends on nothing but the seed. Sources: Lew, Zhi-Xuan, Grand, Mansinghka 2023, "Sequential Monte Carlo Steering of
Large Language Models"; Loula et al. 2025, "Syntactic and Semantic Control of Large Language Models via SMC".
Cost: K particles are branches behind one prefix, of which engines keep one: each step reads the branches anew, so
about ``K x length^2 / 2`` rows where they part early (`Population.contexts`: the rows if all branches were kept).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from thalweg.decoding.aligned.awrs import Rejection
from thalweg.decoding.aligned.drawing import Floats, Ints, Sample, chain, choose, close, ids_of, log_sum, logprobs
from thalweg.decoding.constraints import Constraint, State
from thalweg.decoding.fragment import Decoder, Fragment
from thalweg.decoding.samplers import uniform_number
from thalweg.models.request import Sampling
from thalweg.models.scorer import Logits

# From where a particle stands, to the log of its weight and the token of its n-th copy.
Propose = Callable[[State, Floats, np.random.Generator], tuple[float, Callable[[int], int]]]

PARTICLES = 8


@dataclass(eq=False)
class Particle:
    """One sample under way. `log_weight` is that of the population's present generation."""

    state: State
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    log_weight: float = 0.0
    need: int = 0  # first position of (prompt's last token, *tokens) whose logits have not been looked at
    forced: int = 0
    over: bool = False  # complete, or dead (of weight zero)

    def die(self) -> None:
        self.over, self.log_weight = True, -math.inf

    def copy(self) -> Particle:
        return Particle(
            self.state.fork(), list(self.tokens), self.logprob, self.log_weight, self.need, self.forced, self.over
        )


@dataclass(frozen=True)
class Population:
    """Weighted samples at their end. `rows` were asked of the model; `contexts` of them had not been read before."""

    samples: list[Sample]
    rows: int
    contexts: int

    @property
    def log_mass(self) -> float:
        """Log of the share of the model's answers that are in the grammar, estimated; its exponential is unbiased."""
        return log_sum([one.log_weight for one in self.samples]) - math.log(len(self.samples))

    def draw(self, number: float, *, likeliest: bool = False) -> Sample:
        """A sample by its weight; with `likeliest` the one the model finds likeliest. The closed one if all died."""
        if likeliest or self.log_mass == -math.inf:
            return max(self.samples, key=lambda one: (one.log_weight > -math.inf, one.closed, one.logprob))
        return self.samples[choose(np.array([one.log_weight for one in self.samples]), number)]


def masked(state: State, law: Floats, dice: np.random.Generator) -> tuple[float, Callable[[int], int]]:
    """Weight and draws by the whole mask: (log of the allowed mass, token of the n-th copy)."""
    ids = ids_of(state.allowed())
    scores = law[ids]
    return log_sum(scores), lambda copy: int(ids[choose(scores, dice.random())])


def rejected(state: State, law: Floats, dice: np.random.Generator) -> tuple[float, Callable[[int], int]]:
    """The same by adaptive weighted rejection (`awrs`): a few tests of single tokens instead of the mask."""

    def allowed() -> Ints:
        return ids_of(state.allowed())

    accepts = getattr(state, "accepts", None)
    if accepts is None:
        members = set(allowed().tolist())
        accepts = members.__contains__
    found = Rejection(law, accepts, allowed, dice)
    return found.log_weight, found.token


def smc(
    last: int,
    constraint: Constraint,
    sampling: Sampling,
    *,
    end: int,
    limit: int,
    reserve: int = 0,
    particles: int = PARTICLES,
    threshold: float = 0.5,
    propose: Propose = masked,
) -> Decoder[Population]:
    """Write a population behind a prompt whose last token, `last`, is not computed yet.

    Args:
        limit, reserve: a particle that reaches ``limit - reserve`` tokens incomplete dies: the target is the model
            conditioned on the grammar *and* the limit. If all die, one is closed the shortest way.
        particles: how many (K).
        threshold: resample when the effective sample size falls below this share of K.
        propose: how a token is drawn and weighted: `masked` or `rejected`.
    """
    alive = [Particle(constraint.start()) for _ in range(particles)]
    reader = _Reader(last, end)
    writing = alive
    for step in count():
        for one in writing:
            _force(one, limit - reserve)
        if all(one.over for one in alive):
            break
        writing = [one for one in alive if not one.over]
        laws = yield from reader.read(writing, sampling)
        tokens: dict[int, Callable[[int], int]] = {}
        for slot, one in enumerate(alive):
            if not one.over and (token := _weigh(one, laws[id(one)], end, propose, _dice(sampling.seed, step, slot))):
                tokens[id(one)] = token
        alive, origins = _resample(alive, threshold, uniform_number(sampling.seed, -2 - step))
        # All are drawn before any goes on: copies look at the state of the one they come from.
        drawn = [-1 if one.over else tokens[at](copy) for one, (at, copy) in zip(alive, origins, strict=True)]
        for one, token, (origin, _) in zip(alive, drawn, origins, strict=True):
            if not one.over:
                one.logprob += float(laws[origin][-1][token])
                one.need = len(one.tokens) + 1
                one.state.advance(token)
                one.tokens.append(token)
                one.over = token == end
        if any(not one.over for one in alive):
            writing = [one for one in alive if not one.over]
    rows = reader.rows
    closed = writing[0] if all(one.log_weight == -math.inf for one in alive) else None
    if closed is not None:
        pending = [last, *closed.tokens][reader.kept :]
        rows += yield from close(closed.state, pending, reader.logits, closed.tokens, limit)
    return Population([_sample(one, one is closed, end) for one in alive], rows, len(reader.seen))


def _sample(one: Particle, closed: bool, end: int) -> Sample:
    tokens = one.tokens[:-1] if one.tokens and one.tokens[-1] == end else one.tokens
    return Sample("", tuple(tokens), one.logprob, one.log_weight, closed, one.forced)


def _force(one: Particle, limit: int) -> None:
    forced = one.state.forced()
    one.tokens += forced
    one.forced += len(forced)
    if not one.state.done and len(one.tokens) >= limit:
        one.die()


def _weigh(
    one: Particle,
    laws: list[Floats],
    end: int,
    propose: Propose,
    dice: np.random.Generator,
) -> Callable[[int], int] | None:
    """Put what was learned into the weight: forced tokens, then the end or the next token's mass."""
    done = one.state.done
    targets = one.tokens[one.need :]
    if done and (not one.tokens or one.tokens[-1] != end):
        targets = [*targets, end]
    for target, law in zip(targets, laws, strict=False):
        one.logprob += float(law[target])
        one.log_weight += float(law[target])
    one.need = len(one.tokens)
    if done:
        one.over = True
        return None
    mass, token = propose(one.state, laws[-1], dice)
    one.log_weight += mass
    if one.log_weight == -math.inf:
        one.die()
        return None
    return token


def _resample(alive: list[Particle], threshold: float, number: float) -> tuple[list[Particle], list[tuple[int, int]]]:
    """Systematic resampling where the effective sample size is low.

    Returns the next generation, and of each particle the id of the one it comes from and how manieth copy it is.
    """
    size = len(alive)
    log_weights = np.array([one.log_weight for one in alive])
    total = log_sum(log_weights)
    if total > -math.inf:
        shares = np.exp(log_weights - total)
        if 1 / float((shares**2).sum()) < threshold * size:
            ladder = np.cumsum(shares)
            places = np.searchsorted(ladder, (number + np.arange(size)) / size * ladder[-1], side="right")
            copies: Counter[int] = Counter()
            made: list[Particle] = []
            origins: list[tuple[int, int]] = []
            for index in np.minimum(places, np.flatnonzero(shares)[-1]).tolist():
                source = alive[index]
                made.append(source.copy() if copies[index] else source)
                origins.append((id(source), copies[index]))
                copies[index] += 1
            for one in made:
                one.log_weight = total - math.log(size)
            return made, origins
    return alive, [(id(one), 0) for one in alive]


def _dice(seed: int, step: int, slot: int) -> np.random.Generator:
    """Random numbers of one particle at one step, by the seed alone."""
    return np.random.Generator(np.random.PCG64([seed % 2**64, step, slot]))


class _Reader:
    """Reads particles as branches behind one prefix; what all of them share is kept."""

    def __init__(self, last: int, end: int) -> None:
        self.last = last
        self.end = end
        self.kept = 0  # tokens of (last, *tokens) that the prefix holds
        self.logits: Logits | None = None  # those behind the kept path, where it is the only one
        self.nodes: list[tuple[int, ...]] = []  # of the last fragment: the path down to each
        self.rows = 0
        self.seen: set[tuple[int, ...]] = set()

    def read(self, particles: list[Particle], sampling: Sampling) -> Decoder[dict[int, list[Floats]]]:
        """Laws of every particle, by its id: behind position `need` of (last, *tokens), and all that follow."""
        paths = {id(one): self._path(one) for one in particles}
        unique = sorted(set(paths.values()))
        first = min(one.need for one in particles)
        shared = min(_common(unique[0], unique[-1]), first)
        commit = -1
        if shared > self.kept:  # all that live on share more than the prefix holds: it was read with what came before
            commit, self.kept = self.nodes.index(unique[0][:shared]), shared
        if len(unique) == 1:
            fragment = chain(unique[0][self.kept :], len(unique[0]) - first)
            nodes = [unique[0][: n + 1] for n in range(self.kept, len(unique[0]))]
            self.kept = len(unique[0])
        else:
            fragment, nodes = self._tree([(paths[id(one)], one.need) for one in particles])
        fragment.commit = commit
        found = yield fragment
        self.rows += len(nodes)
        self.seen.update(nodes)
        self.nodes = nodes
        self.logits = found[-1] if len(unique) == 1 else None
        wanted = [node for node, want in zip(nodes, fragment.wants, strict=True) if want]
        laws = {node: logprobs(one, sampling) for node, one in zip(wanted, found, strict=True)}
        return {
            id(one): [laws[path[: n + 1]] for n in range(one.need, len(path))]
            for one in particles
            for path in [paths[id(one)]]
        }

    def _path(self, one: Particle) -> tuple[int, ...]:
        """What must be read of a particle; nothing is looked up behind the end."""
        path = (self.last, *one.tokens)
        return path[:-1] if one.state.done and path[-1] == self.end else path

    def _tree(self, wanted: list[tuple[tuple[int, ...], int]]) -> tuple[Fragment, list[tuple[int, ...]]]:
        """A fragment of all paths behind the kept tokens, and the path down to each of its nodes."""
        wants: dict[tuple[int, ...], bool] = {}
        for path, need in wanted:
            for n in range(self.kept, len(path)):
                wants[path[: n + 1]] = wants.get(path[: n + 1], False) or n >= need
        nodes = sorted(wants)  # a path comes right before what continues it
        at = {node: i for i, node in enumerate(nodes)}
        parents = [at.get(node[:-1], -1) for node in nodes]
        return Fragment([node[-1] for node in nodes], parents, [wants[node] for node in nodes], uniform=True), nodes


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))

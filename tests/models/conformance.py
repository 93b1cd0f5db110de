"""What every `Scorer` must do, as tests over a fixture `under` (a scorer with what may be expected of its numbers).

A test module defines the fixture and subclasses `Conformance`. Reference logits come from a chain computed alone behind
a prefix opened from nothing; `tolerance` 0 asks for equality bit for bit.
"""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.scorer import SOFT, Forest, Prefix

LAW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass
class Under:
    """A scorer under test. `first` begins a run of ordinary tokens; `tolerance` bounds differences of logits."""

    scorer: Any
    first: int
    tolerance: float

    def words(self, count: int, start: int = 0) -> list[int]:
        run = self.scorer.tokenizer.size - self.first
        return [self.first + (start + i) * 7 % run for i in range(count)]

    def equal(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        if self.tolerance == 0:
            assert np.array_equal(a, b)
            return
        assert np.abs(a - b).max() <= self.tolerance
        top = np.sort(b)[-2:]
        if top[1] - top[0] > 2 * self.tolerance:
            assert a.argmax() == b.argmax()


@functools.cache
def torch_small() -> Any:
    """The packaged model in the torch engine, float32: 8 streams of 512 tokens. Loaded once, never freed."""
    from thalweg.models import load

    return load("torch:smollm2-135m", streams=8, context=512, threads=1)


@functools.cache
def torch_tiny() -> Any:
    """Two random layers in the torch engine, its tokenizer only a size: 6 streams of 256 tokens."""
    from thalweg.models.torch import Config, TorchLM, random_weights

    shape = Config(layers=2, width=32, heads=4, kv_heads=2, head_width=8, ffn=64, vocabulary=211, context=256)
    weights = random_weights(shape, tokenizer=SimpleNamespace(size=shape.vocabulary, end=0))
    return TorchLM(weights, name="tiny", streams=6, context=256, threads=1)


def after(scorer: Any, prefix: Prefix, tokens: Sequence[int]) -> NDArray[np.float32]:
    """Logits after `tokens` behind `prefix`, computed alone."""
    forest = Forest()
    node = forest.chain(prefix, tokens, uniform=True)
    return scorer.score(forest).logits(node).copy()


def forget(scorer: Any, token: int) -> None:
    """Drop every cached beginning that no open prefix holds."""
    if hasattr(scorer, "forget"):
        scorer.forget()
    for prefix in [scorer.open([token]) for _ in range(scorer.free_lanes)]:
        scorer.close(prefix)


def from_nothing(under: Under, tokens: list[int], tail: list[int]) -> NDArray[np.float32]:
    forget(under.scorer, under.first - 1)
    prefix = under.scorer.open(tokens)
    assert prefix.cached <= 1, "an open prefix still held the beginning"
    logits = after(under.scorer, prefix, tail)
    under.scorer.close(prefix)
    return logits


def grow(forest: Forest, prefix: Prefix, parents: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """Hang a tree on `prefix`: node i under node ``parents[i]`` of the tree, -1 for the prefix. Returns its nodes."""
    nodes: list[int] = []
    for parent, token in zip(parents, tokens, strict=True):
        if parent < 0:
            nodes.append(forest.add(token, prefix=prefix))
        else:
            nodes.append(forest.add(token, parent=nodes[parent]))
    forest.uniform.add(forest.root[nodes[0]])
    return nodes


def shapes(most: int) -> st.SearchStrategy[list[int]]:
    """Parents of trees of 1 to `most` nodes."""
    return st.lists(st.integers(-1, most), min_size=1, max_size=most).map(
        lambda parents: [min(parent, i - 1) for i, parent in enumerate(parents)]
    )


BUSH = [-1, 0, 1, 0, 3, -1, 5, 5, 2]  # three levels, out of depth-first order


class Conformance:
    """The suite. Prefixes that a test leaves open are closed after it, and all lanes must be free then."""

    @pytest.fixture(autouse=True)
    def everything_given_back(self, under: Under, monkeypatch: pytest.MonkeyPatch) -> Any:
        scorer, opened = under.scorer, []
        streams = scorer.free_lanes
        for verb in ("open", "fork"):
            plain = getattr(scorer, verb)

            def noted(*arguments: Any, plain: Any = plain) -> Prefix:
                opened.append(plain(*arguments))
                return opened[-1]

            monkeypatch.setattr(scorer, verb, noted)
        yield
        for prefix in opened:
            if prefix.lane >= 0:
                scorer.close(prefix)
        assert scorer.free_lanes == streams

    # -- trees ----------------------------------------------------------------------------------------------------

    def test_a_tree_scores_as_its_paths_do(self, under: Under) -> None:
        self.check_tree(under, BUSH, 30)

    def test_trees_of_many_prefixes_score_as_each_alone(self, under: Under) -> None:
        scorer = under.scorer
        prefixes = [scorer.open(under.words(length, length)) for length in (20, 3, 33)]
        forest = Forest()
        trees = [
            grow(forest, prefix, parents, under.words(len(parents), 50 + i))
            for i, (prefix, parents) in enumerate(zip(prefixes, ([-1], BUSH, [-1, 0, 1, 2]), strict=True))
        ]
        scores = scorer.score(forest)
        found = {node: scores.logits(node).copy() for nodes in trees for node in nodes}
        for prefix, nodes in zip(prefixes, trees, strict=True):
            for node in nodes:
                path = [forest.token[i] for i in forest.path(node)]
                under.equal(found[node], after(scorer, prefix, path))

    def check_tree(self, under: Under, parents: Sequence[int], length: int) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(length))
        forest = Forest()
        nodes = grow(forest, prefix, parents, under.words(len(parents), 40))
        scores = scorer.score(forest)
        found = [scores.logits(node).copy() for node in nodes]
        for node, logits in zip(nodes, found, strict=True):
            under.equal(logits, after(scorer, prefix, [forest.token[i] for i in forest.path(node)]))
        scorer.close(prefix)

    def test_only_wanted_nodes_have_logits(self, under: Under) -> None:
        prefix = under.scorer.open(under.words(10))
        forest = Forest()
        first = forest.add(under.first, prefix=prefix, want=False)
        second = forest.add(under.first + 1, parent=first)
        scores = under.scorer.score(forest)
        assert scores.logits(second).shape == scores.logits(second).ravel().shape
        with pytest.raises(ValueError, match="did not ask"):
            scores.logits(first)

    def test_scoring_changes_no_prefix(self, under: Under) -> None:
        prefix = under.scorer.open(under.words(25))
        first = after(under.scorer, prefix, under.words(3, 60))
        after(under.scorer, prefix, under.words(2, 70))
        assert prefix.tokens == under.words(25)
        assert np.array_equal(after(under.scorer, prefix, under.words(3, 60)), first)

    # -- commit ---------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("node", [2, 4, 6, 7, 8])
    def test_a_committed_path_then_extended_equals_one_opened_from_nothing(self, under: Under, node: int) -> None:
        """Paths off the first one too: were cells left out of order, what is scored next would differ."""
        scorer = under.scorer
        forest = Forest()
        prefix = scorer.open(under.words(20))
        nodes = grow(forest, prefix, BUSH, under.words(len(BUSH), 40))
        path = [forest.token[i] for i in forest.path(nodes[node])]
        assert scorer.commit(scorer.score(forest), nodes[node]) is prefix
        assert prefix.tokens == under.words(20) + path
        tail = under.words(2, 90)
        scorer.extend(prefix, tail)
        found = after(scorer, prefix, [under.first])
        scorer.close(prefix)
        under.equal(found, from_nothing(under, under.words(20) + path + tail, [under.first]))

    def test_scores_of_an_earlier_forest_commit_their_own_tokens(self, under: Under) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(20))
        early = Forest()
        node = early.chain(prefix, under.words(2, 40), uniform=True)
        scores = scorer.score(early)
        after(scorer, prefix, under.words(2, 50))
        scorer.commit(scores, node)
        found = after(scorer, prefix, [under.first])
        scorer.close(prefix)
        under.equal(found, from_nothing(under, under.words(20) + under.words(2, 40), [under.first]))

    def test_steps_of_greedy_text_equal_one_pass_over_it(self, under: Under) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(12))
        written, token = [], under.first
        for _ in range(6):
            forest = Forest()
            node = forest.chain(prefix, [token], uniform=True)
            scores = scorer.score(forest)
            written.append(token)
            token = int(scores.logits(node).argmax())
            last = scores.logits(node).copy()
            scorer.commit(scores, node)
        scorer.close(prefix)
        under.equal(last, from_nothing(under, under.words(12), written))

    # -- prefixes -------------------------------------------------------------------------------------------------

    def test_rollback(self, under: Under) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(30))
        before = after(scorer, prefix, [under.first])
        forest = Forest()
        nodes = grow(forest, prefix, BUSH, under.words(len(BUSH), 40))
        scorer.commit(scorer.score(forest), nodes[7])
        scorer.extend(prefix, under.words(5, 80))
        scorer.truncate(prefix, 30)
        assert prefix.tokens == under.words(30)
        under.equal(after(scorer, prefix, [under.first]), before)

    def test_a_fork_is_independent_and_equal(self, under: Under) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(30))
        want = after(scorer, prefix, under.words(2, 60))
        twin = scorer.fork(prefix)
        scorer.extend(prefix, under.words(3, 70))
        assert twin.tokens == under.words(30) and twin.lane != prefix.lane
        under.equal(after(scorer, twin, under.words(2, 60)), want)

    def test_a_cached_beginning_is_reused_and_changes_no_logit(self, under: Under) -> None:
        scorer = under.scorer
        want = from_nothing(under, under.words(50), [under.first])
        forget(scorer, under.first - 1)
        first = scorer.open(under.words(40))
        scorer.close(first)
        prefix = scorer.open(under.words(50))
        assert 39 <= prefix.cached <= 40
        under.equal(after(scorer, prefix, [under.first]), want)

    def test_what_one_partition_has_cached_another_does_not_find(self, under: Under) -> None:
        scorer = under.scorer
        want = from_nothing(under, under.words(30), [under.first])
        forget(scorer, under.first - 1)
        for partition in ("one", "two"):
            prefix = scorer.open(under.words(30), partition)
            assert prefix.cached == 0
            under.equal(after(scorer, prefix, [under.first]), want)
            scorer.close(prefix)
        again = scorer.open(under.words(30), "one")
        twin = scorer.fork(again)
        assert again.cached >= 28
        scorer.close(twin)
        scorer.close(again)
        assert scorer.open(under.words(30)).cached == 0

    def test_random_verbs_leak_no_lane_and_no_cell(self, under: Under) -> None:
        for seed in range(2):
            self.check_verbs(under, seed, steps=12)

    def check_verbs(self, under: Under, seed: int, steps: int) -> None:
        draw = random.Random(seed)
        scorer, live = under.scorer, []
        streams = scorer.free_lanes
        room = min(60, scorer.capabilities.context // 2)
        for step in range(steps):
            verb = draw.choice(["open", "open", "fork", "extend", "truncate", "close", "commit", "commit"])
            if verb == "open" and scorer.free_lanes > 1:
                live.append(scorer.open(under.words(draw.randint(1, 20), draw.randint(0, 3))))
            elif not live:
                continue
            one = draw.choice(live)
            if verb == "fork" and scorer.free_lanes > 1:
                live.append(scorer.fork(one))
            elif verb == "extend" and len(one.tokens) < room:
                scorer.extend(one, under.words(draw.randint(1, 6), step))
            elif verb == "truncate":
                scorer.truncate(one, draw.randint(1, len(one.tokens)))
            elif verb == "close":
                scorer.close(one)
                live.remove(one)
            elif verb == "commit" and len(one.tokens) < room:
                forest = Forest()
                nodes = grow(forest, one, [-1, 0, 0, -1], under.words(4, step))
                scorer.commit(scorer.score(forest), draw.choice(nodes))
            assert scorer.free_lanes == streams - len(live)
            assert len({prefix.lane for prefix in live}) == len(live)
        found = [(list(one.tokens), after(scorer, one, [under.first])) for one in live]
        for one in live:
            scorer.close(one)
        assert scorer.free_lanes == streams
        for tokens, logits in found:
            under.equal(logits, from_nothing(under, tokens, [under.first]))

    # -- soft tokens and hidden states ----------------------------------------------------------------------------

    def test_a_soft_token_that_is_an_embedding_row_is_that_token(self, under: Under) -> None:
        scorer = under.scorer
        if not scorer.capabilities.soft_tokens:
            pytest.skip("this engine takes no soft tokens")
        words = under.words(3, 40)
        rows = embedding_rows(scorer, words)
        prefix = scorer.open(under.words(15))
        hard, soft = Forest(), Forest()
        hard_nodes = grow(hard, prefix, [-1, 0, 0], words)
        want = scorer.score(hard)
        want = [want.logits(node).copy() for node in hard_nodes]
        a = soft.add(SOFT, prefix=prefix, soft=rows[0])
        b = soft.add(words[1], parent=a)
        c = soft.add(SOFT, parent=a, soft=rows[2])
        soft.uniform.add(0)
        scores = scorer.score(soft)
        for node, logits in zip((a, b, c), want, strict=True):
            under.equal(scores.logits(node), logits)
        with pytest.raises(ValueError, match="soft"):
            scorer.commit(scores, c)
        under.equal(after(scorer, prefix, words[:1]), want[0])

    def test_hidden_states_come_where_they_are_asked_for(self, under: Under) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(15))
        forest = Forest()
        nodes = grow(forest, prefix, [-1, 0, 0], under.words(3, 40))
        forest.hidden.add(nodes[1])
        try:
            scores = scorer.score(forest)
        except ModelError as error:
            pytest.skip(f"this engine gives none: {error.what}")
        assert scores.hidden(nodes[1]).dtype == np.float32 and scores.hidden(nodes[1]).ndim == 1
        with pytest.raises(ValueError, match="hidden"):
            scores.hidden(nodes[0])

    # -- errors and the rest of the protocol -----------------------------------------------------------------------

    def test_errors_name_the_trouble_and_leave_the_scorer_usable(self, under: Under) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(10))
        want = after(scorer, prefix, [under.first])
        context = scorer.capabilities.context
        with pytest.raises(ValueError, match="at least one"):
            scorer.open([])
        for wrong in (-5, 10**9):
            with pytest.raises(ValueError, match="outside the vocabulary"):
                scorer.open([wrong])
            forest = Forest()
            forest.add(wrong, prefix=prefix)
            with pytest.raises(ValueError, match="outside the vocabulary"):
                scorer.score(forest)
        with pytest.raises(ContextOverflow) as overflow:
            scorer.open(under.words(context + 1))
        assert overflow.value.remedy
        with pytest.raises(ContextOverflow):
            scorer.extend(prefix, under.words(context))
        forest = Forest()
        forest.chain(prefix, under.words(context))
        with pytest.raises(ContextOverflow):
            scorer.score(forest)
        for length in (0, 11):
            with pytest.raises(ValueError, match="cannot keep"):
                scorer.truncate(prefix, length)
        twin = scorer.fork(prefix)
        scorer.close(twin)
        for use in (scorer.close, scorer.fork, lambda closed: scorer.extend(closed, [under.first])):
            with pytest.raises(ValueError, match="closed"):
                use(twin)
        assert prefix.tokens == under.words(10)
        under.equal(after(scorer, prefix, [under.first]), want)

    def test_no_more_prefixes_than_streams(self, under: Under) -> None:
        scorer = under.scorer
        for _ in range(scorer.free_lanes):
            scorer.open([under.first])
        with pytest.raises(ModelError, match="in use"):
            scorer.open([under.first])

    def test_submit_scores_on_another_thread(self, under: Under, monkeypatch: pytest.MonkeyPatch) -> None:
        scorer = under.scorer
        prefix = scorer.open(under.words(15))
        forest = Forest()
        node = forest.chain(prefix, under.words(2, 40), uniform=True)
        want = after(scorer, prefix, under.words(2, 40))
        threads, score = [], scorer.score

        def noted(forest: Forest) -> Any:
            threads.append(threading.current_thread())
            return score(forest)

        monkeypatch.setattr(scorer, "score", noted)
        scores = scorer.submit(forest).result(60)
        under.equal(scores.logits(node), want)
        assert threads and threads[0] is not threading.current_thread()
        scorer.commit(scores, node)
        assert prefix.tokens == under.words(15) + under.words(2, 40)
        wrong = Forest()
        wrong.add(10**9, prefix=prefix)
        with pytest.raises(ValueError, match="outside the vocabulary"):
            scorer.submit(wrong).result(60)

    def test_cost_is_measured_and_never_falls(self, under: Under) -> None:
        costs = [under.scorer.cost(rows) for rows in (1, 2, 8, 11, 32)]
        assert costs[0] > 0 and costs == sorted(costs)

    def test_probing_a_beginning_gives_the_same_keys(self, under: Under) -> None:
        scorer = under.scorer
        if not scorer.capabilities.probe:
            pytest.skip("this engine cannot be probed")
        words = under.words(24)
        short, long = scorer.probe(words[:16], 1), scorer.probe(words, 1)
        assert short.layer == 1 and short.key.shape[1] == 16 and long.key.shape[1] == 24
        assert short.query.shape[2] == short.key.shape[2]
        assert np.abs(long.key[:, :16] - short.key).max() <= max(under.tolerance, 0.05)
        assert scorer.free_lanes == scorer.capabilities.streams

    def test_a_replica_scores_the_same_from_a_cache_of_its_own(self, under: Under) -> None:
        twin = under.scorer.replica()
        mine, its = under.scorer.open(under.words(12)), twin.open(under.words(12))
        under.equal(after(twin, its, [under.first]), after(under.scorer, mine, [under.first]))
        twin.free()
        with pytest.raises(ModelError):
            twin.open([under.first])
        under.scorer.extend(mine, under.words(2, 40))


class Laws(Conformance):
    """The same with trees and sequences of verbs drawn by hypothesis; for engines that are quick enough."""

    @LAW
    @given(parents=shapes(12), length=st.integers(1, 40))
    def test_any_tree_scores_as_its_paths_do(self, under: Under, parents: list[int], length: int) -> None:
        self.check_tree(under, parents, length)

    @LAW
    @given(seed=st.integers(0, 10**6))
    def test_any_verbs_leak_no_lane_and_no_cell(self, under: Under, seed: int) -> None:
        self.check_verbs(under, seed, steps=30)


def embedding_rows(scorer: Any, tokens: Sequence[int]) -> NDArray[np.float32]:
    """The embedding rows of `tokens`: from the engine where it gives them, else torch's of the same file."""
    return scorer.embed(tokens) if hasattr(scorer, "embed") else torch_small().embed(tokens)

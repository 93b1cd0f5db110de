"""Peer: adaptive weighted rejection sampling of genlm-control over a table of conditionals, one token a letter.

Argument: JSON {"texts", "laws": {prefix: {letter: log-probability, "" the end}}, "particles", "runs"}. The last line of
output is JSON {"version", "weights": estimated mass of each run}.
"""

import asyncio
import json
import math
import sys
from importlib.metadata import version

import numpy as np
from genlm.control import AWRS, EOS, BoolFSA, Potential


class Table(Potential):
    def __init__(self, laws):
        self.laws = laws
        super().__init__(sorted({letter.encode() for law in laws.values() for letter in law if letter}))

    async def prefix(self, context):
        total, text = 0.0, ""
        for token in context:
            law = self.laws.get(text)
            if law is None:
                return -math.inf
            total += law[token.decode()]
            text += token.decode()
        return total

    async def complete(self, context):
        law = self.laws.get(b"".join(context).decode())
        return -math.inf if law is None else await self.prefix(context) + law[""]

    async def logw_next(self, context):
        law = self.laws.get(b"".join(context).decode())
        names = ["" if token is EOS else token.decode() for token in self.vocab_eos]
        return self.make_lazy_weights(np.array([-math.inf if law is None else law[name] for name in names]))


async def main(asked):
    model = Table(asked["laws"])
    condition = BoolFSA.from_regex("|".join(asked["texts"])).coerce(model, f=b"".join)
    weights = []
    for seed in range(asked["runs"]):
        sampler = AWRS(model, condition, seed=seed)
        np.random.seed(seed)
        found = await sampler.smc(n_particles=asked["particles"], ess_threshold=0.5, max_tokens=16)
        weights.append(math.exp(float(found.log_ml)))
    print(json.dumps({"version": version("genlm-control"), "weights": weights}))


asyncio.run(main(json.loads(sys.argv[1])))

"""Prompting: how a call is asked.

Lives here: strategies. A strategy is a value, given by `f.using(strategy=...)` or `tw.using(strategy=...)`, and changes
neither what a learned function takes nor what it returns. One that asks once has `messages`; one that asks more than
once has `solve`, and an `inner` strategy by which its own questions are asked (see `thalweg.program.procedure`).

- Reasons: `ChainOfThought`. Votes: `SelfConsistency`, `ChoiceShuffle`, and `Medprompt` of all three.
- Worked examples for each call: `KNNFewShot`, with `KNN`, `RandomDemos` or `MostConfusing` as selector.
- Checks: `Refine`, `SampleAndVerify` (a checker, or `SelfCritique`), `feedback_study`; `Hybrid`, `DynamicWorkflow`.
- What is read: `IgnoreIrrelevant` (I3C), `ReadTwice`, `ReRead`. What may be answered: `Fitted`, `Calibrated`.

To add a method: one file, one frozen dataclass. May import `program` and the rooms below it.
"""

from thalweg.prompting.calibrated import Calibrated, calibrated
from thalweg.prompting.chain_of_thought import ChainOfThought
from thalweg.prompting.choice_shuffle import ChoiceShuffle
from thalweg.prompting.critic import SelfCritique
from thalweg.prompting.demonstrations import KNN, DemoSelector, RandomDemos
from thalweg.prompting.distractors import distracted
from thalweg.prompting.dynamic_workflow import DynamicWorkflow
from thalweg.prompting.feedback_study import feedback_study
from thalweg.prompting.fitted import Fitted
from thalweg.prompting.hybrid import Hybrid
from thalweg.prompting.i3c import IgnoreIrrelevant
from thalweg.prompting.knn_few_shot import KNNFewShot
from thalweg.prompting.medprompt import Medprompt, Preparation
from thalweg.prompting.most_confusing import MostConfusing
from thalweg.prompting.read_twice import ReadTwice, ReRead
from thalweg.prompting.refine import Refine
from thalweg.prompting.sample_and_verify import SampleAndVerify
from thalweg.prompting.self_consistency import SelfConsistency
from thalweg.prompting.vote import Ballot, Vote, vote

__all__ = [
    "KNN", "Ballot", "Calibrated", "ChainOfThought", "ChoiceShuffle", "DemoSelector", "DynamicWorkflow", "Fitted",
    "Hybrid", "IgnoreIrrelevant", "KNNFewShot", "Medprompt", "MostConfusing", "Preparation", "RandomDemos", "ReRead",
    "ReadTwice", "Refine", "SampleAndVerify", "SelfConsistency", "SelfCritique", "Vote", "calibrated", "distracted",
    "feedback_study", "vote",
]  # fmt: skip

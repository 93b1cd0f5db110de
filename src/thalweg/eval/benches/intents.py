"""Generated messages to a bank with 20 intents: a paraphrase grammar in which near messages have near intents.

Several intents share their words (a lost card, a card that is not accepted, a new card), so that the label is in what
is said about a thing, not in the thing. Messages of a training pool and held-out ones are drawn from one grammar with a
seed and never equal.
"""

from __future__ import annotations

import random
from typing import Literal

Intent = Literal[
    "lost_card", "card_declined", "new_card", "card_limit", "forgotten_pin", "change_pin", "transfer_pending",
    "transfer_failed", "cancel_transfer", "transfer_fee", "exchange_rate", "cash_abroad", "open_account",
    "close_account", "change_address", "change_phone", "salary_missing", "refund_missing", "loan_offer", "loan_payment",
]  # fmt: skip

_SAID: dict[str, tuple[str, ...]] = {
    "lost_card": ("my {card} is gone", "I cannot find my {card} anywhere", "somebody took my {card}"),
    "card_declined": ("my {card} was refused {place}",
                      "the {card} does not work {place}", "paying {place} was rejected"),
    "new_card": ("my {card} expires soon", "the chip of my {card} is broken", "I have not got the {card} I ordered"),
    "card_limit": ("I want to spend more with my {card}", "how much may I pay with the {card}",
                   "raise what I can spend"),
    "forgotten_pin": ("I do not remember my {code}", "what was my {code} again", "my {code} slipped my mind"),
    "change_pin": ("I want another {code}", "let me choose a new {code}", "somebody saw me type my {code}"),
    "transfer_pending": ("the {money} I sent has not arrived", "my {money} is on its way for days",
                         "how long until the {money} gets there"),
    "transfer_failed": ("the {money} I sent came back", "sending {money} gave an error",
                        "my {money} could not be sent"),
    "cancel_transfer": ("I sent {money} to the wrong person", "stop the {money} I just sent",
                        "take back the {money} from this morning"),
    "transfer_fee": ("what does it cost to send {money}", "why was I charged for sending {money}",
                     "is sending {money} free"),
    "exchange_rate": ("how many {foreign} do I get", "what are {foreign} worth today", "the price of {foreign}"),
    "cash_abroad": ("can I draw {foreign} from a machine", "where do I get {foreign} in cash",
                    "a machine abroad gave me no {foreign}"),
    "open_account": ("I would like to become a customer", "set up an account for my {kin}",
                     "my {kin} needs an account with you"),
    "close_account": ("I am leaving your bank", "please end the account of my {kin}", "I no longer need the account"),
    "change_address": ("I have moved to another {home}", "my letters go to the old {home}",
                       "we live in a new {home} now"),
    "change_phone": ("I have another mobile", "your texts go to my old number", "my number is a different one now"),
    "salary_missing": ("my {boss} has paid and I see nothing", "my wages are late",
                       "nothing from my {boss} this month"),
    "refund_missing": ("the {shop} has not given my money back",
                       "I returned a thing to the {shop} and wait for the money",
                       "the {shop} says that it has repaid me"),
    "loan_offer": ("I want to borrow for a {big}", "can you lend me something for a {big}",
                   "what would a {big} cost me a month"),
    "loan_payment": ("I cannot pay the rate of my {big} this month", "may I pay off my {big} early",
                     "when is the next rate of the {big} due"),
}  # fmt: skip
_SLOTS = {
    "card": ("card", "bank card", "credit card", "debit card"), "code": ("PIN", "code", "secret number"),
    "place": ("at the till", "in a restaurant", "online", "at the petrol station"),
    "money": ("money", "payment", "transfer", "rent"), "foreign": ("dollars", "yen", "pounds", "francs"),
    "kin": ("daughter", "husband", "mother", "son"), "home": ("flat", "house", "street", "town"),
    "boss": ("employer", "company", "boss"), "shop": ("shop", "airline", "hotel", "web shop"),
    "big": ("car", "house", "kitchen", "motorbike"),
}  # fmt: skip
_BEFORE = ("", "", "Hello, ", "Hi there, ", "Sorry to bother you, ", "Quick question: ", "Good evening, ")
_AFTER = ("", "", ".", ", can you help?", ", please tell me what to do.", ". Thanks!", ", it is urgent.")


def messages(count: int, *, seed: int = 0, without: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """(message, intent) of `count` different messages, the intents in turn; none of `without`."""
    rng = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        intent = list(_SAID)[len(made) % len(_SAID)]
        text = rng.choice(_SAID[intent])
        for slot, words in _SLOTS.items():
            text = text.replace(f"{{{slot}}}", rng.choice(words))
        text = f"{rng.choice(_BEFORE)}{text}{rng.choice(_AFTER)}"
        if text not in made and text not in without:
            made[text] = intent
    return list(made.items())

"""Texts for measuring drafters: 48 prompts in six categories, and 60 questions on twelve short documents.

Own texts. The categories are those in which drafters differ: how much of an answer stands in its prompt. `DOCUMENTS`
holds twelve documents of five sentences, each with the topic a question asks for.
"""

# ruff: noqa: E501 - sentences stay whole

from __future__ import annotations

import random

CATEGORIES = ("chat", "translation", "summary", "rag", "maths", "edit")
COPYING = ("summary", "rag", "edit")

DOCUMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    "The lighthouse at Norr": (
        ("the year it was built", "The lighthouse at Norr was built in 1874 from grey granite that was shipped across the sound on flat barges."),
        ("the lamp", "Its first lamp burned rapeseed oil and could be seen from a distance of eleven nautical miles in clear weather."),
        ("the keeper", "The last keeper, Ingrid Solheim, lived in the tower with her two sons until the light was automated in 1963."),
        ("the storm", "During the storm of January 1952 the waves broke three windows of the gallery and flooded the cellar up to the second step."),
        ("visitors", "Visitors may climb the 142 steps to the gallery between May and September, except on days with strong wind."),
    ),
    "The Velden cooperative": (
        ("the founders", "The Velden cooperative was founded by nineteen dairy farmers who no longer wanted to sell their milk to a single buyer."),
        ("the cheese", "Its best known product is a hard cheese that ripens for fourteen months in a former railway tunnel under the hill."),
        ("the payment", "Members are paid on the tenth day of each month, and a bonus is added when the fat content is above four percent."),
        ("the vote", "Every member has one vote in the yearly meeting, however many cows the member owns."),
        ("the expansion", "In the spring of last year the cooperative opened a second dairy in Marten, which handles organic milk only."),
    ),
    "Returns policy of Halden Outdoor": (
        ("the period", "Unused items can be returned within 45 days of delivery, provided that the original label is still attached."),
        ("the refund", "The refund is sent to the original payment method within five working days after the parcel has reached our warehouse in Aldum."),
        ("shoes", "Shoes and boots must be returned in their original box, which may not be used as the outer packaging of the parcel."),
        ("damaged goods", "Goods that were damaged in transit must be reported with two photographs within 72 hours of delivery."),
        ("gift cards", "Gift cards and personalised knives are excluded from return unless they have a manufacturing defect."),
    ),
    "The river otter": (
        ("the habitat", "The river otter prefers slow streams with dense vegetation on the banks, where it digs a den with an entrance under water."),
        ("the food", "It feeds mainly on fish, frogs and crayfish, and eats about one kilogram of food in a single day."),
        ("the fur", "Its fur has up to 70,000 hairs on a square centimetre, which keeps the skin dry even after hours of diving."),
        ("the young", "The young are born blind, open their eyes after five weeks and leave the den for the first time after ten."),
        ("the threat", "The greatest threat to the otter today is road traffic, because many bridges have no dry ledge below them."),
    ),
    "Maintenance of the K-200 pump": (
        ("the oil", "The oil of the K-200 pump must be changed after the first 200 hours of operation and after every 1,500 hours from then on."),
        ("the pressure", "The working pressure must never exceed 8.5 bar, and the safety valve has to be tested at the beginning of each month."),
        ("the filter", "The intake filter is cleaned with warm water and a soft brush, and it is replaced when the mesh shows any tear."),
        ("the noise", "A knocking noise during start usually means that there is air in the suction line, which can be removed by opening the bleed screw."),
        ("the storage", "When the pump is stored for more than six weeks, the housing must be drained and the shaft turned by hand once a week."),
    ),
    "The city library of Oster": (
        ("opening hours", "The city library of Oster is open from nine in the morning to eight in the evening on weekdays, and until two on Saturdays."),
        ("the card", "A library card costs twelve euros a year for adults and is free for pupils, students and people without work."),
        ("the loan period", "Books can be borrowed for four weeks and renewed twice, unless another reader has reserved them."),
        ("the fine", "For each day after the end of the loan period a fine of twenty cents is charged for every item."),
        ("the music room", "The music room on the third floor has two pianos and can be booked for one hour at the information desk."),
    ),
    "The Arlen bridge project": (
        ("the length", "The new Arlen bridge will be 486 metres long and will carry two lanes for cars, a tram line and a wide path for cyclists."),
        ("the cost", "The council has approved a budget of 64 million euros, of which the region will pay a third."),
        ("the start", "Construction will start in March, as soon as the nesting season of the sand martins on the south bank has been assessed."),
        ("the detour", "During the work the ferry at Lund will run every fifteen minutes and will be free of charge for pedestrians."),
        ("the material", "The arches will be made of weathering steel, which needs no paint and turns dark brown within three years."),
    ),
    "Bread from rye": (
        ("the starter", "The starter is fed with equal parts of rye flour and water and left in a warm place for twelve hours until it has doubled."),
        ("the dough", "The dough is mixed from 600 grams of rye flour, 400 grams of water, 200 grams of starter and 12 grams of salt."),
        ("the rest", "After mixing, the dough rests for two hours in a covered bowl and is then shaped with wet hands."),
        ("the oven", "The loaf is baked at 250 degrees for fifteen minutes with steam and at 200 degrees for another forty minutes."),
        ("the keeping", "Rye bread should be cut only on the next day, and it keeps for a week in a linen bag."),
    ),
    "Minutes of the gardening club": (
        ("the budget", "The treasurer reported that 1,280 euros are left in the account after the new water tank has been paid."),
        ("the fence", "The members agreed to repair the fence along the railway line on the second Saturday in April."),
        ("the plots", "Plots 14 and 22 have been free since autumn and will be offered to the first two families on the waiting list."),
        ("the bees", "Mr. Tamm will place three beehives behind the compost area and asks everybody not to use sprays in May and June."),
        ("the next meeting", "The next meeting will take place on the fourth of June at seven in the evening in the back room of the Green Anchor."),
    ),
    "The Halvar glacier": (
        ("the retreat", "The Halvar glacier has become 640 metres shorter since measurements began in 1931, most of it in the last twenty years."),
        ("the lake", "A lake has formed in front of the ice, and its level is measured every ten minutes by a sensor on the eastern shore."),
        ("the hut", "The hut below the glacier has 36 beds and is looked after by a warden from the middle of June to the end of September."),
        ("the route", "The usual route across the ice is marked with red poles, which have to be moved several times each summer."),
        ("the find", "In 2008 a hiker found a wooden ski with a leather binding in the ice, which turned out to be 1,300 years old."),
    ),
    "Insurance terms for bicycles": (
        ("theft", "Theft is covered if the bicycle was locked to a fixed object with a lock that cost at least 50 euros."),
        ("the report", "A theft must be reported to the police within 24 hours, and the report number has to be sent to us together with the claim."),
        ("the deductible", "The policyholder pays the first 75 euros of each claim, or 150 euros if the bicycle was stolen at night."),
        ("batteries", "Batteries of electric bicycles are covered against moisture and short circuits for a period of three years from purchase."),
        ("racing", "Damage that occurs during races, or during training for them, is not covered by this insurance."),
    ),
    "The observatory on Mount Sel": (
        ("the telescope", "The main telescope on Mount Sel has a mirror with a diameter of 2.2 metres, which was cast in one piece and polished for three years."),
        ("the nights", "On average the observatory has 210 clear nights in a year, more than any other site in the country."),
        ("the comet", "In November 1998 two students discovered a comet on a photographic plate that had been taken to test a new shutter."),
        ("the road", "The road to the summit is closed for private cars after sunset, because headlights would disturb the measurements."),
        ("the tours", "Guided tours in English take place on the first Friday of each month and last about ninety minutes."),
    ),
}  # fmt: skip

_CHAT = (
    "What are good ways to remember the names of new colleagues?",
    "Explain to a child why the sky is blue.",
    "I have a free weekend and little money. What could I do?",
    "Write a short thank-you note to a neighbour who watered my plants.",
    "What is the difference between a simile and a metaphor?",
    "Give me three arguments for learning to cook at home.",
    "How do I prepare for my first job interview?",
    "Tell me a short story about a fox who is afraid of the dark.",
)

_TRANSLATION = (
    ("French", "The train to the coast leaves at seven in the morning and arrives before noon."),
    ("Spanish", "My sister has bought a small house with a garden near the river."),
    ("German", "We would like to reserve a table for four people on Friday evening."),
    ("Italian", "The old bridge was closed because the water was too high."),
    ("French", "Please send me the bill and a list of the parts you have replaced."),
    ("Spanish", "Many children in the village learn to swim before they go to school."),
    ("German", "The doctor said that he should rest for a week and drink a lot of water."),
    ("Italian", "In the evening the musicians played on the square until it began to rain."),
)

_MATHS = (
    "A box holds 24 pencils. A school buys 17 boxes and gives 5 pencils to each of 60 pupils. How many pencils are left?",
    "A train travels 180 kilometres in 2 hours and then 120 kilometres in 1 hour. What is its average speed?",
    "Anna is 4 years older than Ben. Together they are 32 years old. How old is each of them?",
    "A shirt costs 40 euros. Its price is reduced by 25 percent, then raised by 10 percent. What does it cost now?",
    "A garden is 12 metres long and 8 metres wide. How much fence is needed to go around it, and what is its area?",
    "A recipe for 4 people needs 300 grams of rice. How much rice is needed for 10 people?",
    "A tank holds 500 litres and loses 8 litres an hour. After how many hours is it half empty?",
    "The sum of three consecutive numbers is 72. What are the numbers?",
)  # fmt: skip

_CODE = (
    (
        "total to amount",
        "def invoice(rows, rate):\n    total = 0\n    for row in rows:\n        total += row.price * row.count\n    if total > 1000:\n        total -= 50\n    return round(total * (1 + rate), 2)",
    ),
    (
        "words to terms",
        'def index(path):\n    words = {}\n    with open(path) as file:\n        for number, line in enumerate(file, 1):\n            for word in line.lower().split():\n                words.setdefault(word.strip(".,;"), []).append(number)\n    return words',
    ),
    (
        "queue to waiting",
        "def reachable(graph, start):\n    seen = {start}\n    queue = [start]\n    while queue:\n        node = queue.pop(0)\n        for other in graph[node]:\n            if other not in seen:\n                seen.add(other)\n                queue.append(other)\n    return seen",
    ),
    (
        "left to low",
        "def search(items, wanted):\n    left, right = 0, len(items)\n    while left < right:\n        middle = (left + right) // 2\n        if items[middle] < wanted:\n            left = middle + 1\n        else:\n            right = middle\n    return left",
    ),
)  # fmt: skip

_EXTRACTION = (
    "Order 8812 from Maria Keller, Lindenweg 4, 50667 Cologne: two oak shelves (EUR 89.90 each) and one desk lamp (EUR 34.50). Delivery on 14 March.",
    "Hello, this is Tom Abara. My flight LX 318 on 2 May was cancelled and I was booked on LX 332. I had to pay 146 pounds for a hotel in Leeds.",
    "Patient: Jonas Vik, born 1971-08-23. Blood pressure 142 over 91, pulse 78. Takes metoprolol 50 mg every morning. Next visit in six weeks.",
    "Flat for rent in Graz, Annenstrasse 61, third floor without lift, 68 square metres, 2 rooms, balcony, EUR 890 a month, free from 1 October.",
)  # fmt: skip


def prompts() -> list[tuple[str, str]]:
    """(category, what the user says), eight of each category, always the same."""
    titles = list(DOCUMENTS)
    found = [("chat", text) for text in _CHAT]
    found += [("translation", f"Translate into {language}: {text}") for language, text in _TRANSLATION]
    for title in titles[:8]:
        found.append(
            ("summary", f"{_passage(title)}\n\nSummarise the text above by quoting its three most important sentences.")
        )
    for i, title in enumerate(titles[4:]):
        found.append(("rag", _question(title, i % 5)))
    found += [("maths", text) for text in _MATHS]
    for names, code in _CODE:
        found.append(("edit", f"```python\n{code}\n```\n\nRename {names} and give back the whole function."))
    for text in _EXTRACTION:
        found.append(
            ("edit", f"{text}\n\nGive all facts of this message as a JSON object, with the words of the message.")
        )
    return found


def questions(seed: int = 0) -> list[str]:
    """60 prompts, a passage and a question each: five topics of twelve documents, in an order drawn by `seed`."""
    found = [_question(title, topic) for title in DOCUMENTS for topic in range(5)]
    random.Random(seed).shuffle(found)
    return found


def corpus() -> list[str]:
    """The documents, and the functions of the code edits, as one would index them."""
    return [_passage(title) for title in DOCUMENTS] + [code for _, code in _CODE] + list(_EXTRACTION)


def _passage(title: str) -> str:
    return f"{title}. " + " ".join(sentence for _, sentence in DOCUMENTS[title])


def _question(title: str, topic: int) -> str:
    return f"{_passage(title)}\n\nWhat does the text say about {DOCUMENTS[title][topic][0]}? Quote the sentence."

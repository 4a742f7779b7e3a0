"""The real networks and photos: where they are, and what their README says about them."""

import re
from dataclasses import dataclass

from PIL import Image

import sightline as sl
from benchmarks.data import DATA, definitions


@dataclass(frozen=True)
class Entry:
    """One network of the folder: `heading` is its table's in the README."""

    heading: str
    file: str
    size: int
    alpha: float | None = None

    def __str__(self):
        return self.file


V1 = Entry("MobileNet V1 0.75, 192x192:", "mobilenet_v1_075_192", 192, 0.75)
V2 = Entry("MobileNet V2 1.0, 224x224:", "mobilenet_v2_100_224", 224)
TINY = Entry("MobileNet V1 0.25, 128x128 ", "mobilenet_v1_025_128", 128, 0.25)
ENTRIES = (V1, V2, TINY)


def network(entry):
    file = DATA / "models" / f"{entry.file}.safetensors"
    if entry.alpha is None:
        return definitions("mobilenet_v2").load_mobilenet_v2(file)
    return definitions("mobilenet_v1").load_mobilenet_v1(file, entry.alpha)


def labels():
    return (DATA / "models" / "imagenet_labels.txt").read_text().splitlines()


def tensor(entry, photo, crop=False):
    """The photo as the folder's own code prepares it, (1, 3, size, size)."""
    with Image.open(photo) as image:
        return definitions("mobilenet_v1").preprocess(image, entry.size, crop=crop)


def photos():
    """Stem -> path of every photo."""
    return {path.stem: path for path in sorted((DATA / "photos").iterdir())}


def wrapped(entry, resize):
    return sl.wrap(network(entry), input_size=entry.size, mean=0.5, std=0.5, labels=labels(), resize=resize)


# The README's tables ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Best answers in order as (label, probability), probability None where only "below 0.001" is said.

    `remark`: (label, probability, rank) of an answer further down.
    """

    answers: tuple[tuple[str, float | None], ...]
    remark: tuple[str, float, int] | None


def table(entry):
    """Photo -> Row, as the README prints them for one network."""
    lines = (DATA / "README.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(entry.heading))
    rows = [line for line in lines[start : start + 14] if line.startswith("|")]
    header, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in rows)
    column = header.index("top-5 (probability)")
    return {cells[0]: _row(cells[column]) for cells in body}


def _row(cell):
    remark = re.search(r" \((.+) ([\d.]+), rank (\d+)\)$", cell)
    rest = re.search(r", then all below 0.001 \((.+)\)$", cell)
    plain = cell[: min(found.start() for found in (remark, rest) if found)] if remark or rest else cell
    answers = [re.fullmatch(r"(.+) ([\d.]+)", part).groups() for part in plain.split(", ")]
    below = [(label, None) for label in rest[1].split(", ")] if rest else []
    return Row(
        (*((label, float(probability)) for label, probability in answers), *below),
        (remark[1], float(remark[2]), int(remark[3])) if remark else None,
    )

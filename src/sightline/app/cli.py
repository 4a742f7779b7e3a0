"""The command line. Exit status: 0 done, 1 some photos failed, 2 the request was wrong, 130 interrupted."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from sightline import __version__
from sightline.app import commands, inside, probing, visualizing
from sightline.core.errors import SightlineError, SightlineWarning
from sightline.render.styles import STYLES

_EPILOG = """examples:
  sightline demo                                         the whole story, on a model that comes along
  sightline explain dog.jpg                              where torchvision's ResNet-50 looks
  sightline explain *.jpg --method grad-cam,saliency     several photos, several methods
  sightline explain dog.jpg --target "tabby"             why not a cat?
  sightline explain dog.jpg --target beagle --target 281 --style contour     a row for each target
  sightline probe dog.jpg --box 35,5,75,45               what if that were not there?
  sightline visualize --target beagle --target 281       what does it want to see?
  sightline responses dog.jpg layer1.0.conv1             what a layer shows of it, channel by channel
  sightline explain x.png --model my_package.nets:make --model-option input_size=192 --model-option mean=0.5

exit status: 0 done, 1 some photos failed (each is named, the rest are done), 2 the request was wrong
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    given = _parser().parse_args(argv)
    here = str(Path.cwd())
    sys.path.append(here)  # `--model my_module:factory` finds a module beside the photos; last: it shadows none
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SightlineWarning)  # they are on the results, and printed from there
            status: int = given.run(given)
    except SightlineError as error:
        print(f"sightline: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left, as `head` does
        return 0
    except RuntimeError as error:
        notes = " ".join(["", *dict.fromkeys(getattr(error, "__notes__", []))])
        print(f"sightline: the network failed: {str(error).splitlines()[0]}.{notes}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sightline: interrupted; what was written before is complete.", file=sys.stderr)
        return 130
    finally:
        if sys.path[-1:] == [here]:
            sys.path.pop()
    return status


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "sightline",
        description="See where a vision model is looking, and measure how far to trust it.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    parser.add_argument("--version", action="version", version=f"sightline {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_demo, _explain, _predict, _probe, _visualize, _filters, _responses, _methods, _models):
        add(verbs)
    return parser


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def _command(verbs: Verbs, name: str, run: Run, about: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = verbs.add_parser(name, help=about, description=about)
    command.set_defaults(run=run)
    return command


def _demo(verbs: Verbs) -> None:
    about = "tell the whole story on the embedded model, as one page that opens from disk"
    command = _command(verbs, "demo", commands.demo, about)
    _add_out(command, "sightline-demo")
    _add_json(command)


def _explain(verbs: Verbs) -> None:
    command = _command(verbs, "explain", commands.explain, "show where the model looks in photos")
    _add_photos(command)
    command.add_argument("--method", metavar="ID,ID", help="one or more of `sightline methods`; default: grad-cam")
    command.add_argument(
        "--target",
        action="append",
        metavar="T",
        help="a class index, or a label (label:3 forces a label); default: the predicted class; given several times, "
        "each target is a row of the picture",
    )
    command.add_argument(
        "--layer", metavar="L,L", help="what layer methods read, several are fused; default: the last map that counts"
    )
    command.add_argument(
        "--smooth", type=float, metavar="SIGMA", help="smooth the picture (not the values), in pixels of the input"
    )
    command.add_argument(
        "--style", default="pair", metavar="S", help=f"how to draw it: {', '.join(STYLES)}; default: pair"
    )
    command.add_argument(
        "--format", default="png", metavar="F,F", help="png, jpg, svg, html (a page), npz (raw values); default: png"
    )
    command.add_argument(
        "--live", action="store_true", help="write the pictures of sampled methods while they are on their way, too"
    )
    _add_out(command, "sightline-out")
    _add_model(command)
    _add_json(command)


def _predict(verbs: Verbs) -> None:
    command = _command(verbs, "predict", commands.predict, "say what the model sees in photos")
    _add_photos(command)
    command.add_argument("--top", type=int, default=5, help="how many answers; default: 5")
    _add_model(command)
    _add_json(command)


def _probe(verbs: Verbs) -> None:
    about = "ask what the model answers when a region of a photo is removed, kept alone, moved, ..."
    command = _command(verbs, "probe", probing.probe, about)
    command.add_argument("photo", metavar="PHOTO", help="a picture file (PNG, JPEG, WebP, TIFF, ...)")
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--box", metavar="X0,Y0,X1,Y1", help="the region, in pixels of the upright photo, half open")
    where.add_argument("--mask", metavar="FILE", help="the region as a picture of the photo's size, white is inside")
    command.add_argument(
        "--edits", default="remove,keep", metavar="E,E",
        help="remove, keep, move(40, 0), scale(0.5), rotate(90), blur, recolour, grey, shuffle-patches, joined by +; "
        "default: remove,keep",
    )  # fmt: skip
    command.add_argument(
        "--fill", metavar="F,F",
        help="what hidden pixels become: black, white, mean, blur, noise, shuffle, inpaint, inpaint-ns, a colour "
        "0.5,0.5,0.5 or a picture file; several are averaged; default: blur, and inpaint for --sweep",
    )  # fmt: skip
    command.add_argument("--target", metavar="T", help="a class index, or a label; default: the predicted class")
    command.add_argument("--controls", type=int, default=99, metavar="N", help="placements elsewhere; default: 99")
    command.add_argument(
        "--soft", type=float, default=0.0, metavar="SIGMA", help="soften the region's edge, in pixels"
    )
    command.add_argument("--maps", metavar="ID", help="the method of the maps; default: grad-cam, or saliency")
    command.add_argument(
        "--evidence", action="store_true", help="find the least that keeps or changes the answer, too"
    )
    command.add_argument("--sweep", action="store_true", help="slide, scale and turn the object, too")
    _add_file(command, "PHOTO-probe.png")
    _add_model(command)
    _add_json(command)


def _visualize(verbs: Verbs) -> None:
    command = _command(verbs, "visualize", visualizing.visualize, "draw what a class, a unit or a layer wants to see")
    command.add_argument(
        "--target", action="append", required=True, metavar="T",
        help="a class index or a label (label:3 forces a label), unit:LAYER:7 or unit:LAYER:0-15, layer:NAME; given "
        "several times, an image for each",
    )  # fmt: skip
    command.add_argument("--minimize", action="store_true", help="what it fires least for")
    command.add_argument(
        "--preset", default="lucid", metavar="P", help="simonyan, keras-vis, lucid, maco; default: lucid"
    )
    command.add_argument("--steps", type=int, default=512, metavar="N", help="of the ascent in all; default: 512")
    command.add_argument("--size", type=int, metavar="PX", help="side of the canvas; default: the network's input")
    command.add_argument("--count", type=int, default=1, metavar="N", help="images for each target; default: 1")
    command.add_argument("--start", metavar="S", help="noise, zero, or a photo to start from; default: the preset's")
    command.add_argument("--photos", nargs="+", metavar="PHOTO", help="find the strongest of these for each target")
    command.add_argument("--frames", type=int, default=0, metavar="N", help="keep an image every N steps, for a film")
    command.add_argument("--resume", metavar="FILE", help="go on from the .npz of an earlier run")
    command.add_argument(
        "--out", type=Path, metavar="FILE",
        help="a page (.html), a picture (.png, .jpg, .svg), a film (.gif, .mp4), or values for --resume (.npz); "
        "default: sightline-out/visualize.html",
    )  # fmt: skip
    _add_model(command)
    _add_json(command)


def _filters(verbs: Verbs) -> None:
    command = _command(verbs, "filters", inside.filters, "show a layer's weights as pictures")
    command.add_argument("layer", metavar="LAYER", help="a convolution or linear layer, by its name in the network")
    command.add_argument("--most", type=int, default=64, metavar="N", help="pictures in the figure; default: 64")
    _add_file(command, "LAYER-filters.png")
    _add_model(command)
    _add_json(command)


def _responses(verbs: Verbs) -> None:
    command = _command(verbs, "responses", inside.responses, "show what a layer puts out for a photo")
    command.add_argument("photo", metavar="PHOTO", help="a picture file (PNG, JPEG, WebP, TIFF, ...)")
    command.add_argument("layer", metavar="LAYER", help="a layer, by its name in the network")
    command.add_argument("--channels", metavar="N,N", help="which to show, such as 3,7,12; default: the strongest")
    command.add_argument("--most", type=int, default=36, metavar="N", help="how many of the strongest; default: 36")
    _add_file(command, "PHOTO-responses.png")
    _add_model(command)
    _add_json(command)


def _methods(verbs: Verbs) -> None:
    _add_json(
        _command(verbs, "methods", commands.methods, "list the attribution methods: paper, needs, cost, options")
    )


def _models(verbs: Verbs) -> None:
    command = _command(verbs, "models", commands.models, "list where models come from, or the names within a source")
    command.add_argument("source", nargs="?", metavar="SOURCE", help="torchvision, timm or keras: list its names")
    _add_json(command)


def _add_photos(command: argparse.ArgumentParser) -> None:
    command.add_argument("photos", nargs="+", metavar="PHOTO", help="picture files (PNG, JPEG, WebP, TIFF, ...)")


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        default="torchvision/resnet50",
        metavar="M",
        help="a name or a file that `sightline models` lists: demo, torchvision/NAME, timm/NAME, hf/ID, keras/NAME, "
        "model.keras, model.onnx, package.module:factory, ...; default: %(default)s",
    )
    command.add_argument(
        "--model-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="how to load it: weights=FILE (or none, for random ones); for files and your own network also "
        "input_size=, mean=, std=, labels=FILE, resize=, layer=, output=",
    )
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the method, such as samples=50, or of visualize, such as canvas=pixels",
    )
    command.add_argument("--seed", type=int, default=0, help="of all random numbers; default: 0")
    command.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: where the network is loaded")
    command.add_argument("--batch-size", type=int, metavar="N", help="images at once; default: 8")


def _add_out(command: argparse.ArgumentParser, folder: str) -> None:
    command.add_argument(
        "--out", type=Path, default=Path(folder), metavar="DIR", help="where to write; default: %(default)s"
    )


def _add_file(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument(
        "--out", type=Path, metavar="FILE",
        help="the picture to write (.png, .jpg, .svg), a page (.html), or values (.npz); "
        f"default: sightline-out/{name}",
    )  # fmt: skip


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON document instead of text")

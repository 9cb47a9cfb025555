"""Train the aligner that ships in align/data, from speech that anyone can get.

    python scripts/train_aligner.py --packs PACKS --cache CACHE \\
        --recordings lj:FOLDER --recordings vctk:FOLDER --recordings asterisk:FOLDER

PACKS holds Kokoro voice packs (*.bin of npm kokoro-js@1.2.1, Apache-2.0). `--recordings`
are LJ Speech (public domain), VCTK (CC BY 4.0) and Debian's asterisk-core-sounds-en and
-en-g722 unpacked (CC BY-SA 3.0); any may be left out. In order:

1. synthesise `--minutes` of speech in voices that no benchmark uses, with known times;
2. train on it for boundaries, and on the recordings with PocketSphinx's times for phones
   away from boundaries; align the recordings with the result; take the 25 ms grid out of the
   synthesised times;
3. go on with these, align once more, and so on: a training for each number of `--steps`;
4. choose the weights of the search and calibrate the confidence on voices kept aside.

What is in CACHE is not made again. The card beside the weights records all of it.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tomlkit
import torch
from aligner_corpus import (
    Clip,
    load_clip,
    read_recordings,
    recorded_texts,
    save_clip,
    synthesise,
    texts,
    training_packs,
)
from aligner_label import edge_errors, labelled, log_prior, roughly_labelled, smoothed, tuned
from aligner_net import Net, Plan, exported, train, write_weights

from align.engines._network import Network, Tuning, load_network
from align.engines.nnet import hear, place
from media.audio import Sound
from media.files import atomic_path, sha256_of

OUT = Path(__file__).resolve().parents[1] / "align" / "data"
DEVELOPMENT_MINUTES = 1.0
LICENCES = {
    "lj": "LJ Speech, public domain",
    "vctk": "VCTK p225 and p226, CC BY 4.0",
    "asterisk": "Asterisk core sounds by Allison Smith, CC BY-SA 3.0",
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--recordings", action="append", default=[], metavar="KIND:FOLDER")
    parser.add_argument("--minutes", type=float, default=40, help="of synthesised speech")
    parser.add_argument(
        "--unwritten", type=int, default=100, help="recordings without a text that are transcribed"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 1500, 1500])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("data", "train"), help="half of the work")
    parser.add_argument("--out", type=Path, default=OUT / "aligner.safetensors")
    return parser.parse_args()


def make_data(options: argparse.Namespace) -> None:
    """Recordings and synthesised clips into the cache."""
    said: list[str] = []
    for pair in options.recordings:
        kind, _, folder = pair.partition(":")
        read_recordings(kind, Path(folder), options.cache / "recorded", options.unwritten)
        said += [text for _, text in recorded_texts(kind, Path(folder)) if text]
    packs = training_packs(options.packs)
    aside = sorted(packs)[4::13]
    development = {name: packs.pop(name) for name in aside}
    seed = options.seed
    synthesise(
        development, texts(said, seed + 1), DEVELOPMENT_MINUTES, options.cache / "dev", seed + 1
    )
    synthesise(packs, texts(said, seed), options.minutes, options.cache / "synth", seed)


def clips_in(folder: Path) -> list[Clip]:
    """All clips of a folder, in the order of their names."""
    paths = sorted(p for p in folder.glob("*.npz") if not p.name.startswith("."))
    return [load_clip(path) for path in paths]


def minutes_of(clips: list[Clip]) -> float:
    """Their length together."""
    return round(sum(c.seconds for c in clips) / 60, 1)


def development_error(clips: list[Clip], network: Network) -> float:
    """Mean error of phone edges in ms on voices that were not trained on."""
    errors = []
    for clip in clips:
        heard = hear(Sound(clip.samples, 16_000), network)
        errors.append(edge_errors(clip, place(heard, [(w,) for w in clip.words], network)))
    return float(np.concatenate(errors).mean())


def fit(
    options: argparse.Namespace, clips: list[Clip], net: Net, number: int
) -> tuple[Net, Network]:
    """One training from where `net` is; the mean of its weights, also as NumPy runs them."""
    print(f"training {number}: {len(clips)} clips, {minutes_of(clips)} minutes", flush=True)
    plan = Plan(options.steps[number], rate=3e-3 if number == 0 else 2e-3)
    mean = train(net, clips, plan, options.seed + number)
    path = options.cache / f"training-{number}.safetensors"
    write_weights(exported(mean, log_prior(clips)), net.dilations, Tuning(), path)
    with atomic_path(path.with_suffix(".pt")) as target:
        torch.save(mean.state_dict(), target)
    return mean, load_network(path)


def kept(options: argparse.Namespace, number: int) -> tuple[Net, Network] | None:
    """Training `number` from the cache, if it was finished there."""
    path = options.cache / f"training-{number}.pt"
    if not path.exists():
        return None
    net = Net()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval(), load_network(path.with_suffix(".safetensors"))


def _first_clips(
    options: argparse.Namespace, synthetic: list[Clip], recordings: list[Clip]
) -> list[Clip]:
    """What the first training hears; the rough labels are kept in the cache."""
    folder = options.cache / "rough"
    if not folder.exists():
        rough = roughly_labelled(recordings)
        folder.mkdir(parents=True)
        for clip in rough:
            save_clip(clip, folder / f"{clip.name}.npz")
    return synthetic + clips_in(folder)


def all_trainings(options: argparse.Namespace) -> tuple[Network, Net, dict[str, float]]:
    """One training after the other, the recordings aligned anew between them."""
    cache = options.cache
    recordings, development = clips_in(cache / "recorded"), clips_in(cache / "dev")
    synthetic = clips_in(cache / "synth")
    facts = {"synthesised": minutes_of(synthetic), "recorded": minutes_of(recordings)}
    torch.manual_seed(options.seed)
    mean, network = kept(options, 0) or fit(
        options, _first_clips(options, synthetic, recordings), Net(), 0
    )
    for number in range(1, len(options.steps)):
        facts[f"error_ms_{number - 1}"] = round(development_error(development, network), 2)
        print(facts, flush=True)
        finished = kept(options, number)
        if finished is None:
            heard = labelled(recordings, network)
            facts["recorded"] = minutes_of(heard)
            net = Net()
            net.load_state_dict(mean.state_dict())
            finished = fit(options, smoothed(synthetic, network) + heard, net, number)
        mean, network = finished
    return network, mean, facts


def write_card(options: argparse.Namespace, facts: dict[str, float], tuning: Tuning) -> None:
    """What the weights were made of."""
    kinds = [pair.partition(":")[0] for pair in options.recordings]
    card = tomlkit.document()
    card.add(tomlkit.comment("The learned aligner. Made by scripts/train_aligner.py."))
    card["licence"] = "Apache-2.0"
    card["weights"] = options.out.name
    card["sha256"] = sha256_of(options.out)
    card["seed"] = options.seed
    card["kept_out"] = (
        "GRID s1, the speakers of the hand-made labels, the benchmark's five voices and the "
        "packs they are blended from, all test sentences"
    )
    card["figures"] = "docs/aligner.md"
    recorded = " ".join(f"--recordings {kind}:FOLDER" for kind in kinds)
    card["command"] = (
        f"python scripts/train_aligner.py --packs PACKS --cache CACHE {recorded} "
        f"--minutes {options.minutes:g} --unwritten {options.unwritten} "
        f"--steps {' '.join(map(str, options.steps))} --seed {options.seed}"
    )
    card["trained_on"] = [
        "Kokoro-82M speech (Apache-2.0) with known times",
        *(LICENCES[kind] for kind in kinds),
    ]
    card["minutes"] = {k: v for k, v in facts.items() if "error" not in k}
    card["development_error_ms"] = [v for k, v in facts.items() if "error" in k]
    card["tuning"] = asdict(tuning)
    with atomic_path(options.out.with_suffix(".toml")) as target:
        target.write_text(tomlkit.dumps(card), encoding="utf-8")


def main() -> None:
    """All of it."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.only != "train":
        make_data(options)
    if options.only == "data":
        return
    network, net, facts = all_trainings(options)
    development = clips_in(options.cache / "dev")
    tuning = tuned(development[:12], network, options.seed)
    tuned_network = Network(network.weights, network.dilations, tuning)
    facts["error_ms_tuned"] = round(development_error(development, tuned_network), 2)
    prior = network.weights["log_prior"]
    write_weights(exported(net, prior), net.dilations, tuning, options.out)
    write_card(options, facts, tuning)
    print(f"{options.out}: {facts}")


if __name__ == "__main__":
    main()

"""The command line, `python -m cnnkit COMMAND`. A command imports what it needs: `--help` answers at once."""

import argparse
import os
import sys
from pathlib import Path


def doctor(args):
    from cnnkit.report import doctor

    return doctor.report()


def datasets(args):
    from cnnkit import data

    if args.check:
        frame, sentence = data.check(args.check)
        print(frame.to_string(index=False), sentence, sep="\n")
    else:
        print(data.describe().to_string(index=False))


def models(args):
    from cnnkit import anatomy, models

    if args.name is None:
        print("\n".join(models.list_models()))
        return
    sides = args.input.split("x")
    if len(sides) != 3 or not all(side.isdecimal() for side in sides):
        raise ValueError(f"Expected --input as height x width x channels, e.g. 32x32x3. Received: {args.input}.")
    print(anatomy.describe(models.create_model(args.name, tuple(map(int, sides)), args.classes)))


def train(args):
    from cnnkit.lab import sweeps
    from cnnkit.lab.config import RunConfig

    row = sweeps.run_all([RunConfig(**_settings(args.settings))], args.experiment, workers=1).iloc[0]
    print(row.dropna().to_string())
    return int(row["status"] == "failed")


def sweep(args):
    from cnnkit import course
    from cnnkit.lab import sweeps
    from cnnkit.report import gallery

    failed = 0
    with sweeps.cluster(args.workers, args.scheduler) as client:
        for name in args.names or course.list_experiments():
            runs, history = course.run_experiment(name, client=client, refresh=args.refresh)
            failed += (runs["status"] == "failed").sum()
            print(gallery.report(name, runs, history))
    return int(failed > 0)


def search(args):
    args.names = ["search"]
    return sweep(args)


def results(args):
    from cnnkit.report import frontpage, gallery

    print(gallery.rebuild())
    frontpage.write()


def claims(args):
    from cnnkit.plots import wording
    from cnnkit.report import gallery

    print(wording.tell_verdicts(gallery.claims_table(), indent=""))


def verify(args):
    from cnnkit.report import verify

    return verify.verify(sample=args.sample, seed=args.seed)


def why(args):
    from cnnkit import plots

    for name, value in plots.read_provenance(args.figure).items():
        print(f"{name}: {value}")


def notebooks(args):
    from cnnkit.lab import store
    from cnnkit.report import notebooks

    return notebooks.build(args.names, store.profile())


def _settings(pairs):
    """Turn `name=value` words into a dict; values are JSON where they can be, else text."""
    import json

    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"Expected settings as name=value, e.g. learning_rate=0.1. Received: {pair}.")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m cnnkit", description="A laboratory for convolutional neural networks."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, text):
        sub = commands.add_parser(function.__name__, help=text, description=text)
        sub.set_defaults(run=function)
        return sub

    def profiled(sub):
        sub.add_argument("--profile", choices=["smoke", "full"], help="smoke (minutes, offline) or full (real data)")
        return sub

    def distributed(sub):
        sub.add_argument("--workers", type=int, help="processes on this machine (default: one a core)")
        sub.add_argument("--scheduler", help="address of a Dask scheduler that trains instead")
        sub.add_argument("--refresh", action="store_true", help="train stale rows again")
        return profiled(sub)

    command(doctor, "what this machine has, and what to do about what it lacks")
    sub = command(datasets, "list the data sets, or check one for repeated images")
    sub.add_argument("--check", metavar="NAME", help="count identical images within and across the splits")
    sub = command(models, "list the models, or print one layer by layer")
    sub.add_argument("name", nargs="?", help="a registered model")
    sub.add_argument("--input", default="32x32x3", help="height x width x channels (default: 32x32x3)")
    sub.add_argument("--classes", type=int, default=10, help="number of classes (default: 10)")
    sub = profiled(command(train, "train one run and keep its row"))
    sub.add_argument("settings", nargs="*", metavar="FIELD=VALUE", help="fields of RunConfig, e.g. learning_rate=0.05")
    sub.add_argument("--experiment", default="scratch", help="whose tables keep the row (default: scratch)")
    sub = distributed(command(sweep, "run experiments: what the tables lack is trained"))
    sub.add_argument("names", nargs="*", metavar="EXPERIMENT", help="default: all")
    distributed(command(search, "random, Bayesian and Hyperband search over one space"))
    command(results, "rebuild tables, figures, gallery and claims from the committed rows")
    command(claims, "print every claim with its effect, interval and verdict")
    sub = command(verify, "re-run a sample of committed rows, re-derive tables, figures and verdicts")
    sub.add_argument("--sample", type=int, default=5, help="rows to train again (default: 5)")
    sub.add_argument("--seed", type=int, default=1, help="which rows (default: 1)")
    sub = command(why, "where a figure came from")
    sub.add_argument("figure", help="a PNG under results/")
    sub = profiled(command(notebooks, "run notebooks from top to bottom"))
    sub.add_argument("names", nargs="*", metavar="NOTEBOOK", help="default: all")
    return parser


def main(argv=None):
    """Run one command; return the exit status."""
    args = _parser().parse_args(argv)
    if getattr(args, "profile", None):
        os.environ["CNNKIT_PROFILE"] = args.profile
    if os.environ.get("CNNKIT_DATA_DIR"):  # workers and notebooks run in other folders
        os.environ["CNNKIT_DATA_DIR"] = str(Path(os.environ["CNNKIT_DATA_DIR"]).resolve())
    try:
        _prepare(args.run)
        return args.run(args) or 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _prepare(command):
    if command in (train, sweep, search, verify):
        from cnnkit.lab.startup import prepare_workers

        prepare_workers()
    if command in (models, train, sweep, search, verify, results, claims):
        from cnnkit.lab.startup import import_keras

        import_keras()


if __name__ == "__main__":
    sys.exit(main())

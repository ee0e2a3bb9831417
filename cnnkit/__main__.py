"""The command line, `python -m cnnkit COMMAND`. A command imports what it needs: `--help` answers at once."""

import argparse
import os
import sys
from pathlib import Path

import cnnkit
from cnnkit.lab import startup


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
    print(anatomy.describe(models.sketch_model(args.name, tuple(map(int, sides)), args.classes)))


def train(args):
    from cnnkit.lab import sweeps
    from cnnkit.lab.config import RunConfig

    how = {"workers": args.workers or 1, "scheduler": args.scheduler, "refresh": args.refresh}
    row = sweeps.run_all([RunConfig(**_settings(args.settings))], args.experiment, **how).iloc[0]
    print(row.dropna().to_string())
    return int(row["status"] == "failed")


def sweep(args):
    from cnnkit import course
    from cnnkit.evidence.experiment import run_experiment
    from cnnkit.lab import sweeps
    from cnnkit.report import gallery

    failed = 0
    experiments = [course.load_experiment(name) for name in args.names or course.list_experiments()]
    with sweeps.cluster(args.workers, args.scheduler) as client:
        for experiment in experiments:
            found = run_experiment(experiment, client=client, refresh=args.refresh)
            failed += (found.runs["status"] == "failed").sum()
            print(gallery.report(found))
    return int(failed > 0)


def search(args):
    args.names = ["search"]
    return sweep(args)


def results(args):
    from cnnkit.report import frontpage, gallery

    _check_checkout()
    print(gallery.rebuild())
    frontpage.write()


def claims(args):
    from cnnkit import plots
    from cnnkit.report import gallery

    print(plots.tell_verdicts(gallery.claims_table(), indent=""))


def verify(args):
    from cnnkit.report import verify

    _check_checkout()
    return verify.verify(sample=args.sample, seed=args.seed)


def why(args):
    from cnnkit import plots

    for name, value in plots.read_provenance(args.figure).items():
        print(f"{name}: {value}")


def notebooks(args):
    from cnnkit.lab import store
    from cnnkit.report import notebooks

    _check_checkout()
    return notebooks.build(args.names, store.profile())


def _check_checkout():
    if cnnkit.CHECKOUT is None:
        raise ValueError(
            "Expected a checkout of cnnkit, whose committed results and notebooks this command is about. Received: an "
            "installed package. Clone the repository and run it there."
        )


def _settings(pairs):
    """Turn `name=value` words into a dict; values are JSON or Python's None, True, False, .1; else text."""
    import ast
    import json

    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"Expected settings as name=value, e.g. learning_rate=0.1. Received: {pair[:80]}.")
        for read in (json.loads, ast.literal_eval, str):
            try:
                settings[name] = read(value)
                break
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
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
        sub.add_argument(
            "--scheduler",
            help="address of a Dask scheduler that trains instead (it runs any code: keep it on a closed network)",
        )
        sub.add_argument("--refresh", action="store_true", help="train stale rows again")
        return profiled(sub)

    command(doctor, "what this machine has, and what to do about what it lacks")
    sub = command(datasets, "list the data sets, or check one for repeated images")
    sub.add_argument("--check", metavar="NAME", help="count identical images within and across the splits")
    sub = command(models, "list the models, or print one layer by layer")
    sub.add_argument("name", nargs="?", help="a registered model")
    sub.add_argument("--input", default="32x32x3", help="height x width x channels (default: 32x32x3)")
    sub.add_argument("--classes", type=int, default=10, help="number of classes (default: 10)")
    sub = distributed(command(train, "train one run and keep its row"))
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
    """Run one command; return the exit status. What can be foreseen is said in one sentence."""
    args = _parser().parse_args(argv)
    if getattr(args, "profile", None):
        os.environ["CNNKIT_PROFILE"] = args.profile
    if os.environ.get("CNNKIT_DATA_DIR"):  # workers and notebooks run in other folders
        os.environ["CNNKIT_DATA_DIR"] = str(Path(os.environ["CNNKIT_DATA_DIR"]).resolve())
    try:
        with startup.interrupted_once():
            _prepare(args.run)
            return args.run(args) or 0
    except ModuleNotFoundError as error:
        backend = os.environ.get("KERAS_BACKEND")
        way_on = f" KERAS_BACKEND={backend} needs it: pip install {error.name}, or unset it." if backend else ""
        return _refuse(f"Expected the package {error.name}. Received: none installed.{way_on}")
    except (MemoryError, RecursionError, OverflowError) as error:
        return _refuse(f"Expected what fits into memory. Received: {type(error).__name__} {str(error)[:200]}")
    except (ValueError, OSError) as error:
        return _refuse(error)
    except KeyboardInterrupt:
        return 130


def _refuse(error):
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    return 1


def _prepare(command):
    if command in (train, sweep, search, verify):
        startup.prepare_workers()
    if command in (models, train, sweep, search, verify, results, claims):
        startup.import_keras()


if __name__ == "__main__":
    sys.exit(main())

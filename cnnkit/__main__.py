"""The command line, `python -m cnnkit COMMAND`. A command imports what it needs: `--help` answers at once."""

import argparse
import ast
import contextlib
import json
import os
import re
import sys
import warnings
from pathlib import Path

import cnnkit
from cnnkit.lab import startup


def doctor(args):
    from cnnkit.report import doctor

    return doctor.report()


def datasets(args):
    from cnnkit import data

    if args.check:
        frame, sentence = data.check_duplicates(data.load_dataset(args.check))
        print(frame.to_string(index=False), sentence, sep="\n")
    else:
        print(data.describe().to_string(index=False))


def models(args):
    from cnnkit import anatomy, models

    if args.name is None:
        thousands = dict.fromkeys(("parameters", "macs"), "{:,}".format)
        print(anatomy.compare_models().to_string(index=False, formatters=thousands))
    elif sides := re.fullmatch(r"(\d+)x(\d+)x(\d+)", args.input):
        print(anatomy.describe(models.sketch_model(args.name, tuple(map(int, sides.groups())), args.classes)))
    else:
        raise ValueError(f"Expected --input as height x width x channels, e.g. 32x32x3. Received: {args.input}.")


def train(args):
    import pandas as pd

    from cnnkit.lab import export, sweeps
    from cnnkit.lab.config import RunConfig

    config, workers = RunConfig(**_settings(args.settings)), 1 if args.workers is None else args.workers
    if args.save is not None:
        row = pd.Series(export.train_and_save(config, args.experiment, args.save))
    else:
        how = {"workers": workers, "scheduler": args.scheduler, "refresh": args.refresh}
        row = sweeps.run_all([config], args.experiment, **how).iloc[0]
    print(row.dropna().to_string())
    return int(row["status"] == "failed")


def predict(args):
    from cnnkit.lab import export, store

    if args.out is not None:
        store.check_target(args.out)
    table = export.predict(args.model, args.pictures, on_error=args.on_error)
    if args.out is not None:
        store.write_atomically(args.out, table.to_csv(index=False, lineterminator="\n"))
    else:
        print(table.to_string(index=False, float_format="{:.3f}".format))


def evaluate(args):
    from cnnkit.lab import export

    table = export.evaluate(args.model, args.dataset)
    right, count = sum(table.at[name, name] for name in table.index), table.to_numpy().sum()
    print(table.to_string(), f"{right} of {count} right ({right / count:.1%})", sep="\n")


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
    from cnnkit import course, plots
    from cnnkit.lab import search, store
    from cnnkit.lab.config import RunConfig

    if not args.settings and (args.algorithm, args.budget) == (None, None):
        args.names = ["search"]
        return sweep(args)
    if args.experiment in course.list_experiments():
        raise ValueError(f"Expected --experiment of your own. Received: {args.experiment}, the course's.")
    space, base = search.read_space(_settings(args.settings))
    how = {name: getattr(args, name) for name in ("experiment", "seed", "workers", "scheduler", "refresh")}
    budget = 100 if args.budget is None else args.budget
    trials = search.run_search(space, args.algorithm or "random", budget, base=base, **how)
    folder, runs = store.results_dir() / args.experiment, store.read_runs(args.experiment)
    store.write_atomically(folder / "trials.csv", trials.to_csv(index=False, lineterminator="\n"))
    rows = runs[runs["run_id"].isin(trials["run_id"])]
    best = trials.drop_duplicates("run_id").sort_values("score", ascending=False)
    print(best[["trial", *space, "epochs", "score", "status"]].head(10).to_string(index=False))
    if best["score"].isna().all():
        received = f"{len(best)} that {' or '.join(sorted(set(best['status'])))}; they are in {folder}/runs.csv"
        raise ValueError(f"Expected a trial that trains. Received: {received}. Try smaller learning rates.")
    figure = plots.plot_trials(trials, list(space))
    plots.save_figure(figure, folder / "trials.png", experiment=args.experiment, rows=rows)
    print(f"All {len(trials)} trials, by validation accuracy: {folder}/trials.csv and trials.png. To train the best:")
    print(search.tell_command(RunConfig.from_row(rows.set_index("run_id", drop=False).loc[best["run_id"].iloc[0]])))
    return None


def results(args):
    from cnnkit.report import gallery

    print(gallery.rebuild())
    gallery.write_front_page()


def claims(args):
    from cnnkit import plots
    from cnnkit.report import gallery

    print(plots.tell_verdicts(gallery.claims_table(), indent=""))


def verify(args):
    from cnnkit.report import verify

    return verify.verify(sample=args.sample, seed=args.seed)


def why(args):
    from cnnkit import plots

    for name, value in plots.read_provenance(args.figure).items():
        print(f"{name}: {value}")


def diagnose(args):
    from cnnkit import diagnostics

    histories = [diagnostics.read_history(path, args.run_id) for path in args.histories]
    names = ("batch_size", "num_classes", "num_train", "num_val")
    found = diagnostics.diagnose(histories, **{name: getattr(args, name) for name in names})
    print(diagnostics.tell_diagnosis(found))
    if args.out:
        diagnostics.plot_diagnosis(histories[0], found)[0].figure.savefig(args.out, dpi=150)


def notebooks(args):
    from cnnkit.lab import store
    from cnnkit.report import notebooks

    return notebooks.build(args.names, store.profile())


def reproduce(args):
    from cnnkit.report import reproduce

    return reproduce.reproduce(args.folder, args.workers)


def site(args):
    from cnnkit.report import site

    pages = site.build(args.folder)
    print(f"{pages} pages: open {args.folder}/index.html, or put the folder on any web server.")


def _settings(pairs):
    """Turn `name=value` words into a dict; values are JSON or Python's None, True, False, .1; else text."""
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"Expected settings as name=value, e.g. learning_rate=0.1. Received: {pair[:80]}.")
        if name in settings:
            raise ValueError(f"Expected each setting once. Received: {name} twice.")
        settings[name] = text
        for read in (ast.literal_eval, json.loads):
            with contextlib.suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                settings[name] = read(text)
    return settings


def _parser():
    parser = argparse.ArgumentParser("python -m cnnkit", description="A laboratory for convolutional neural networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    profiled, distributed = argparse.ArgumentParser(add_help=False), argparse.ArgumentParser(add_help=False)
    profiled.add_argument("--profile", choices=["smoke", "full"], help="smoke (minutes, offline) or full (real data)")
    distributed.add_argument("--workers", type=int, help="processes on this machine (default: one a core)")
    distributed.add_argument("--scheduler", help="address of a Dask scheduler (on closed networks: it runs any code)")
    distributed.add_argument("--refresh", action="store_true", help="train stale rows again")

    def command(name, function, text, *parents):
        sub = commands.add_parser(name, help=text, description=text, parents=parents)
        sub.set_defaults(run=function)
        return sub

    command("doctor", doctor, "what this machine has, and what to do about what it lacks")
    sub = command("datasets", datasets, "list the data sets, or check one for repeated images")
    sub.add_argument("--check", metavar="NAME", help="count identical images within and across the splits")
    sub = command("models", models, "list the models, or print one layer by layer")
    sub.add_argument("name", nargs="?", help="a registered model")
    sub.add_argument("--input", default="32x32x3", help="height x width x channels (default: 32x32x3)")
    sub.add_argument("--classes", type=int, default=10, help="number of classes (default: 10)")
    sub = command("train", train, "train one run and keep its row", distributed, profiled)
    sub.add_argument("settings", nargs="*", metavar="FIELD=VALUE", help="fields of RunConfig, e.g. learning_rate=0.05")
    sub.add_argument("--experiment", default="scratch", help="whose tables keep the row (default: scratch)")
    sub.add_argument("--save", metavar="FILE.keras", help="train here, and write the network to this file, too")
    sub = command("predict", predict, "what a saved network sees in pictures")
    sub.add_argument("model", metavar="FILE.keras", help="written by `train ... --save`")
    sub.add_argument("pictures", nargs="+", metavar="PICTURE", help="files, or folders of them")
    sub.add_argument("--out", metavar="FILE.csv", help="write the table there instead of printing it")
    sub.add_argument("--on-error", choices=["raise", "skip"], default="raise", help="skip: leave damaged ones out")
    sub = command("evaluate", evaluate, "a saved network's confusion matrix on the test images of a data set")
    sub.add_argument("model", metavar="FILE.keras", help="written by `train ... --save`")
    sub.add_argument("dataset", metavar="NAME", help="a data set, e.g. folder:PATH")
    sub = command("sweep", sweep, "run experiments: what the tables lack is trained", distributed, profiled)
    sub.add_argument("names", nargs="*", metavar="EXPERIMENT", help="default: all")
    sub = command("search", search, "search a space (without one, the course's)", distributed, profiled)
    words = "fixed, choices 16,32,64 or a range 1e-3..1 (log over a decade)"
    sub.add_argument("settings", nargs="*", metavar="FIELD=VALUES", help=words)
    sub.add_argument("--algorithm", help="random, bayesian or hyperband (default: random)")
    sub.add_argument("--budget", type=int, metavar="EPOCHS", help="of all runs together (default: 100)")
    sub.add_argument("--seed", type=int, default=1, help="of the proposals (default: 1)")
    sub.add_argument("--experiment", default="scratch", help="whose tables keep rows and trials (default: scratch)")
    command("results", results, "rebuild tables, figures, gallery and claims from the committed rows")
    command("claims", claims, "print every claim with its effect, interval and verdict")
    sub = command("verify", verify, "re-run a sample of committed rows, re-derive tables, figures and verdicts")
    sub.add_argument("--sample", type=int, default=5, help="rows to train again (default: 5)")
    sub.add_argument("--seed", type=int, default=1, help="which rows (default: 1)")
    sub = command("diagnose", diagnose, "say what is wrong with a training run, from its history")
    words = "a CSV or JSON file, or TensorBoard's folder; two of one seed are compared"
    sub.add_argument("histories", nargs="+", metavar="HISTORY", help=words)
    sub.add_argument("--run", dest="run_id", help="which run_id, where the file holds several")
    sub.add_argument("--out", metavar="PNG", help="draw the curves with the places marked")
    counted = {"batch-size": "images a step", "num-classes": "classes"}
    for name, what in (counted | {"num-train": "training images", "num-val": "validation images"}).items():
        sub.add_argument(f"--{name}", type=int, help=f"{what}, to say more, and surer")
    command("why", why, "where a figure came from").add_argument("figure", help="a PNG under results/")
    sub = command("notebooks", notebooks, "run notebooks from top to bottom", profiled)
    sub.add_argument("names", nargs="*", metavar="NOTEBOOK", help="default: all")
    sub = command("reproduce", reproduce, "train everything again from nothing, and compare the verdicts")
    sub.add_argument("folder", nargs="?", default="reproduced", help="of all its results (default: reproduced)")
    sub.add_argument("--workers", type=int, help="processes on this machine (default: one a core)")
    sub = command("site", site, "write front page, results and notebooks as a static web site")
    sub.add_argument("folder", nargs="?", default="site", help="an empty or new folder (default: site)")
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
            if cnnkit.CHECKOUT is None and args.run in (results, verify, reproduce, notebooks, site):
                received = "an installed package. Clone the repository and run it there"
                raise ValueError(f"Expected a checkout of cnnkit with its results and notebooks. Received: {received}.")
            if args.run in (train, sweep, search, verify, reproduce):
                startup.prepare_workers()
            if args.run not in (doctor, datasets, why, diagnose, notebooks, site):
                startup.import_keras()
            return args.run(args) or 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads the output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        backend = os.environ.get("KERAS_BACKEND")
        way_on = f" KERAS_BACKEND={backend} needs it: pip install {error.name}, or unset it." if backend else ""
        said = f"Expected the package {error.name}. Received: none installed.{way_on}"
    except (MemoryError, RecursionError, OverflowError) as error:
        said = f"Expected what fits into memory. Received: {type(error).__name__} {str(error)[:200]}"
    except (ValueError, OSError) as error:
        said = str(error)
    print("error:", " ".join(said.split()), file=sys.stderr)
    return 1


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"  # without a line of our source
    sys.exit(main())

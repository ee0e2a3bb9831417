"""Many runs: what the store lacks is trained by Dask, on this machine's cores or on a cluster, and each row is kept."""

import contextlib
import dataclasses
import logging
import os
import sys

import dask
import distributed
import keras
import pandas as pd
from tornado.ioloop import PeriodicCallback
from tqdm.auto import tqdm

from cnnkit import data, models
from cnnkit.lab import startup, store, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.provenance import use_one_thread

CONNECT_SECONDS = 10
LOOK_SECONDS = 5
DASK_SETTINGS = {
    "distributed.worker.multiprocessing-method": startup.START_METHOD,
    "distributed.scheduler.worker-saturation": 1.0,  # a worker holds one run, so its death is blamed on that run alone
    "distributed.scheduler.allowed-failures": 2,  # the third worker that a run kills makes it a failed row
    "distributed.deploy.lost-worker-timeout": "60s",  # a killed worker first has to import TensorFlow again
    "distributed.worker.memory.pause": False,  # TensorFlow keeps 3 MB a traced step: a full worker is replaced
    "distributed.worker.profile.enabled": False,  # it looks into the training thread a hundred times a second
    "distributed.admin.tick.interval": "1s",  # every process asks fifty times a second whether it is late:
    "distributed.admin.system-monitor.interval": "5s",  # both together take 3% of two cores
    "distributed.logging.distributed": "critical",  # a killed worker is a row or a retry, not a page of log
}


def run_all(configs, experiment, *, workers=None, scheduler=None, client=None, refresh=False):
    """Return the rows of `configs`, training those that the store does not have.

    Args:
        configs: `RunConfig`s; a repeated one is trained once.
        experiment: String, the store's folder.
        workers: Integer, processes of one thread each on this machine; None for one a core.
        scheduler: String, address of a Dask scheduler that trains instead, e.g. `"tcp://10.0.0.1:8786"`. Its workers
            need cnnkit and the same data; rows come back here.
        client: What `cluster` yields, to use one cluster for several calls.
        refresh: Boolean. True trains stale rows again, instead of refusing them.
    Returns:
        DataFrame: one row a distinct config, in the order asked.
    Raises:
        ValueError: If a config does not fit its data or its model, a row was made from other data or another
            architecture, or `workers` is less than 1.
        OSError: If the results folder cannot be written, the disk is full or the scheduler does not answer.
    """
    _check_workers(workers)
    configs = list({config.run_id: config for config in configs}.values())
    missing = _missing(configs, experiment, refresh)
    if missing:
        store.check_writable(experiment)
        with contextlib.ExitStack() as stack:
            client = client or stack.enter_context(cluster(min(workers or count_cores(), len(missing)), scheduler))
            stack.callback(store.rebuild, experiment)
            _run_missing(missing, experiment, client, len(configs), refresh)
    store.rebuild(experiment)
    runs = store.read_runs(experiment)
    return runs.set_index("run_id", drop=False).loc[[c.run_id for c in configs]].reset_index(drop=True)


@contextlib.contextmanager
def cluster(workers=None, scheduler=None):
    """Yield a function that returns a `distributed.Client`, started when it is first called.

    Args:
        workers: Integer, processes on this machine; None for one a core. Ignored with a scheduler.
        scheduler: String, address of a running Dask scheduler, or None.
    Raises:
        ValueError: If `workers` is less than 1.
        OSError: If the scheduler does not answer.
    """
    _check_workers(workers)
    with contextlib.ExitStack() as stack:
        started = []

        def client():
            if not started:
                started.append(_start(stack, workers or count_cores(), scheduler))
            return started[0]

        yield client


def _check_workers(workers):
    if workers is not None and workers < 1:
        raise ValueError(f"Expected workers >= 1, or None for one a core. Received: workers={workers}.")


def _start(stack, workers, scheduler):
    stack.enter_context(dask.config.set(DASK_SETTINGS))
    if scheduler is None:
        startup.prepare_workers()
        options = {
            "n_workers": workers,
            "threads_per_worker": 1,
            "dashboard_address": "127.0.0.1:0",  # no dashboard without bokeh; None would take port 8787 or warn
            "preload": ["cnnkit.lab.startup"],
            "env": dict(os.environ),  # as it is now: the process they are forked from may be older
        }
        local = stack.enter_context(distributed.LocalCluster(silence_logs=logging.CRITICAL, **options))
        # Dask gives up a worker that died while it started; asked for so many again, it starts another.
        look = PeriodicCallback(lambda: local.scale(workers), 1000 * LOOK_SECONDS)
        local.loop.add_callback(look.start)
        stack.callback(local.loop.add_callback, look.stop)
        return stack.enter_context(distributed.Client(local))
    try:
        return stack.enter_context(distributed.Client(scheduler, timeout=CONNECT_SECONDS))
    except (OSError, ValueError) as error:
        raise OSError(
            f"Expected a Dask scheduler at {scheduler}. Received: {error}. Start one with `dask scheduler` and workers "
            "with `dask worker ADDRESS`, or leave --scheduler out to train on this machine."
        ) from None


def count_cores():
    """Return how many cores this process may use: the default number of workers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _missing(configs, experiment, refresh):
    """Return the configs without a usable row; refuse rows that other data or another architecture made."""
    runs = store.read_runs(experiment)
    done = runs[runs["status"].isin(store.FINAL)].set_index("run_id")
    missing, stale = [], []
    for config in sorted(configs, key=lambda c: (c.dataset, c.train_size or 0, c.seed)):  # each split is read once
        finished = config.run_id in done.index
        if finished and not data.is_available(config.dataset):  # nothing to compare with: the row is what there is
            continue
        expected = _fingerprint(config)  # raises now if data and model do not fit
        if not finished:
            missing.append(config)
            continue
        row = done.loc[config.run_id]
        stale += [(config, name, str(row[name]), value) for name, value in expected.items() if row[name] != value]
    if stale and not refresh:
        config, name, was, now = stale[0]
        raise ValueError(
            f"Expected rows of {experiment} made from the data and models that are here. Received: stale rows, "
            f"{len({c.run_id for c, *_ in stale})} of {len(configs)}; run {config.run_id} ({config.model} on "
            f"{config.dataset}) has {name} {was[:12]}, here it is {now[:12]}. "
            "Train them again with --refresh (refresh=True), or restore the data or the code they were made with."
        )
    again = {config.run_id: config for config, *_ in stale}
    return _by_architecture([*missing, *again.values()])


def _fingerprint(config):
    return training.fingerprint(config) if isinstance(config, RunConfig) else config.fingerprint()


def _by_architecture(configs):
    """Put runs of one architecture next to each other, so that a worker traces its training step once."""
    fields = ("dataset", "model", "model_args", "optimizer", "optimizer_args", "schedule", "schedule_args", "loss")
    fields += ("augmentation", "label_smoothing", "ema", "precision", "batch_size", "epochs", "learning_rate")
    return sorted(configs, key=lambda config: [str(getattr(config, field, "")) for field in fields])


def _run_missing(configs, experiment, client, total, refresh):
    bar = tqdm(total=total, initial=total - len(configs), desc=experiment, unit="run", disable=_progress_is_off())
    kept, failed, best, waiting = total - len(configs), 0, None, {}
    try:
        for config in configs:
            waiting[client().submit(_train_one, *_task(config), key=f"{experiment}-{config.run_id}")] = config
        for future in distributed.as_completed(list(waiting)):
            row, history = _outcome(future, waiting.pop(future))
            store.stage(row, history, experiment, replace=refresh)
            kept += 1
            failed += row["status"] == "failed"
            scores = [s for s in (best, row.get("best_val_accuracy")) if s is not None]
            best = max(scores, default=None)
            bar.set_postfix(left=len(waiting), failed=failed, best=f"{best:.2%}" if best is not None else "-")
            bar.update()
    except KeyboardInterrupt:
        bar.close()
        print(f"Stopped. {kept} of {total} runs of {experiment} are kept; the same command goes on.", file=sys.stderr)
        raise
    finally:
        bar.close()


def _task(config):
    """Return what travels to a worker: plain fields, and the model's builder, which may be from a notebook cell.

    What is no `RunConfig` travels as it is, and computes its row itself.
    """
    if not isinstance(config, RunConfig):
        return config, None
    return dataclasses.asdict(config), models.get_builder(config.model)


def _outcome(future, config):
    try:
        return future.result()
    except Exception as error:  # the worker died three times, or the run could not even be sent
        return training.failed_row(config, error), pd.DataFrame()


def _train_one(fields, builder):
    """Train one run in a worker and return its row and history; an exception becomes a failed row."""
    use_one_thread()
    keras.config.disable_interactive_logging()  # a diverged run is a row, not a line in somebody's terminal
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts retracings over unrelated models
    if builder is not None:
        models.register(builder)
    config = fields if builder is None else RunConfig(**fields)
    try:
        run = config.compute() if builder is None else training.train(config, keep_traced=True)
    except Exception as error:
        return training.failed_row(config, error), pd.DataFrame()
    return run.row, run.history


def _progress_is_off():
    return os.environ.get("CNNKIT_PROGRESS") == "off"

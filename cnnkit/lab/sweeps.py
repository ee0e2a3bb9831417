"""Many runs: what the store lacks is trained by Dask, on this machine's cores or on a cluster, and each row is kept."""

import contextlib
import dataclasses
import logging
import os
import queue
import sys
import threading

import dask
import distributed
import keras
import numpy as np
import pandas as pd
import psutil
from tornado.ioloop import PeriodicCallback
from tqdm.auto import tqdm

from cnnkit import data, models
from cnnkit.lab import startup, store, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.provenance import use_one_thread

CONNECT_SECONDS = 10
LOOK_SECONDS = 5
COPIES = 3  # of the weights while a run trains: themselves, their gradients, and at least one more for the step
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


def run_all(configs, experiment, *, workers=None, scheduler=None, client=None, refresh=False, on_row=None):
    """Return the rows of `configs`, training those that the store does not have.

    Args:
        configs: `RunConfig`s; a repeated one is trained once.
        experiment: String, the store's folder.
        workers: Integer, processes of one thread each on this machine, no more than there are runs; None for one a
            core.
        scheduler: String, address of a Dask scheduler that trains instead, e.g. `"tcp://10.0.0.1:8786"`. Its workers
            need cnnkit and the same data; rows come back here.
        client: What `cluster` yields, to use one cluster for several calls.
        refresh: Boolean. True trains stale rows again, instead of refusing them.
        on_row: Function of a new row (a dict), called as each comes in, for who shows the progress of several calls;
            None for a progress bar, and a word on what it will cost.
    Returns:
        DataFrame: one row a distinct config, in the order asked.
    Raises:
        ValueError: If a config does not fit its data or its model, a row was made from other data or another
            architecture, or `workers` is less than 1.
        OSError: If the results folder cannot be written, the disk is full or the scheduler does not answer.
    """
    _check_workers(workers)
    configs = list({config.run_id: config for config in configs}.values())
    stored = store.read_runs(experiment)
    missing = _missing(configs, stored, experiment, refresh)
    if missing:
        store.check_writable(experiment)
        if on_row is None and not progress_is_off():
            _tell_cost(list(missing), stored, experiment)
        with contextlib.ExitStack() as stack:
            client = client or stack.enter_context(cluster(workers, scheduler))
            stack.callback(store.rebuild, experiment)
            _run_missing(missing, experiment, client, len(configs), refresh, on_row)
    store.rebuild(experiment)
    runs = store.read_runs(experiment)
    return runs.set_index("run_id", drop=False).loc[[c.run_id for c in configs]].reset_index(drop=True)


@contextlib.contextmanager
def cluster(workers=None, scheduler=None):
    """Yield a function `(runs) -> distributed.Client`, started when it is first called, with a worker a run at most.

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

        def client(runs):
            count = min(workers or count_cores(), runs)
            if not started:
                started.append(_start(stack, count, scheduler))
            elif scheduler is None and count > len(started[0].cluster.workers):
                started[0].cluster.scale(count)
            return started[0]

        yield client


def _check_workers(workers):
    if workers is not None and workers < 1:
        raise ValueError(f"Expected workers >= 1, or None for one a core. Received: workers={workers}.")


def _start(stack, workers, scheduler):
    stack.enter_context(dask.config.set(DASK_SETTINGS))
    if scheduler is not None:
        return stack.enter_context(_connect(scheduler))
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
    look = PeriodicCallback(lambda: local.scale(len(local.worker_spec)), 1000 * LOOK_SECONDS)
    local.loop.add_callback(look.start)
    stack.callback(local.loop.add_callback, look.stop)
    return stack.enter_context(distributed.Client(local))


def _connect(scheduler):
    """Return a client of a running scheduler that has workers, or say within seconds what is wrong."""
    found, way_on = (
        queue.SimpleQueue(),
        "Start one with `dask scheduler` and workers with `dask worker ADDRESS`, or leave",
    )
    way_on += " --scheduler out to train on this machine."

    def connect():
        try:
            found.put(distributed.Client(scheduler, timeout=CONNECT_SECONDS))
        except Exception as error:  # it has as many ways to fail as there are programs that listen to a port
            found.put(error)

    # A port that takes the connection and says nothing would be waited for, whatever the time-out: hence a thread.
    threading.Thread(target=connect, daemon=True).start()
    try:
        client = found.get(timeout=2 * CONNECT_SECONDS)
    except queue.Empty:
        client = TimeoutError("it takes the connection and says nothing")
    if isinstance(client, Exception):
        raise OSError(f"Expected a Dask scheduler at {scheduler}. Received: {client}. {way_on}") from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        raise OSError(f"Expected workers at the scheduler {scheduler}. Received: none. {way_on}") from None
    return client


def count_cores():
    """Return how many cores this process may use: the default number of workers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _missing(configs, stored, experiment, refresh):
    """Return the configs without a usable row with the fingerprints their rows will carry, runs of one trace together.

    Rows that other data or another architecture made are refused, or made again.
    """
    done = stored[stored["status"].isin(store.FINAL)].set_index("run_id")
    missing, stale = {}, {}
    for config in sorted(configs, key=lambda c: (c.dataset, c.train_size or 0, c.seed)):  # each split is read once
        finished = config.run_id in done.index
        if finished and not data.is_available(config.dataset):  # nothing to compare with: the row is what there is
            continue
        expected = training.fingerprint(config)  # raises now if data and model do not fit
        if not finished:
            missing[config] = expected
        elif wrong := [name for name, value in expected.items() if done.at[config.run_id, name] != value]:
            stale[config] = expected
            was, now = str(done.at[config.run_id, wrong[0]])[:12], expected[wrong[0]][:12]
            words = f"run {config.run_id} ({config.model} on {config.dataset}) has {wrong[0]} {was}, here it is {now}"
    if stale and not refresh:
        raise ValueError(
            f"Expected rows of {experiment} made from the data and models that are here. Received: stale rows, "
            f"{len(stale)} of {len(configs)}; {words}. Train them again with --refresh (refresh=True), or restore the "
            "data or the code they were made with."
        )
    return dict(sorted((missing | stale).items(), key=lambda pair: (training.trace_key(pair[0]), pair[0].model)))


def _tell_cost(missing, stored, experiment):
    """Say what the runs will take, from the seconds of rows like them."""
    if "train_seconds" not in stored:
        return
    like = stored.assign(seconds=stored["train_seconds"] / stored["epochs"])
    known = like.groupby(["dataset", "model"])["seconds"].mean()
    costs = [known.get((config.dataset, config.model), np.nan) * config.epochs for config in missing]
    if np.isfinite(costs).any():
        minutes = np.nanmean(costs) * len(costs) / 60
        print(f"{experiment}: {len(missing)} runs to train, about {minutes:.0f} core-minutes.", file=sys.stderr)


def _run_missing(missing, experiment, client, total, refresh, on_row):
    quiet = on_row is not None or progress_is_off()
    bar = tqdm(total=total, initial=total - len(missing), desc=experiment, unit="run", disable=quiet)
    kept, failed, best, waiting = total - len(missing), 0, None, {}

    def keep(row, history):
        nonlocal kept, failed, best
        store.stage(row, history, experiment, replace=refresh)
        kept, failed = kept + 1, failed + (row["status"] == "failed")
        best = max((s for s in (best, row.get("best_val_accuracy")) if s is not None), default=None)
        bar.set_postfix(left=len(waiting), failed=failed, best=f"{best:.2%}" if best is not None else "-")
        bar.update()
        if on_row is not None:
            on_row(row)

    try:
        for config, expected in missing.items():
            if error := _too_large(config):
                keep(training.failed_row(config, error), pd.DataFrame())
                continue
            task = dataclasses.asdict(config), models.get_builder(config.model), expected["model_sha256"]
            waiting[client(len(missing)).submit(_train_one, *task, key=f"{experiment}-{config.run_id}")] = config
        for future in distributed.as_completed(list(waiting)) if waiting else ():
            keep(*_outcome(future, waiting.pop(future)))
    except KeyboardInterrupt:
        bar.close()
        print(f"Stopped. {kept} of {total} runs of {experiment} are kept; the same command goes on.", file=sys.stderr)
        raise
    finally:
        bar.close()


def _too_large(config):
    """Return a MemoryError if a run's weights, gradients and the optimizer's copies need more than the machine has."""
    needed, there = COPIES * 4 * training.count_weights(config), psutil.virtual_memory().total
    if needed < there:
        return None
    return MemoryError(f"{config.model} needs about {needed / 2**30:.0f} GiB, the machine has {there / 2**30:.0f}")


def _outcome(future, config):
    try:
        return future.result()
    except distributed.KilledWorker:
        error = RuntimeError(
            f"its worker was killed {DASK_SETTINGS['distributed.scheduler.allowed-failures'] + 1} times"
        )
        hint = f"perhaps memory ran out ({psutil.virtual_memory().total / 2**30:.0f} GiB): try --workers 1"
        return training.failed_row(config, RuntimeError(f"{error}, {hint}")), pd.DataFrame()
    except Exception as error:  # the run could not even be sent
        return training.failed_row(config, error), pd.DataFrame()


def _train_one(fields, builder, model_sha256):
    """Train one run in a worker and return its row and history; an exception becomes a failed row."""
    use_one_thread()
    keras.config.disable_interactive_logging()  # a diverged run is a row, not a line in somebody's terminal
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts retracings over unrelated models
    models.register(builder)
    config = RunConfig(**fields)
    try:
        run = training.train(config, keep_traced=True, model_sha256=model_sha256)
    except Exception as error:
        return training.failed_row(config, error), pd.DataFrame()
    return run.row, run.history


def progress_is_off():
    """Whether `CNNKIT_PROGRESS=off` asks for no progress bars."""
    return os.environ.get("CNNKIT_PROGRESS") == "off"

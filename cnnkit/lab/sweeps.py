"""Many runs: what the store lacks is trained by Dask, on this machine's cores or on a cluster, and each row is kept."""

import concurrent.futures
import contextlib
import dataclasses
import logging
import os
import sys
import threading

import dask
import distributed
import keras
import numpy as np
import pandas as pd
from dask.system import CPU_COUNT
from tornado.ioloop import PeriodicCallback
from tqdm.auto import tqdm

from cnnkit import data, models
from cnnkit.lab import startup, store, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.provenance import use_one_thread
from cnnkit.models import registry

CONNECT_SECONDS = 10
LOOK_SECONDS = 5
DASK_SETTINGS = {
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.scheduler.worker-saturation": 1.0,  # a worker holds one run, so its death is blamed on that run alone
    "distributed.scheduler.allowed-failures": 2,  # the third worker that a run kills makes it a failed row
    "distributed.deploy.lost-worker-timeout": "60s",  # a killed worker first has to import TensorFlow again
    # TensorFlow keeps 3 MB a traced step (https://github.com/tensorflow/tensorflow/issues/62854): a full worker is
    # replaced, for a paused one would stay so (https://github.com/dask/distributed/issues/5999).
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,  # it looks into the training thread a hundred times a second
    "distributed.admin.tick.interval": "1s",  # every process asks fifty times a second whether it is late:
    "distributed.admin.system-monitor.interval": "5s",  # both together take 3% of two cores
    "distributed.logging.distributed": "critical",  # a killed worker is a row or a retry, not a page of log
}


def run_all(configs, experiment, *, workers=None, scheduler=None, client=None, refresh=False, on_row=None):
    """Return the rows of `configs`, training those that the store lacks: a DataFrame, one row a distinct config.

    A ValueError if a config does not fit its data or model, or a row was made from other data or another model; an
    OSError if the results folder cannot be written, the disk is full or the scheduler does not answer.

    Args:
        configs, experiment: `RunConfig`s, in the order of whose rows, and the name of the store's folder.
        workers, scheduler, client: As for `cluster`; or what it yields, to use one cluster for several calls.
        refresh: Boolean. True trains stale rows again, instead of refusing them.
        on_row: Function of a new row (a dict), called as each comes in; None for a progress bar and a word on the cost.
    """
    startup.import_keras()  # a notebook may have set other conventions
    configs = list({config.run_id: config for config in configs}.values())
    stored = store.read_runs(experiment)
    if missing := _missing(configs, stored, experiment, refresh):
        store.check_writable(experiment)
        if on_row is None and not progress_is_off():
            _tell_cost(missing, stored, experiment)
        with contextlib.nullcontext(client) if client else cluster(workers, scheduler) as client:
            _run_missing(missing, experiment, client(len(missing)), len(configs), refresh, on_row)
    store.rebuild(experiment)
    runs = store.read_runs(experiment)
    if lost := {config.run_id for config in configs} - set(runs["run_id"]):
        received = f"{len(lost)} of {len(configs)} are gone: the results folder was removed meanwhile"
        raise OSError(f"Expected the rows just written of {experiment}. Received: {received}. Run the same again.")
    return runs.set_index("run_id", drop=False).loc[[c.run_id for c in configs]].reset_index(drop=True)


@contextlib.contextmanager
def cluster(workers=None, scheduler=None):
    """Yield a function `(runs) -> distributed.Client`, started when it is first called, with a worker a run at most.

    `workers` are processes of one thread on this machine, None for one a core; `scheduler` is the address of a Dask
    scheduler that trains instead, e.g. `"tcp://10.0.0.1:8786"`: its workers need cnnkit and the same data.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"Expected workers >= 1, or None for one a core. Received: workers={workers}.")
    with startup.interrupted_once(), contextlib.ExitStack() as stack:
        started = []

        def client(runs):
            count = min(workers or CPU_COUNT, runs)
            if not started:
                started.append(_start(stack, count, scheduler))
            elif scheduler is None and count > len(started[0].cluster.workers):
                started[0].cluster.scale(count)
            return started[0]

        yield client


def _start(stack, workers, scheduler):
    stack.enter_context(dask.config.set(DASK_SETTINGS))
    if scheduler is not None:
        return stack.enter_context(_connect(scheduler))
    startup.prepare_workers()
    with startup.interrupted_later():  # a cluster that is half there cannot be closed without pages of tracebacks
        local = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=distributed.system.MEMORY_LIMIT // workers,  # a lone run may have all there is
            dashboard_address="127.0.0.1:0",  # no dashboard without bokeh; None would take port 8787 or warn
            preload=["cnnkit.lab.startup"],
            env=dict(os.environ),  # as it is now: the process they are forked from may be older
            silence_logs=logging.CRITICAL,
        )
        stack.enter_context(local)
    # Dask gives up a worker that died while it started (https://github.com/dask/distributed/issues/6426); asked for so
    # many again, it starts another.
    look = PeriodicCallback(lambda: local.scale(len(local.worker_spec)), 1000 * LOOK_SECONDS)
    local.loop.add_callback(look.start)
    stack.callback(local.loop.add_callback, look.stop)
    return stack.enter_context(distributed.Client(local))


def _connect(scheduler):
    """Return a client of a running scheduler that has workers, or say within seconds what is wrong."""
    way_on = "Start one with `dask scheduler` and workers with `dask worker ADDRESS`, or leave --scheduler out."
    found = []

    def connect():
        try:
            found.append(distributed.Client(scheduler, timeout=CONNECT_SECONDS))
        except Exception as error:  # there are as many as there are programs that listen to a port
            found.append(error)

    # A port that takes the connection and says nothing would be waited for, whatever the time-out
    # (https://github.com/dask/distributed/issues/8071): hence a thread.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(2 * CONNECT_SECONDS)
    client = found[0] if found else "something that takes the connection and says nothing"
    if not isinstance(client, distributed.Client):
        raise OSError(f"Expected a Dask scheduler at {scheduler}. Received: {client}. {way_on}")
    try:
        client.wait_for_workers(1, timeout=3 * CONNECT_SECONDS)  # they may be importing TensorFlow
    except TimeoutError:
        client.close()
        raise OSError(f"Expected workers at the scheduler {scheduler}. Received: none. {way_on}") from None
    return client


def _missing(configs, stored, experiment, refresh):
    """Return a dict from each config without a usable row to fingerprint and `bytes`, runs of one trace together."""
    done = stored[stored["status"].isin(store.FINAL)].set_index("run_id")
    missing, stale = {}, []
    for config in sorted(configs, key=lambda c: (c.dataset, c.train_size or 0, c.seed)):  # each split is read once
        run_id = config.run_id
        if run_id in done.index and not data.is_available(config.dataset):  # the row is what there is
            continue
        known = training.fingerprint(config)  # raises now if data and model do not fit
        if run_id in done.index:
            wrong = [name for name, value in known.items() if done.at[run_id, name] != value]
            if not wrong:
                continue
            was, now = done.at[run_id, wrong[0]][:12], known[wrong[0]][:12]
            stale.append(f"run {run_id} ({config.model} on {config.dataset}) has {wrong[0]} {was}, here it is {now}")
        missing[config] = known | {"bytes": training.least_memory(config)}
    if stale and not refresh:
        expected = f"Expected rows of {experiment} made from the data and models that are here"
        received = f"stale rows, {len(stale)} of {len(configs)}; {stale[-1]}"
        way_on = "Train them again with --refresh (refresh=True), or restore the data or the code they were made with."
        raise ValueError(f"{expected}. Received: {received}. {way_on}")
    return dict(sorted(missing.items(), key=lambda pair: (training.trace_key(pair[0]), pair[0].model)))


def _tell_cost(missing, stored, experiment):
    """Say what the runs will take, from the seconds of rows like them."""
    like = stored.reindex(columns=["dataset", "model", "train_seconds", "epochs_run"])
    known = like["train_seconds"].div(like["epochs_run"]).groupby([like["dataset"], like["model"]]).mean()
    costs = [known.get((config.dataset, config.model), np.nan) * config.epochs for config in missing]
    if np.isfinite(costs).any():
        seconds = np.nanmean(costs) * len(costs)
        cost = f"about {seconds / 60:.0f} minutes" if seconds > 90 else f"about {seconds:.0f} seconds"
        print(f"{experiment}: {len(missing)} runs to train, {cost} of one core.", file=sys.stderr)


def _run_missing(missing, experiment, client, total, refresh, on_row):
    limits = [worker["memory_limit"] or np.inf for worker in client.scheduler_info()["workers"].values()]
    there, statuses, waiting = max(limits, default=np.inf), [], {}
    stored, quiet = total - len(missing), on_row is not None or progress_is_off()
    bar = tqdm(total=total, initial=stored, desc=experiment, unit="run", disable=quiet)

    def tell_memory(config):
        needed = f"it needs at least {missing[config]['bytes'] / 2**30:.1f} GiB for pictures, weights and optimizer"
        return f"{needed}, a worker has {there / 2**30:.1f}; on this machine, --workers 1 gives a run all there is"

    def keep(row, history):
        store.stage(row, history, experiment, replace=refresh)
        statuses.append(row["status"])
        bar.set_postfix(failed=statuses.count("failed"))
        bar.update()
        if on_row is not None:
            on_row(row)

    try:
        with bar:
            for config, known in missing.items():
                if known["bytes"] > there:
                    keep(training.failed_row(config, MemoryError(tell_memory(config))), pd.DataFrame())
                    continue
                task = dataclasses.asdict(config), *_code(config.model), known["model_sha256"], experiment
                waiting[client.submit(_train_one, *task, key=f"{experiment}-{config.run_id}")] = config
            for future in distributed.as_completed(waiting):
                config = waiting.pop(future)
                keep(*_outcome(future, config, tell_memory(config)))
    except KeyboardInterrupt:
        kept = f"{stored + len(statuses)} of {total} runs of {experiment} are kept"
        print(f"Stopped. {kept}; the same command goes on.", file=sys.stderr)
        raise
    finally:
        stale = store.rebuild(experiment)
    if stale:
        received = f"{len(stale)} failed ({stale[0]}, ...); their old rows stay, all others are kept"
        raise ValueError(f"Expected all stale rows of {experiment} to be made again. Received: {received}.")


def _outcome(future, config, memory):
    """Return the row and history of a run that has ended in whatever way; `memory` says what it needs of that."""
    try:
        return future.result()
    except concurrent.futures.CancelledError as error:
        raise OSError(f"Expected the Dask scheduler to last. Received: {error}. The same command goes on.") from None
    except distributed.KilledWorker:
        error = RuntimeError(f"its worker died three times, perhaps for want of memory: {memory}")
    except Exception as other:  # the run could not even be sent
        error = other
    return training.failed_row(config, error), pd.DataFrame()


def _code(model):
    """Return what a worker needs to build a model: its builder, and what a notebook or script registered with Keras."""
    registered = keras.saving.get_custom_objects().items()
    own = {name: thing for name, thing in registered if getattr(thing, "__module__", "") in registry.MAIN}
    return models.get_builder(model), own


def _train_one(fields, builder, registered, model_sha256, experiment):
    """Train one run in a worker and return its row and history; an exception becomes a failed row."""
    startup.import_keras()
    use_one_thread()
    keras.config.disable_interactive_logging()  # a diverged run is a row, not a line in somebody's terminal
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts retracings over unrelated models
    models.register(builder)
    for name, thing in registered.items():
        package, _, short = name.rpartition(">")
        if package:
            keras.saving.register_keras_serializable(package, short)(thing)
    keras.saving.get_custom_objects().update(registered)
    config = RunConfig(**fields)
    try:
        checkpoint = store.checkpoint_path(experiment, config.run_id)
        run = training.train(config, keep_traced=True, model_sha256=model_sha256, checkpoint=checkpoint)
    except Exception as error:
        return training.failed_row(config, error), pd.DataFrame()
    return run.row, run.history


def progress_is_off():
    """Whether `CNNKIT_PROGRESS=off` asks for no progress bars."""
    return os.environ.get("CNNKIT_PROGRESS") == "off"

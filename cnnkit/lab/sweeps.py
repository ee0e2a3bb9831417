"""Many runs: what the store lacks is trained by Dask, on this machine's cores or on a cluster, and each row is kept."""

import concurrent.futures
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
from tornado.ioloop import PeriodicCallback
from tqdm.auto import tqdm

from cnnkit import data, models
from cnnkit.lab import startup, store, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.provenance import use_one_thread
from cnnkit.models import registry

CONNECT_SECONDS = 10
LOOK_SECONDS = 5
COPIES = 3  # of the weights while a run trains: themselves, their gradients, and at least one more for the optimizer
DASK_SETTINGS = {
    "distributed.worker.multiprocessing-method": startup.START_METHOD,
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
    startup.import_keras()  # a notebook may have set other conventions
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
    if lost := {config.run_id for config in configs} - set(runs["run_id"]):
        raise OSError(
            f"Expected the rows of {experiment} that were just written. Received: {len(lost)} of {len(configs)} are "
            "gone: the results folder was removed meanwhile. Run the same command again."
        )
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
        stack.enter_context(startup.interrupted_once())
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
        "memory_limit": distributed.system.MEMORY_LIMIT // workers,  # a lone run may have all there is
        "dashboard_address": "127.0.0.1:0",  # no dashboard without bokeh; None would take port 8787 or warn
        "preload": ["cnnkit.lab.startup"],
        "env": dict(os.environ),  # as it is now: the process they are forked from may be older
    }
    with startup.interrupted_later():  # a cluster that is half there cannot be closed without pages of tracebacks
        local = stack.enter_context(distributed.LocalCluster(silence_logs=logging.CRITICAL, **options))
    # Dask gives up a worker that died while it started (https://github.com/dask/distributed/issues/6426); asked for so
    # many again, it starts another.
    look = PeriodicCallback(lambda: local.scale(len(local.worker_spec)), 1000 * LOOK_SECONDS)
    local.loop.add_callback(look.start)
    stack.callback(local.loop.add_callback, look.stop)
    return stack.enter_context(distributed.Client(local))


def _connect(scheduler):
    """Return a client of a running scheduler that has workers, or say within seconds what is wrong."""
    way_on = "Start one with `dask scheduler` and workers with `dask worker ADDRESS`, or leave --scheduler out."
    found = queue.SimpleQueue()

    def connect():
        try:
            found.put(distributed.Client(scheduler, timeout=CONNECT_SECONDS))
        except (OSError, ValueError) as error:
            found.put(error)
        except Exception:  # there are as many as there are programs that listen to a port
            found.put(OSError("something else that answers"))

    # A port that takes the connection and says nothing would be waited for, whatever the time-out
    # (https://github.com/dask/distributed/issues/8071): hence a thread.
    threading.Thread(target=connect, daemon=True).start()
    try:
        client = found.get(timeout=2 * CONNECT_SECONDS)
    except queue.Empty:
        client = OSError("something that takes the connection and says nothing")
    if isinstance(client, Exception):
        raise OSError(f"Expected a Dask scheduler at {scheduler}. Received: {client}. {way_on}")
    try:
        client.wait_for_workers(1, timeout=3 * CONNECT_SECONDS)  # they may be importing TensorFlow
    except TimeoutError:
        client.close()
        raise OSError(f"Expected workers at the scheduler {scheduler}. Received: none. {way_on}") from None
    return client


def count_cores():
    """Return how many cores this process may use: the default number of workers."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _missing(configs, stored, experiment, refresh):
    """Return a dict of the configs without a usable row, runs of one trace together, to what is known of them.

    Known are the fingerprint that the row will carry, and `bytes`, the least memory the run takes. Rows that other data
    or another architecture made are refused, or made again.
    """
    done = stored[stored["status"].isin(store.FINAL)].set_index("run_id")
    missing, stale = {}, {}
    for config in sorted(configs, key=lambda c: (c.dataset, c.train_size or 0, c.seed)):  # each split is read once
        finished = config.run_id in done.index
        if finished and not data.is_available(config.dataset):  # nothing to compare with: the row is what there is
            continue
        expected = training.fingerprint(config)  # raises now if data and model do not fit
        known = expected | {"bytes": _least_memory(config)}
        if not finished:
            missing[config] = known
        elif wrong := [name for name, value in expected.items() if done.at[config.run_id, name] != value]:
            stale[config] = known
            was, now = str(done.at[config.run_id, wrong[0]])[:12], expected[wrong[0]][:12]
            words = f"run {config.run_id} ({config.model} on {config.dataset}) has {wrong[0]} {was}, here it is {now}"
    if stale and not refresh:
        raise ValueError(
            f"Expected rows of {experiment} made from the data and models that are here. Received: stale rows, "
            f"{len(stale)} of {len(configs)}; {words}. Train them again with --refresh (refresh=True), or restore the "
            "data or the code they were made with."
        )
    return dict(sorted((missing | stale).items(), key=lambda pair: (training.trace_key(pair[0]), pair[0].model)))


def _least_memory(config):
    """Return the bytes of a run's pictures, weights, gradients and optimizer: it takes more, but no less."""
    dataset = training.check(config)
    pictures = sum(x.size for x in (dataset.x_train, dataset.x_val, dataset.x_test))
    return 4 * (pictures + COPIES * training.count_weights(config))


def _tell_cost(missing, stored, experiment):
    """Say what the runs will take, from the seconds of rows like them."""
    if "train_seconds" not in stored:
        return
    like = stored.assign(seconds=stored["train_seconds"] / stored["epochs_run"])
    known = like.groupby(["dataset", "model"])["seconds"].mean()
    costs = [known.get((config.dataset, config.model), np.nan) * config.epochs for config in missing]
    if np.isfinite(costs).any():
        seconds = np.nanmean(costs) * len(costs)
        cost = f"about {seconds / 60:.0f} minutes" if seconds > 90 else f"about {seconds:.0f} seconds"
        print(f"{experiment}: {len(missing)} runs to train, {cost} of one core.", file=sys.stderr)


def _run_missing(missing, experiment, client, total, refresh, on_row):
    client = client(len(missing))
    limits = [worker["memory_limit"] or np.inf for worker in client.scheduler_info()["workers"].values()]
    there, kept, failed, best, waiting = max(limits, default=np.inf), total - len(missing), 0, None, {}
    quiet = on_row is not None or progress_is_off()
    bar = tqdm(total=total, initial=kept, desc=experiment, unit="run", disable=quiet)

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
        for config, known in missing.items():
            if known["bytes"] > there:
                error = MemoryError(_tell_memory(known["bytes"], there))
                keep(training.failed_row(config, error), pd.DataFrame())
                continue
            task = dataclasses.asdict(config), _code(config.model), known["model_sha256"]
            waiting[client.submit(_train_one, *task, key=f"{experiment}-{config.run_id}")] = config
        for future in distributed.as_completed(list(waiting)) if waiting else ():
            config = waiting.pop(future)
            keep(*_outcome(future, config, missing[config]["bytes"], there))
    except KeyboardInterrupt:
        bar.close()
        print(f"Stopped. {kept} of {total} runs of {experiment} are kept; the same command goes on.", file=sys.stderr)
        raise
    finally:
        bar.close()


def _outcome(future, config, needed, there):
    """Return the row and history of a run that has ended in whatever way."""
    try:
        return future.result()
    except concurrent.futures.CancelledError as error:
        raise OSError(
            f"Expected the Dask scheduler to last. Received: {error}. The same command goes on with what is kept."
        ) from None
    except distributed.KilledWorker:
        died = RuntimeError(f"its worker died three times, perhaps for want of memory: {_tell_memory(needed, there)}")
        return training.failed_row(config, died), pd.DataFrame()
    except Exception as error:  # the run could not even be sent
        return training.failed_row(config, error), pd.DataFrame()


def _tell_memory(needed, there):
    return (
        f"it needs at least {needed / 2**30:.1f} GiB for pictures, weights and optimizer, a worker has "
        f"{there / 2**30:.1f}; on this machine, --workers 1 gives a run all there is"
    )


def _code(model):
    """Return what a worker needs to build a model: its builder, and what a notebook or script registered with Keras."""
    registered = keras.saving.get_custom_objects().items()
    own = {name: thing for name, thing in registered if getattr(thing, "__module__", "") in registry.MAIN}
    return models.get_builder(model), own


def _train_one(fields, code, model_sha256):
    """Train one run in a worker and return its row and history; an exception becomes a failed row."""
    startup.import_keras()
    use_one_thread()
    keras.config.disable_interactive_logging()  # a diverged run is a row, not a line in somebody's terminal
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts retracings over unrelated models
    builder, registered = code
    models.register(builder)
    for name, thing in registered.items():
        package, _, name = name.rpartition(">")
        if package:
            keras.saving.register_keras_serializable(package, name)(thing)
        else:
            keras.saving.get_custom_objects()[name] = thing
    config = RunConfig(**fields)
    try:
        run = training.train(config, keep_traced=True, model_sha256=model_sha256)
    except Exception as error:
        return training.failed_row(config, error), pd.DataFrame()
    return run.row, run.history


def progress_is_off():
    """Whether `CNNKIT_PROGRESS=off` asks for no progress bars."""
    return os.environ.get("CNNKIT_PROGRESS") == "off"

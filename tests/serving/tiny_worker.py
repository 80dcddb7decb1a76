"""A worker process around the tiny scorer: stopped by a signal, or killed by a test."""

import signal
import sys

import tiny_scorer

from serving import workflow
from serving.log import configure
from serving.settings import load_config
from serving.store import Store

if __name__ == "__main__":
    configure()
    config = load_config(sweep_s=1)
    store = Store.open(config)
    workflow.prepare(config)
    worker = workflow.Worker(config, store, tiny_scorer.score)
    worker.start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})
    worker.stop(wait_s=5)
    sys.exit(0)

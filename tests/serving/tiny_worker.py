"""A worker process around the tiny scorer: stopped by a signal, or killed by a test."""

import tiny_scorer

from serving.log import configure
from serving.runtime import work
from serving.settings import load_config

if __name__ == "__main__":
    configure()
    work(load_config(sweep_s=1), tiny_scorer.models)

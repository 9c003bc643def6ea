"""What pytest makes of the test files, made once: without it, each worker of `-n` makes it anew.

pytest rewrites each file so that a failed `assert` shows its values. It keeps the result only if
Python may write bytecode, and workers that start together find nothing that is kept. It takes
half of the time of a collection.
"""

import multiprocessing
import os
from pathlib import Path

import pytest
from _pytest.assertion import rewrite

FOLDER = Path(__file__).parents[1]


def rewrite_test_files(config: pytest.Config) -> None:
    """Write the bytecode that pytest reads instead of the files; leave out what is there."""
    paths = sorted(FOLDER.rglob("*.py"))
    count = os.cpu_count() or 1
    fork = multiprocessing.get_context("fork")  # the children have the configuration
    shares = [
        fork.Process(target=_rewrite, args=(config, paths[first::count])) for first in range(count)
    ]
    for share in shares:
        share.start()
    for share in shares:
        share.join()


def _rewrite(config: pytest.Config, paths: list[Path]) -> None:
    state = config.stash[rewrite.assertstate_key]
    for path in paths:
        folder = rewrite.get_cache_dir(path)
        kept = folder / f"{path.stem}{rewrite.PYC_TAIL}"
        if rewrite._read_pyc(path, kept) is None and rewrite.try_makedirs(folder):
            source_hash, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(state, code, source_hash, kept)

"""Measure what an engine of preparation adds to a job: python experiments/bench_engine.py ray|local [ADDRESS].

Prints jobs a second and seconds in all for jobs that do nothing, and for jobs that wait half a second, with 1 and 2
workers. Waiting jobs show what the engine adds, also where other processes use the cores.
"""

import sys
import time

from vimix_adapters.prepare.engines import RayEngine
from vimix_adapters.prepare.worker_pool import run_jobs


def main() -> None:
    """Print a line for each measurement."""
    engine = RayEngine(*sys.argv[2:]) if sys.argv[1] == "ray" else run_jobs
    if sys.argv[1] == "ray":
        import ray

        ray.init(*sys.argv[2:], log_to_driver=False, logging_level="error")
    list(engine(time.sleep, [0.0] * 4, 2, 60.0))  # workers have started
    for workers in (1, 2):
        for seconds, count in ((0.0, 40), (0.5, 20)):
            start = time.perf_counter()
            list(engine(time.sleep, [seconds] * count, workers, 60.0))
            took = time.perf_counter() - start
            print(
                f"{workers} workers, {count} jobs of {seconds} s: {took:.2f} s, {count / took:.1f} jobs/s", flush=True
            )


if __name__ == "__main__":
    main()

"""Measure what an engine of preparation adds to a job: python experiments/bench_engine.py ray|local [ADDRESS].

Prints jobs a second and seconds in all for 10,000 jobs that do nothing, and for 20 that wait half a second, with 1 and
2 workers. Waiting jobs show what the engine adds, also where other processes use the cores.
"""

import sys
import time

from vimix_adapters.prepare.engines import LocalEngine, RayEngine


def main() -> None:
    """Print a line for each measurement."""
    name, *address = sys.argv[1:]
    if name == "ray":
        import ray

        ray.init(*address, log_to_driver=False, logging_level="error")
    for workers in (1, 2):
        engine = RayEngine(workers) if name == "ray" else LocalEngine(workers)
        list(engine(time.sleep, [0.0] * 4, 60.0))  # workers have started
        for seconds, count in ((0.0, 10_000), (0.5, 20)):
            start = time.perf_counter()
            assert sum(1 for _ in engine(time.sleep, [seconds] * count, 60.0)) == count
            took = time.perf_counter() - start
            print(
                f"{workers} workers, {count} jobs of {seconds} s: {took:.2f} s, {count / took:.1f} jobs/s", flush=True
            )


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Recall against speed of the vector index and its peers, in one run on one core.

Needs Python 3.10 and a directory with `base_f16.npy` and `query_f32.npy` (384 dimensions). It makes a virtual
environment in the target directory, installs the peers into it, builds ours, and then measures: all
engines alternate, round after round, and for each query the least of its rounds counts. Every engine
answers one query at a time with one thread.

    benches/vectors/compare.py ../shared/data/sentences-384 --out docs/benchmarks
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PACKAGES = ["numpy", "matplotlib", "faiss-cpu", "rabitqlib", "hnswlib", "usearch", "scann", "turbovec"]
K = 10


def inside_venv():
    """Starts this program again with the peers installed, unless it already runs so."""
    venv = TARGET / "vectors-venv"
    python = venv / "bin" / "python"
    if Path(sys.prefix) == venv:
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        for package in PACKAGES:
            # A peer that this machine has no build of is left out, and the report says so.
            subprocess.run([python, "-m", "pip", "install", "-q", package])
    for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]:
        os.environ[name] = "1"
    os.execv(python, [str(python), *sys.argv])


class Ours:
    """The example `vectors`, which answers efforts over pipes."""

    def __init__(self, directory, rows, clusters):
        command = ["cargo", "build", "-q", "--release", "-p", "search", "--example", "vectors"]
        subprocess.run(command, cwd=ROOT, check=True)
        command = [TARGET / "release" / "examples" / "vectors", directory, f"rows={rows}", "serve=yes"]
        command += [f"clusters={clusters}"]
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = self.process.stdout.readline().strip()
        self.build_s = float(self.said.split("built in ")[1].split(" s")[0])
        self.points = [f"clusters {n}" for n in (8, 16, 32, 64, 128, 256, 512) if n <= clusters]

    def round(self, point, _queries, _truth):
        self.process.stdin.write(point + "\n")
        self.process.stdin.flush()
        values = [int(value) for value in self.process.stdout.readline().split()]
        return [ns / 1e9 for ns in values[0::2]], sum(values[1::2]) / (K * len(values[0::2]))


class Peer:
    """An engine with a Python binding: `search(query, point)` gives row numbers."""

    def __init__(self, build, points):
        started = time.process_time()
        self.search = build()
        self.build_s = time.process_time() - started
        self.points = points

    def round(self, point, queries, truth):
        times, hits = [], 0
        for query, right in zip(queries, truth):
            started = time.perf_counter()
            found = self.search(query, point)
            times.append(time.perf_counter() - started)
            hits += len(right.intersection(int(row) for row in found))
        return times, hits / (K * len(queries))


def rabitq(rows, bits):
    import faiss
    import numpy as np
    import rabitqlib

    clusters = max(16, len(rows) // 166)
    means = faiss.Kmeans(rows.shape[1], clusters, niter=15, seed=1)
    means.train(rows[::2])
    nearest = means.index.search(rows, 1)[1][:, 0].astype(np.uint32)
    index = rabitqlib.IvfIndex(rows.shape[1], len(rows), clusters, bits)
    index.build(rows, means.centroids, nearest)
    return lambda query, probes: index.search(query[None], K, probes)[0][0]


def symphony(rows):
    import rabitqlib

    index = rabitqlib.SymqgIndex(rows.shape[1], 32)
    index.build(rows, 200)
    return lambda query, ef: index.search(query[None], K, ef)[0][0]


def faiss_fast_scan(rows):
    import faiss

    faiss.omp_set_num_threads(1)
    clusters = max(16, len(rows) // 166)
    index = faiss.index_factory(rows.shape[1], f"IVF{clusters},PQ{rows.shape[1] // 2}x4fsr,RFlat")
    index.train(rows)
    index.add(rows)
    lists = faiss.extract_index_ivf(index)

    def search(query, point):
        lists.nprobe, index.k_factor = point, 4
        return index.search(query[None], K)[1][0]

    return search


def hnsw(rows):
    import hnswlib

    index = hnswlib.Index("ip", rows.shape[1])
    index.init_index(len(rows), ef_construction=200, M=16)
    index.set_num_threads(1)
    index.add_items(rows, num_threads=1)

    def search(query, ef):
        index.set_ef(ef)
        return index.knn_query(query, K, num_threads=1)[0][0]

    return search


def usearch(rows):
    import numpy as np
    from usearch.index import Index

    index = Index(ndim=rows.shape[1], metric="ip", dtype="bf16")
    index.add(np.arange(len(rows)), rows, threads=1)

    def search(query, ef):
        index.expansion_search = ef
        return index.search(query, K, threads=1).keys

    return search


def scann(rows):
    import scann as library

    leaves = max(16, len(rows) // 100)
    builder = library.scann_ops_pybind.builder(rows, K, "dot_product")
    builder = builder.tree(leaves, leaves // 10, training_sample_size=len(rows))
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()

    def search(query, leaves):
        return index.search(query, leaves_to_search=leaves, pre_reorder_num_neighbors=100)[0]

    return search


def turbovec(rows):
    import turbovec as library

    index = library.TurboQuantIndex(dim=rows.shape[1], bit_width=4)
    index.add(rows)

    def search(query, candidates):
        found = index.search(query[None], k=candidates)[1][0]
        return found[(rows[found] @ query).argsort()[::-1][:K]]

    return search


PEERS = {
    "rabitqlib IVF 5 bits": (lambda rows: rabitq(rows, 5), [8, 16, 32, 64, 128, 256]),
    "rabitqlib IVF 7 bits": (lambda rows: rabitq(rows, 7), [8, 16, 32, 64, 128, 256]),
    "FAISS IVF PQ fast-scan": (faiss_fast_scan, [8, 16, 32, 64, 128, 256]),
    "ScaNN": (scann, [10, 20, 40, 80, 160, 320]),
    "usearch bf16": (usearch, [16, 32, 64, 128, 256]),
    "hnswlib": (hnsw, [10, 20, 40, 80, 160, 320]),
    "turbovec flat 4 bits": (turbovec, [30]),
    "SymphonyQG (graph in memory)": (symphony, [20, 40, 80, 160, 320]),
}


def at(points, wanted):
    """Queries per second at a recall, on the line through the two measured points around it."""
    import math

    points = sorted(points)
    if points[0][0] >= wanted:
        return points[0][1]
    for (low, slow), (high, fast) in zip(points, points[1:]):
        if low < wanted <= high:
            part = (wanted - low) / (high - low)
            return math.exp(math.log(slow) * (1 - part) + math.log(fast) * part)
    return None


def plot(results, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "vectors"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, (_, points) in results.items():
        points = [point for point in sorted(points) if point[0] > 0.75]
        style = {"linewidth": 2.5, "color": "black"} if name == "docdb" else {"linewidth": 1.2}
        axes.plot(*zip(*points), marker="o", markersize=3, label=name, **style)
    axes.set_yscale("log")
    axes.set_xlabel("recall@10")
    axes.set_ylabel("queries per second, one core")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=85_000)
    parser.add_argument("--clusters", type=int, default=None, help="of ours")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--out", type=Path, default=None, help="where to put vectors.svg and the table")
    options = parser.parse_args()
    inside_venv()
    import numpy as np

    rows = np.load(options.directory / "base_f16.npy")[: options.rows].astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = np.load(options.directory / "query_f32.npy")
    order = np.argpartition(-(queries @ rows.T), K, axis=1)[:, :K]
    truth = [set(row.tolist()) for row in order]

    engines = {"docdb": Ours(options.directory, len(rows), options.clusters or len(rows) // 160)}
    print(engines["docdb"].said, flush=True)
    for name in options.peers:
        build, points = PEERS[name]
        try:
            engines[name] = Peer(lambda: build(rows), points)
            print(f"{name}: built in {engines[name].build_s:.1f} CPU s", flush=True)
        except Exception as error:  # A peer that does not work here is no reason to measure nothing.
            print(f"{name}: left out, {error!r}", flush=True)
    best, recall = {}, {}
    for _ in range(options.rounds):
        for name, engine in engines.items():
            for point in engine.points:
                times, recall[name, point] = engine.round(point, queries, truth)
                before = best.get((name, point), times)
                best[name, point] = np.minimum(before, times)
    results = {}
    for name, engine in engines.items():
        points = [(recall[name, p], len(queries) / best[name, p].sum()) for p in engine.points]
        results[name] = (engine.build_s, points)
    lines = ["| engine | .90 | .95 | .99 | build, CPU s |", "|---|---|---|---|---|"]
    for name, (build_s, points) in results.items():
        speeds = [at(points, wanted) for wanted in (0.90, 0.95, 0.99)]
        cells = ["–" if speed is None else f"{speed:,.0f}" for speed in speeds]
        lines.append(f"| {name} | {' | '.join(cells)} | {build_s:.1f} |")
    print("\n".join(lines))
    if options.out:
        plot(results, options.out / "vectors.svg")
        (options.out / "vectors-table.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

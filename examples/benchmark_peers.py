"""xpnn beside PyTorch, JAX and scikit-learn: how long the same work takes each, measured in turns, in one process.

    python examples/benchmark_peers.py [steps|arrays|predict|fit|memory|growth|all] [--quick] [--run N] [--out FOLDER]

steps    training steps on NumPy arrays, as the peers' time over xpnn's; above 1 xpnn is faster
arrays   the same on PyTorch's and JAX's arrays and on the GPUs, against the best peer on the same device
predict  predictions of 1, 256 and 10,000 rows
fit      whole training runs, as their time over that of the same number of bare steps on batches that are ready
memory   how far the peak memory of a training run lies above imports and data, and the whole of it; xpnn and PyTorch
growth   seconds per epoch as the rows double, per step as the batch doubles

Each part prints its table and writes FOLDER/PART-N.json: all figures, the machine, versions, threads and settings.
Needs PyTorch, JAX and scikit-learn: pip install ".[bench]".
"""

import argparse
import contextlib
import functools
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

import xpnn
from xpnn import arrays, backends, bench, text
from xpnn.bench import measure, report
from xpnn.compiler import gemm, llvm
from xpnn.training.step import first_state, make_step

WORKLOADS = [
    bench.Workload((2, 4, 2), batch=64),
    bench.Workload((64, 100, 10), batch=200),
    bench.Workload((784, 512, 512, 10), batch=256),
    bench.Workload((1024, 2048, 2048, 2048, 10), batch=512),
    bench.Workload((256, 256, 256, 10), batch=128),
]
PEERS = ("torch", "jax", "sklearn")
PREDICTED = (1, 256, 10_000)  # rows


# --- steps, arrays, predict: rows of xpnn bench, the best configuration of each peer


def steps(options):
    every, problems = bench.find(["numpy"], PEERS)
    contenders = [c for c in every if c.device.startswith("cpu")]
    return against_peers(WORKLOADS[: 2 if options.quick else None], contenders, problems, options)


def on_arrays(options):
    every, problems = bench.find(["all"], ("torch", "jax"))
    contenders = [c for c in every if c.library != "numpy"]
    return against_peers(WORKLOADS[: 2 if options.quick else None], contenders, problems, options)


def predict(options):
    every, problems = bench.find(["all"], PEERS, predict=True)
    workloads = [
        bench.Workload(workload.sizes, batch=rows, predict=True)
        for workload in WORKLOADS[1 : 2 if options.quick else 3]
        for rows in PREDICTED[: 2 if options.quick else None]
    ]
    return against_peers(workloads, every, problems, options)


def against_peers(workloads, contenders, problems, options):
    """A table with a line per workload and xpnn row: its time, and how many times that each peer's best takes."""
    for line in problems:
        print(line, file=sys.stderr)
    lines = [("network", "batch", "arrays", "device", "ms", "products alone", *PEERS)]
    results = []
    for workload in workloads:
        result = bench.run(workload, contenders, seconds=options.seconds, tell=options.tell)
        results.append(result)
        for line in report.problems(result.rows):
            print(f"{workload}: {line}", file=sys.stderr)
        for row in (r for r in result.timed if r.contender.program == "xpnn"):
            here = row.contender
            best = [best_of(result, peer, here.device) for peer in PEERS]
            lines.append(
                (
                    "-".join(map(str, workload.sizes)),
                    str(workload.batch),
                    here.variant,
                    here.device,
                    f"{1e3 * row.seconds:.3g}",
                    f"{row.share:.0%}",
                    *(
                        f"{b.seconds / row.seconds:.2f} ({b.contender.variant or b.contender.mode})" if b else "-"
                        for b in best
                    ),
                )
            )
        if result.interrupted:
            break
    return lines, [result.to_json() for result in results]


def best_of(result, peer, device):
    """The fastest row of a peer on the same kind of device; None if it has none."""
    kind = device.split(":")[0]
    rows = [r for r in result.timed if r.contender.program == peer and r.contender.device.split(":")[0] == kind]
    return min(rows, key=lambda row: row.seconds, default=None)


# --- fit: what the training loop costs beside its steps


def fit(options):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    tasks = [("digits", WORKLOADS[1], (X / 16).astype(np.float32), y, 10 if options.quick else 100)]
    if not options.quick:
        tasks.append(("synthetic", WORKLOADS[2], *rows_of(WORKLOADS[2], 60_000), 1))
    lines = [("data", "rows", "network", "batch", "epochs", "fit s", "bare steps s", "ratio")]
    found = []
    for name, workload, X, y, epochs in tasks:
        timings = measure.in_turns(
            {
                "fit": repeat(functools.partial(train, workload, X, y, epochs)),
                "bare": repeat(bare_steps(workload, X, y, epochs)),
            },
            options.seconds,
        ).timings
        whole, bare = timings["fit"].median, timings["bare"].median
        found.append(
            {"data": name, "rows": len(X), "epochs": epochs, **described(workload), "fit_s": whole, "bare_s": bare}
        )
        network = "-".join(map(str, workload.sizes))
        lines.append(
            (
                name,
                f"{len(X):,}",
                network,
                str(workload.batch),
                str(epochs),
                *map("{:.3f}".format, (whole, bare)),
                f"{whole / bare:.3f}",
            )
        )
    return lines, found


def train(workload, X, y, epochs):
    """A whole training run of xpnn."""
    return xpnn.fit(
        workload.network, X, y, optimizer=workload.rule, loss=workload.loss, epochs=epochs, batch_size=workload.batch
    )


def bare_steps(workload, X, y, epochs):
    """The steps of `train` and nothing else, on batches made before."""
    xp, backend = arrays.namespace(X=X), backends.of(X)
    cuts = range(0, len(X), workload.batch)
    ready = [(X[i : i + workload.batch].copy(), y[i : i + workload.batch].copy()) for i in cuts]

    def run():
        step = make_step(workload.network, workload.loss, workload.rule, xp=xp, backend=backend)
        state = first_state(workload.network, workload.rule, workload.network.init(0, like=X), xp=xp)
        with backend.on(X):
            for _ in range(epochs):
                for x_batch, y_batch in ready:
                    state, loss = step(state, x_batch, y_batch, None)
            backend.synchronize(loss)

    return run


def repeat(action):
    """As many calls as `measure` asks for."""

    def run(times):
        for _ in range(times):
            action()

    return run


# --- memory: each program in a process of its own


def memory(options):
    lines = [("network", "batch", "rows", *(f"{p}, {what} MB" for p in CHILDREN for what in ("run", "whole")))]
    found = []
    for index, rows in ((1, 20_000), (2, 20_000), (3, 5_000))[: 1 if options.quick else None]:
        workload = WORKLOADS[index]
        peaks = {
            program: [peak_of(program, index, rows) for _ in range(1 if options.quick else 3)] for program in CHILDREN
        }
        run, whole = ({p: statistics.median(peak[i] for peak in peaks[p]) for p in CHILDREN} for i in (0, 1))
        found.append({**described(workload), "rows": rows, "peak_bytes": run, "whole_bytes": whole})
        lines.append(
            (
                "-".join(map(str, workload.sizes)),
                str(workload.batch),
                f"{rows:,}",
                *(f"{each[program] / 1e6:.1f}" for program in CHILDREN for each in (run, whole)),
            )
        )
    return lines, found


def peak_of(program, index, rows):
    """Bytes that a training run of one epoch adds to what imports and data take, at its peak; and all of them."""
    command = [sys.executable, __file__, "--child", program, str(index), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{program} failed:\n{done.stderr}")
    return tuple(map(int, done.stdout.split()))


def child(program, index, rows):
    """Train in this process and print how far the peak of its memory lies above what it held before, and the peak."""
    workload = WORKLOADS[int(index)]
    X, y = rows_of(workload, int(rows))
    run = CHILDREN[program](workload, X, y)
    before = reset_peak()
    run()
    print(peak_memory() - before, peak_memory())


def xpnn_run(workload, X, y):
    llvm.available(), gemm.available()  # imports the rest
    return lambda: train(workload, X, y, epochs=1)


def torch_run(workload, X, y):
    """The usual loop, with the fused optimizer, over batches drawn in a new order."""
    import torch

    X, y = torch.from_numpy(X), torch.from_numpy(y)
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True)  # imports the rest

    def run():
        layers = []
        for n_in, n_out in zip(workload.sizes, workload.sizes[1:], strict=False):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        model, loss_of = torch.nn.Sequential(*layers[:-1]), torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        for rows in torch.randperm(len(X)).split(workload.batch):
            optimizer.zero_grad(set_to_none=True)
            loss_of(model(X[rows]), y[rows]).backward()
            optimizer.step()

    return run


CHILDREN = {"xpnn": xpnn_run, "torch": torch_run}


def reset_peak():
    """Let the peak start anew from what this process holds now, where the system can; else, from its peak so far."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory():
    """Bytes. Linux hands a new process its parent's peak in ru_maxrss, but not in VmHWM."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


# --- growth: twice the work, twice the time


def growth(options):
    workload = WORKLOADS[1] if options.quick else WORKLOADS[2]
    first = 2_000 if options.quick else 4_000
    X, y = rows_of(workload, 8 * first)
    counts = [first * factor for factor in (1, 2, 4, 8)]
    by_rows = measure.in_turns(
        {n: repeat(functools.partial(train, workload, X[:n], y[:n], epochs=1)) for n in counts}, options.seconds
    ).timings
    (contender,), _ = bench.find(["numpy"])
    runs = {batch: contender.prepare(workload.with_batch(batch)) for batch in (64, 128, 256, 512, 1024)}
    for run in runs.values():
        run(2)
    by_batch = measure.in_turns(runs, options.seconds).timings
    lines = [("what", "of", "ms", "µs per row")]
    for what, timings in (("an epoch", by_rows), ("a step", by_batch)):
        lines += [
            (what, f"{n:,} rows", f"{1e3 * t.median:.3g}", f"{1e6 * t.median / n:.3g}") for n, t in timings.items()
        ]
    found = {
        **described(workload),
        "epoch_s_by_rows": {n: t.median for n, t in by_rows.items()},
        "step_s_by_batch": {n: t.median for n, t in by_batch.items()},
    }
    return lines, [found]


# --- what the parts share


def rows_of(workload, n):
    """So many rows of data with integer labels."""
    return workload.with_batch(n).data()


def described(workload):
    return {
        "network": list(workload.sizes),
        "batch": workload.batch,
        "dtype": workload.dtype,
        "optimizer": workload.optimizer,
    }


def readme_table(folder):
    """README's table from the files of `steps`: the median of their runs, and the range if there are several."""
    runs = [json.loads(path.read_text(encoding="utf-8"))["results"] for path in sorted(folder.glob("steps-*.json"))]
    lines = [
        "| network, batch | xpnn, ms | PyTorch | JAX | scikit-learn | products alone |",
        "|---|---|---|---|---|---|",
    ]
    for results in zip(*runs, strict=True):
        ours = [result["rows"][0] for result in results]
        cells = [f"{statistics.median(row['ms_per_step'] for row in ours):.3g}"]
        for peer in PEERS:
            best = (min(r["ms_per_step"] for r in result["rows"] if r["program"] == peer) for result in results)
            cells.append(ranged([theirs / row["ms_per_step"] for theirs, row in zip(best, ours, strict=True)], ".2f"))
        cells.append(ranged([row["products_share"] for row in ours], ".0%"))
        name = "-".join(map(str, results[0]["network"]))
        lines.append(f"| {name}, {results[0]['batch']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ranged(figures, form):
    """The median of some figures, with the least and the largest."""
    low, high = format(min(figures), form), format(max(figures), form)
    return f"{statistics.median(figures):{form}} ({low} … {high})" if low != high else low


PARTS = {"steps": steps, "arrays": on_arrays, "predict": predict, "fit": fit, "memory": memory, "growth": growth}


def main():
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small networks and short times: to see that it runs")
    parser.add_argument("--seconds", type=float, help="per contender; by default 5, quick 0.3")
    parser.add_argument("--run", type=int, default=1, metavar="N", help="the number in the files' names")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    options = parser.parse_args()
    options.seconds = options.seconds or (0.3 if options.quick else 5.0)
    options.tell = lambda line: print(f"  {line}", file=sys.stderr) if sys.stderr.isatty() else None
    options.out.mkdir(parents=True, exist_ok=True)
    for name in PARTS if options.part == "all" else [options.part]:
        lines, found = PARTS[name](options)
        print(f"{name}\n\n{text.columns(lines, right=range(4, len(lines[0])))}\n", flush=True)
        document = report.document([], seconds=options.seconds) | {"results": found}
        (options.out / f"{name}-{options.run}.json").write_bytes(report.to_bytes(document))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

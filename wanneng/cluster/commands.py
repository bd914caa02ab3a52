"""`wanneng cluster`: reads flags, asks the cluster, prints. Judges nothing."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from wanneng.calls import Calls
from wanneng.errors import CommandError
from wanneng.settings import ServeSettings

if TYPE_CHECKING:
    from wanneng.cluster.kube import KubernetesCluster
    from wanneng.cluster.status import Status

app = typer.Typer(no_args_is_help=True, help="Look after a release on Kubernetes.")
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

RELEASE = typer.Argument(help="The release's name.")
NAMESPACE = typer.Option("--namespace", "-n", help="Its namespace; the kubeconfig's by default.")
CONTEXT = typer.Option(help="A context of the kubeconfig.")
_Release = Annotated[str, RELEASE]
_Namespace = Annotated[str | None, NAMESPACE]
_Context = Annotated[str | None, CONTEXT]


@app.command()
def status(
    release: _Release = "wanneng",
    namespace: _Namespace = None,
    context: _Context = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """How the release is, and what is wrong with it; exit code 1 when something is."""
    found = _status(_cluster(release, namespace, context))
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False, default=sorted))
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(1)


@app.command()
def verify(
    reference: Annotated[Path, typer.Argument(help="JSON lines of text, labels and scores by label.")],
    tolerance: Annotated[float, typer.Option(help="How far a score may be off.")] = 0.02,
    agreement: Annotated[float, typer.Option(help="Least share of texts with the same best label.")] = 1.0,
    record: Annotated[Path | None, typer.Option(help="Write a reference from today's answers there.")] = None,
    url: Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway.")] = ServeSettings().url,
    key: Annotated[str | None, typer.Option(envvar="WANNENG_KEY", help="A tenant's key.")] = None,
) -> None:
    """Ask a reference set again; exit code 1 when answers differ: a gate for a canary."""
    from wanneng.cluster.verify import compare, read_reference  # noqa: PLC0415
    from wanneng.cluster.verify import record as recorded  # noqa: PLC0415

    lines = read_reference(reference)
    calls = Calls(url, key)
    try:
        with Progress(console=err, transient=True) as progress:
            if record is not None:
                rows = [
                    json.dumps(row, ensure_ascii=False) for row in progress.track(list(recorded(calls, lines)))
                ]
                record.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
                err.print(f"wanneng: {record}: {len(rows)} texts", markup=False)
                return
            verdicts = list(progress.track(compare(calls, lines), total=len(lines)))
    finally:
        calls.close()
    same = sum(one.best == one.expected_best for one in verdicts)
    worst = max(verdicts, key=lambda one: one.difference)
    for one in verdicts:
        if one.best != one.expected_best or one.difference > tolerance:
            print(f"{one.expected_best} → {one.best}, off by {one.difference:.4f}: {one.text}")
    print(
        f"{same} of {len(verdicts)} texts keep their best label; a score is off by {worst.difference:.4f} at most"
    )
    if same < agreement * len(verdicts) or worst.difference > tolerance:
        raise typer.Exit(1)


@app.command()
def drain(
    target: Annotated[str, typer.Argument(help="A node, or a pod of the release.")],
    release: _Release = "wanneng",
    namespace: _Namespace = None,
    context: _Context = None,
    timeout_s: Annotated[float, typer.Option(help="Longest time for all of it.")] = 1800.0,
) -> None:
    """Move the release's pods off a node, or replace one pod, within its disruption budgets."""
    from wanneng.cluster.drain import drain as move  # noqa: PLC0415

    move(
        _cluster(release, namespace, context),
        target,
        timeout_s=timeout_s,
        now=time.monotonic,
        sleep=time.sleep,
        say=lambda line: err.print(f"wanneng: {line}", markup=False),
    )


@app.command()
def engines(release: _Release = "wanneng", namespace: _Namespace = None, context: _Context = None) -> None:
    """Which engines pools load, which answer, and the jobs that built them."""
    cluster = _cluster(release, namespace, context)
    found = _status(cluster)
    table = Table("pool", "loads", "answering", box=None, pad_edge=False)
    for pool in found.pools:
        table.add_row(pool.name, pool.engine, ", ".join(sorted(found.sight.engines.get(pool.name, ()))) or "none")
    out.print(table)
    for job in cluster.objects("jobs"):
        if "-engine-" in job["metadata"]["name"]:
            counts = job.get("status", {})
            state = "succeeded" if counts.get("succeeded") else "failed" if counts.get("failed") else "running"
            source = job["metadata"].get("annotations", {}).get("wanneng.io/source", "?")
            out.print(f"{job['metadata']['name']}  {state}  from {source}", markup=False)


@app.command()
def logs(
    release: _Release = "wanneng",
    namespace: _Namespace = None,
    context: _Context = None,
    request: Annotated[str | None, typer.Option(help="Only this request id's lines.")] = None,
    since_s: Annotated[int, typer.Option(help="How far back.")] = 600,
) -> None:
    """The logs of all pods in one, lines of one request together."""
    from wanneng.cluster.logs import merged  # noqa: PLC0415

    cluster = _cluster(release, namespace, context)
    texts = {
        pod["metadata"]["name"]: "".join(
            cluster.logs(pod["metadata"]["name"], container["name"], since_s)
            for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
        )
        for pod in cluster.objects("pods")
    }
    for line in merged(texts, request):
        print(f"{line.at[:23]} {line.pod} {line.text}")


def _cluster(release: str, namespace: str | None, context: str | None) -> KubernetesCluster:
    try:
        from wanneng.cluster.kube import KubernetesCluster  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CommandError(f"the package {error.name} is missing here: pip install 'wanneng[cluster]'") from None
    return KubernetesCluster(release, namespace, context)


def _status(cluster: KubernetesCluster) -> Status:
    from wanneng.cluster.gateways import sight  # noqa: PLC0415
    from wanneng.cluster.status import component, status_of  # noqa: PLC0415

    pods = cluster.objects("pods")
    gateways = [pod["metadata"]["name"] for pod in pods if component(pod) == "gateway"]
    seen = sight(cluster.metrics(name) for name in gateways)
    lists = (cluster.objects(kind) for kind in ("deployments", "jobs", "horizontalpodautoscalers"))
    deployments, jobs, scalers = lists
    return status_of(deployments, pods, jobs, scalers, seen)


def _print(found: Status) -> None:
    seen = found.sight
    out.print(f"wanneng {found.version}, {found.gateways[0]} of {found.gateways[1]} gateways ready", markup=False)
    table = Table("pool", "ready", "GPUs", "scaled", "engine", "answering", "nodes", box=None, pad_edge=False)
    for pool in found.pools:
        table.add_row(
            pool.name,
            f"{pool.ready} of {pool.wanted}",
            str(pool.gpus or "-"),
            f"{pool.bounds[0]} to {pool.bounds[1]}" if pool.bounds else "-",
            pool.engine.rpartition("/")[2],
            ", ".join(sorted(seen.engines.get(pool.name, ()))) or "none",
            ", ".join(pool.nodes) or "-",
        )
    out.print(table)
    out.print(
        f"{seen.pairs_in_flight} pairs in flight, {seen.pairs_at_triton} of them at Triton; "
        f"{seen.cached_pairs} pairs cached"
    )
    for problem in found.problems or ("all is well",):
        out.print(("✗ " if found.problems else "✓ ") + problem, markup=False)

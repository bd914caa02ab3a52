"""`wanneng cluster`: reads flags, asks the cluster, prints."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from wanneng.client import Client
from wanneng.console import Console
from wanneng.errors import CommandError
from wanneng.keys import KeyFile, tenant_key
from wanneng.options import finite
from wanneng.settings import ServeSettings

if TYPE_CHECKING:
    from wanneng.cluster.kube import KubernetesCluster
    from wanneng.cluster.status import Replicas, Status

app = typer.Typer(no_args_is_help=True, help="Inspect and maintain a release on Kubernetes.")
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

RELEASE = typer.Argument(help="The release's name.")
NAMESPACE = typer.Option(
    "--namespace", "-n", help="Its namespace; by default the kubeconfig's or, inside a pod, the pod's."
)
CONTEXT = typer.Option(help="A context of the kubeconfig, inside a pod too.")
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
    """Show components, pools and problems; exit code 1 if there is a problem."""
    current = _status(_cluster(release, namespace, context))
    if as_json:
        print(json.dumps(asdict(current), ensure_ascii=False, default=sorted))
    else:
        _print(current)
    if current.problems:
        raise typer.Exit(1)


@app.command()
def verify(
    reference: Annotated[Path, typer.Argument(help="JSON lines of text, labels and scores by label.")],
    tolerance: Annotated[
        float, typer.Option(min=0, callback=finite, help="Largest difference of a score.")
    ] = 0.02,
    agreement: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="Lowest share of texts with the same best label.")
    ] = 1.0,
    record: Annotated[Path | None, typer.Option(help="Record the answers as a reference in this file.")] = None,
    url: Annotated[str, typer.Option(envvar="WANNENG_URL", help="The gateway's address.")] = ServeSettings().url,
    key_file: KeyFile = None,
) -> None:
    """Classify a reference set again; exit code 1 if answers differ. A gate for a canary."""
    from wanneng.cluster.verify import compare, read_reference  # noqa: PLC0415
    from wanneng.cluster.verify import record as recorded  # noqa: PLC0415

    lines = read_reference(reference)
    with Client(url, tenant_key(key_file)) as client, Progress(console=err, transient=True) as progress:
        if record is not None:
            rows = list(progress.track(recorded(client, lines), total=len(lines)))
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            record.write_text(text, encoding="utf-8")
            err.print(f"wanneng: {record}: {len(rows)} texts", markup=False)
            return
        comparisons = list(progress.track(compare(client, lines), total=len(lines)))
    same = sum(comparison.best == comparison.expected_best for comparison in comparisons)
    max_difference = max(comparison.difference for comparison in comparisons)
    for comparison in comparisons:
        if comparison.best != comparison.expected_best or comparison.difference > tolerance:
            labels = f"{comparison.expected_best} → {comparison.best}"
            print(f"{labels}, off by {comparison.difference:.4f}: {comparison.text}")
    print(
        f"{same} of {len(comparisons)} texts keep their best label; "
        f"the largest difference of a score is {max_difference:.4f}"
    )
    if same < agreement * len(comparisons) or max_difference > tolerance:
        raise typer.Exit(1)


@app.command()
def drain(
    target: Annotated[str, typer.Argument(help="A node, or a pod of the release.")],
    release: _Release = "wanneng",
    namespace: _Namespace = None,
    context: _Context = None,
    timeout_s: Annotated[
        float, typer.Option(min=0, callback=finite, help="Longest time for all pods together.")
    ] = 1800.0,
) -> None:
    """Move the release's pods off a node, or replace one pod, within its disruption budgets."""
    from wanneng.cluster.drain import drain as drain_target  # noqa: PLC0415

    drain_target(
        _cluster(release, namespace, context),
        target,
        timeout_s=timeout_s,
        now=time.monotonic,
        sleep=time.sleep,
        say=lambda line: err.print(f"wanneng: {line}", markup=False),
    )


@app.command()
def engines(release: _Release = "wanneng", namespace: _Namespace = None, context: _Context = None) -> None:
    """Show which engines the pools load, which ones answer, and the jobs that built them."""
    cluster = _cluster(release, namespace, context)
    current = _status(cluster)
    table = Table("pool", "loads", "answering", box=None, pad_edge=False)
    for pool in current.pools:
        answering = ", ".join(sorted(current.metrics.engines.get(pool.name, ())))
        table.add_row(pool.name, pool.engine, answering or "none")
    out.print(table)
    for job in cluster.objects("jobs"):
        if "-engine-" in job["metadata"]["name"]:
            counts = job.get("status", {})
            state = "succeeded" if counts.get("succeeded") else "failed" if counts.get("failed") else "running"
            source = job["metadata"].get("annotations", {}).get("wanneng.io/source", "?")
            out.print(f"{job['metadata']['name']}  {state}  from {source}", markup=False)


@app.command()
def compare(
    release: _Release = "wanneng",
    namespace: _Namespace = None,
    context: _Context = None,
    agreement: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="Lowest share of texts with the same best label.")
    ] = 0.0,
    texts: Annotated[int, typer.Option(min=0, help="Fewest texts that must have been compared.")] = 0,
) -> None:
    """Compare the models of pools with a share; exit code 1 below --agreement or --texts. A gate for promotion."""
    from wanneng.cluster.compare import comparison_of  # noqa: PLC0415

    found = comparison_of(_gateway_metrics(_cluster(release, namespace, context)))
    table = Table("pool", "share", "engine", "calls", "mean call", box=None, pad_edge=False)
    for pool in found.pools:
        table.add_row(
            pool.pool,
            "the rest" if pool.share is None else f"{pool.share:.0%}",
            ", ".join(sorted(pool.engines)),
            str(pool.calls),
            "-" if pool.mean_call_s is None else f"{pool.mean_call_s * 1000:.1f} ms",
        )
    out.print(table)
    if found.agreement is None:
        out.print("no text was compared yet")
    else:
        out.print(
            f"{found.same} of {found.compared} compared texts have the same best label: {found.agreement:.1%}"
        )
    if found.compared < texts or (found.agreement or 0.0) < agreement:
        raise typer.Exit(1)


@app.command()
def logs(
    release: _Release = "wanneng",
    namespace: _Namespace = None,
    context: _Context = None,
    request: Annotated[str | None, typer.Option(help="Only the lines of this request id.")] = None,
    since_s: Annotated[int, typer.Option(min=1, help="How far back, in seconds.")] = 600,
) -> None:
    """Print the logs of all pods, merged by time, with the lines of one request together."""
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
        missing = f"the package {error.name} is missing: run pip install '.[cluster]' in a checkout"
        raise CommandError(missing) from None
    return KubernetesCluster(release, namespace, context)


def _status(cluster: KubernetesCluster) -> Status:
    from wanneng.cluster import kube  # noqa: PLC0415
    from wanneng.cluster.gateway_metrics import aggregate, batches_of  # noqa: PLC0415
    from wanneng.cluster.status import CONTROL_PLANE, component, status_of  # noqa: PLC0415

    pods = cluster.objects("pods")
    control_planes = [pod["metadata"]["name"] for pod in pods if component(pod) == CONTROL_PLANE]
    metrics = aggregate(_gateway_metrics(cluster))
    batches = batches_of(cluster.metrics(name, kube.CONTROL_PLANE_METRICS_PORT) for name in control_planes)
    deployments, jobs, scalers, events = (
        cluster.objects(kind) for kind in ("deployments", "jobs", "horizontalpodautoscalers", "events")
    )
    now = datetime.now(UTC)
    return status_of(deployments, pods, jobs, scalers, metrics, now=now, events=events, batches=batches)


def _gateway_metrics(cluster: KubernetesCluster) -> list[str]:
    """The exposition of each gateway; empty for one that does not answer."""
    from wanneng.cluster.kube import GATEWAY_METRICS_PORT  # noqa: PLC0415
    from wanneng.cluster.status import GATEWAY, component  # noqa: PLC0415

    names = [pod["metadata"]["name"] for pod in cluster.objects("pods") if component(pod) == GATEWAY]
    return [cluster.metrics(name, GATEWAY_METRICS_PORT) for name in names]


def _print(current: Status) -> None:
    counts = [
        _count(current.gateways, "gateways"),
        _count(current.control_planes, "control planes"),
        _count(current.workers, "workers"),
    ]
    out.print(f"wanneng {current.version}, {', '.join(filter(None, counts))}", markup=False)
    metrics = current.metrics
    table = Table("pool", "ready", "GPUs", "scaled", "engine", "answering", "nodes", box=None, pad_edge=False)
    for pool in current.pools:
        table.add_row(
            pool.name,
            f"{pool.ready} of {pool.desired}",
            str(pool.gpus or "-"),
            f"{pool.bounds[0]} to {pool.bounds[1]}" if pool.bounds else "-",
            pool.engine.rpartition("/")[2],
            ", ".join(sorted(metrics.engines.get(pool.name, ()))) or "none",
            ", ".join(pool.nodes) or "-",
        )
    out.print(table)
    out.print(
        f"{metrics.pairs_in_flight} pairs in flight, {metrics.pairs_at_triton} of them at Triton; "
        f"{metrics.cached_pairs} pairs cached"
    )
    for sentence in current.running_jobs:
        out.print(f"… {sentence}", markup=False)
    for problem in current.problems or ("all is well",):
        out.print(("✗ " if current.problems else "✓ ") + problem, markup=False)


def _count(replicas: Replicas | None, name: str) -> str:
    return f"{replicas.ready} of {replicas.desired} {name} ready" if replicas is not None else ""

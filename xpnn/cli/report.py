"""What ``xpnn train`` prints: the plan before, the outcome after."""

from __future__ import annotations

from xpnn import text
from xpnn.cli.data import Data
from xpnn.cli.options import Options
from xpnn.cli.parts import Parts
from xpnn.model import Model
from xpnn.tables import Schema
from xpnn.training.callbacks import Callback, EarlyStopping
from xpnn.training.fastest import Choice


def plan(options: Options, data: Data, parts: Parts, choice: Choice) -> str:
    """What is going to be trained, on what and where."""
    network = f"{_network(options, data.schema, parts)}, {text.count(parts.network.n_parameters, 'parameter')}"
    return text.columns(
        [
            *data.rows(inferred=options.task == "auto"),
            ("network", network),
            ("backend", f"{choice.backend} on {choice.device} ({choice.reason})"),
            *data.notes(),
        ]
    )


def _network(options: Options, schema: Schema, parts: Parts) -> str:
    """The nodes of the layers, and what comes after the hidden ones."""
    nodes = "-".join(map(str, (schema.n_features, *options.hidden, parts.network.shapes[-1][0])))
    normalized = [f"{options.normalize} normalisation"] if options.normalize else []
    dropout = [f"dropout {', '.join(f'{share:g}' for share in options.dropout)}"] if options.dropout else []
    return " with ".join(filter(None, (nodes, " and ".join(normalized + dropout))))


_ENDED = {
    "tol": " (the loss is at or under --tol)",
    "converged": " (converged)",
    "evaluations": " (as many evaluations as --max-evaluations)",
    "stalled": " (no step makes the loss less)",
}


def outcome(model: Model, options: Options, callbacks: list[Callback]) -> str:
    """How the training went, why it ended and how good the model is."""
    losses, checks = model.history["loss"], model.history.get("validation_loss", [])
    early = next((callback for callback in callbacks if isinstance(callback, EarlyStopping)), None)
    best = early.best if early else None
    ended = _ENDED.get(model.stopped, "")
    if model.stopped == "callback":
        patient = best is not None and early is not None and len(losses) - best.epoch > early.patience
        ended = f" ({'early stopping' if patient else 'the time of --time-limit is over'})"
    rows = [("trained", f"{text.count(len(losses), 'epoch')}{ended}, loss {losses[-1]:.4g}")]
    if early and best:
        value = model.history[early.monitor][best.epoch - 1]
        rows.append(("kept", f"the parameters of epoch {best.epoch}, whose {early.monitor} was best: {value:.4g}"))
    if checks:
        rows.append(("validation", str(model.metadata.get("validation", "interrupted"))))
        least = min(checks)
        if least < 0.95 * checks[-1] and not early:
            epoch = checks.index(least) + 1
            rows.append(
                (
                    "note",
                    f"the validation loss was least after epoch {epoch} ({least:.4g}, at the end {checks[-1]:.4g}): "
                    f"--epochs {epoch} or --early-stopping may do better",
                )
            )
    rows.append(("model", str(options.out)))
    if options.history:
        rows.append(("history", str(options.history)))
    return text.columns(rows)

"""PyTorch: ``nn.Sequential``, ``nn.CrossEntropyLoss``, ``torch.optim``, eager and through ``torch.compile``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xpnn.bench.contenders import COMPILED, EAGER, Contender, Run
from xpnn.bench.workload import Workload, no_such_optimizer
from xpnn.optimizers import SGD, Adam


def contenders(device: str, predict: bool) -> list[Contender]:
    """Eager, and what can be compiled; on a GPU also captured as a graph."""
    graphs = ("reduce-overhead",) if device.startswith("cuda") else ()
    if predict:
        ways: list[tuple[str, str, Callable[..., Run], str | None]] = [
            ("inference_mode", EAGER, _predicting, None),
            *((f"torch.compile {mode}", COMPILED, _predicting, mode) for mode in ("default", *graphs)),
        ]
    else:
        ways = [
            ("fused optimizer", EAGER, _training, None),
            *((f"model compiled {mode}", COMPILED, _training, mode) for mode in ("default", *graphs)),
            *((f"step compiled {mode}", COMPILED, _step_compiled, mode) for mode in ("default", *graphs)),
        ]
    return [
        Contender(
            "torch", variant.removesuffix(" default"), "torch", device, how, functools.partial(make, device, mode)
        )
        for variant, how, make, mode in ways
    ]


def _training(device: str, mode: str | None, workload: Workload) -> Run:
    """The loop of PyTorch's tutorials, with the fused optimizer; with a mode, the model compiled."""
    model, x, y = _objects(device, workload)
    optimizer = _optimizer(model, workload, fused=True)
    step = _step(_compiled(model, mode), optimizer, x, y)
    return _run(step, device, mode)


def _step_compiled(device: str, mode: str, workload: Workload) -> Run:
    """Forward pass, loss, backward pass and optimizer under one ``torch.compile``."""
    model, x, y = _objects(device, workload)
    optimizer = _optimizer(model, workload, fused=False)  # the compiler fuses it
    return _run(_compiled(_step(model, optimizer, x, y), mode), device, mode)


def _predicting(device: str, mode: str | None, workload: Workload) -> Run:
    """Probabilities under ``inference_mode``."""
    import torch

    model, x, _ = _objects(device, workload)
    model = _compiled(torch.nn.Sequential(model, torch.nn.Softmax(dim=1)).eval(), mode)

    def predict() -> Any:
        with torch.inference_mode():
            return model(x)

    return _run(predict, device, mode)


def _objects(device: str, workload: Workload) -> tuple[Any, Any, Any]:
    """The model up to its logits, X and y."""
    import torch

    layers: list[Any] = []
    for W, b in workload.parameters():
        linear = torch.nn.Linear(*W.shape, device=device, dtype=getattr(torch, workload.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    x, y = (torch.from_numpy(host).to(device) for host in workload.data())
    return torch.nn.Sequential(*layers[:-1]), x, y


def _optimizer(model: Any, workload: Workload, *, fused: bool) -> Any:
    import torch

    rule, options = workload.rule, {"fused": True} if fused else {}
    if type(rule) is Adam:
        betas = (rule.beta_1, rule.beta_2)
        return torch.optim.Adam(model.parameters(), rule.learning_rate, betas, rule.epsilon, **options)
    if type(rule) is SGD:
        return torch.optim.SGD(model.parameters(), rule.learning_rate, **options)
    raise no_such_optimizer("torch", workload)


def _step(model: Any, optimizer: Any, x: Any, y: Any) -> Callable[[], Any]:
    import torch

    loss_of = torch.nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _compiled(function: Any, mode: str | None) -> Any:
    import torch

    return torch.compile(function, mode=mode, dynamic=False) if mode else function


def _run(step: Callable[[], Any], device: str, mode: str | None) -> Run:
    import torch

    # what captured graphs want to be told before each step
    begin = torch.compiler.cudagraph_mark_step_begin if mode == "reduce-overhead" else lambda: None

    def run(steps: int) -> Any:
        for _ in range(steps):
            begin()
            result = step()
        if device != "cpu":
            torch.accelerator.synchronize(device)
        return result.detach()

    return run

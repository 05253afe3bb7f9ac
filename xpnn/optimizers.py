"""Optimizers: the hyperparameters of a rule of `xpnn.rules`, and the numbers that it takes at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real

from xpnn import rules
from xpnn.errors import InputError, missing
from xpnn.registry import Registry
from xpnn.rules import Rule, coupled, decoupled
from xpnn.schedules import History, Schedule
from xpnn.typing import Array, Namespace


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers. One's own is a frozen dataclass derived from it, its fields being hyperparameters.

    It must define `rule`, `init` and `constants`. A field ``learning_rate``, a float or a `Schedule`, is what `rate`
    gives; an optimizer without one may define `rate`. `xpnn.testing.check_optimizer` tries all of it.

    The rule may depend on its arguments alone: whatever else it looks up is read once and kept with the compiled
    step. What changes from step to step goes through `constants`.
    """

    @property
    def rule(self) -> Rule:
        """``rule(theta, g, *moments, *constants) → (theta, *moments)``, the same function at every call.

        A function of a module, not made anew, of operators alone (``m += (g - m) * share``) and element by element:
        it is run on the whole vectors, on blocks of them and in compiled steps. It may write into what it is given by
        ``+=`` and its like, and returns what these give: where arrays cannot be written to, they are new ones. So no
        sums, norms, indices or assignments to slices.
        """
        raise missing(self, "rule")

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """The moments before the first step: a tuple of flat vectors of shape (P,), ``()`` for none.

        New ones, such as ``xp.zeros_like(params)``, of the dtype, library and device of `params`.
        """
        raise missing(self, "init")

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """The numbers that the rule takes at this step, counted from 0, with the learning rate α of this step.

        As many at every step, and Python floats: NumPy's would make float64 of float32 parameters.
        """
        raise missing(self, "constants")

    def rate(self, step: int, per_epoch: int = 1, history: History | None = None) -> float:
        """α at this step: see `Schedule.rate`."""
        rate = getattr(self, "learning_rate", 0.0)
        return rate.rate(step, per_epoch, history or {}) if isinstance(rate, Schedule) else float(rate)


_registry = Registry("optimizer", Optimizer)
get = _registry.get
NAMES = _registry.classes


@_registry.register("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent:  W ← W - α ∂J/∂W,  b ← b - α ∂J/∂b; with momentum μ along m ← μ m + (1 - τ) g instead of g.

    Parameters
    ----------
    learning_rate : float or Schedule
        α > 0.
    momentum : float
        μ, 0 ≤ μ < 1.
    dampening : float
        τ, 0 ≤ τ < 1: how much less of each gradient but the first goes into m.
    nesterov : bool
        Whether to go along g + μ m, which needs momentum and no dampening.
    weight_decay : float
        λ ≥ 0: adds λ θ to the gradient.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: section "Backpropagation", the updates of the 2-3-4-1 network; the rest as ``torch.optim.SGD``.
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "learning_rate")
        _below_one(self, "momentum", "dampening")
        _not_negative(self, "weight_decay")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise InputError(
                f"SGD: nesterov needs momentum > 0 and dampening 0, got momentum={self.momentum!r} and "
                f"dampening={self.dampening!r}."
            )

    @property
    def rule(self) -> Rule:
        """Plain, with momentum or with Nesterov's; with weight decay if there is any."""
        rule = rules.nesterov if self.nesterov else rules.heavy_ball if self.momentum else rules.sgd
        return coupled(rule) if self.weight_decay else rule

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """M = 0 if there is momentum, else nothing."""
        return (xp.zeros_like(params),) if self.momentum else ()

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α,)``, with momentum ``(α, μ, 1 - τ)``, 1 instead of 1 - τ at the first step; then λ."""
        share = 1.0 - self.dampening if step else 1.0
        ball = (float(self.momentum), share) if self.momentum else ()
        return rate, *ball, *_decay(self)


@_registry.register("adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments:  θ ← θ - α m̂ / (√v̂ + ε),  with  m̂ = m / (1 - β₁ᵗ)  and  v̂ = v / (1 - β₂ᵗ).

    m and v are running means of the gradient and of its square; dividing by 1 - βᵗ at step t = 1, 2, … makes up
    for their start at zero. Defaults and definition are those of ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float or Schedule
        α > 0.
    beta_1, beta_2 : float
        How much of m and v is kept at each step, 0 ≤ β < 1.
    epsilon : float
        ε > 0: keeps the quotient finite where the gradient vanishes.
    weight_decay : float
        λ ≥ 0: adds λ θ to the gradient.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    With  α √(1 - β₂ᵗ) / (1 - β₁ᵗ)  for α and  ε √(1 - β₂ᵗ)  for ε the rule needs neither m̂ nor v̂.
    Source: arXiv:1412.6980, section 2.
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "learning_rate", "epsilon")
        _below_one(self, "beta_1", "beta_2")
        _not_negative(self, "weight_decay")

    @property
    def rule(self) -> Rule:
        """With weight decay if there is any."""
        return coupled(rules.adam) if self.weight_decay else rules.adam

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """Both moments zero."""
        return xp.zeros_like(params), xp.zeros_like(params)

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α √(1 - β₂ᵗ) / (1 - β₁ᵗ), 1 - β₁, 1 - β₂, ε √(1 - β₂ᵗ))`` at t = step + 1; then λ."""
        t = step + 1
        root = math.sqrt(1.0 - self.beta_2**t)
        scaled = rate * root / (1.0 - self.beta_1**t)
        constants = scaled, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon * root
        return (*constants, *_decay(self)) if self.weight_decay else constants


@_registry.register("adamw")
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay:  θ ← (1 - α λ) θ  before each of Adam's steps, the gradient as it is.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon
        As `Adam`'s.
    weight_decay : float
        λ ≥ 0.

    Notes
    -----
    Source: arXiv:1711.05101, algorithm 2; definition and defaults of ``torch.optim.AdamW``.
    """

    weight_decay: float = 0.01

    @property
    def rule(self) -> Rule:
        """With decoupled weight decay if there is any."""
        return decoupled(rules.adam) if self.weight_decay else rules.adam

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """Adam's, then 1 - α λ."""
        constants = super().constants(step, rate)
        return (*constants[:4], 1.0 - rate * self.weight_decay) if self.weight_decay else constants


@_registry.register("nadam")
@dataclass(frozen=True)
class NAdam(Adam):
    """Adam with Nesterov's momentum:  θ ← θ - α (μₜ₊₁ m / (1 - Π μ μₜ₊₁) + (1 - μₜ) g / (1 - Π μ)) / (√v̂ + ε).

    μₜ = β₁ (1 - 0.96^(t ψ) / 2), and Π μ is the product of μ₁ to μₜ.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, weight_decay
        As `Adam`'s.
    momentum_decay : float
        ψ ≥ 0.

    Notes
    -----
    Source: T. Dozat, Incorporating Nesterov momentum into Adam, 2016; definition and defaults of
    ``torch.optim.NAdam``.
    """

    learning_rate: float | Schedule = 0.002
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_negative(self, "momentum_decay")

    @property
    def rule(self) -> Rule:
        """With weight decay if there is any."""
        return coupled(rules.nadam) if self.weight_decay else rules.nadam

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """What g and m are multiplied by, 1 - β₁, 1 - β₂, ε √(1 - β₂ᵗ); then λ."""
        t = step + 1
        root = math.sqrt(1.0 - self.beta_2**t)
        now, following = (_momentum(self.beta_1, self.momentum_decay, each) for each in (t, t + 1))
        product = _momenta(self.beta_1, self.momentum_decay, t)
        for_g = rate * root * (1.0 - now) / (1.0 - product)
        for_m = rate * root * following / (1.0 - product * following)
        return for_g, for_m, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon * root, *_decay(self)


def _momentum(beta: float, decay: float, t: int) -> float:
    """μₜ = β₁ (1 - 0.96^(t ψ) / 2)."""
    return beta * (1.0 - 0.5 * 0.96 ** (t * decay))


@cache
def _products(beta: float, decay: float) -> list[float]:
    """The products of μ₁ to μₜ so far worked out; the list grows."""
    return [1.0]


def _momenta(beta: float, decay: float, t: int) -> float:
    """Π μ from 1 to t: 0 once it is too small to matter beside 1."""
    products = _products(beta, decay)
    while len(products) <= t and products[-1] > 1e-20:
        products.append(products[-1] * _momentum(beta, decay, len(products)))
    return products[t] if t < len(products) else 0.0


@_registry.register("rmsprop")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Each gradient over the root of a running mean of its square:  θ ← θ - α g / (√v + ε).

    Parameters
    ----------
    learning_rate : float or Schedule
        α > 0.
    rho : float
        How much of v is kept at each step, 0 ≤ ρ < 1.
    epsilon : float
        ε > 0.
    momentum : float
        μ, 0 ≤ μ < 1: goes along b ← μ b + g / (√v + ε).
    centered : bool
        Whether the square of a running mean of g is taken off v, which makes it a variance.
    weight_decay : float
        λ ≥ 0: adds λ θ to the gradient.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: G. Hinton, Neural networks for machine learning, lecture 6e; definition and defaults of
    ``torch.optim.RMSprop``, whose `alpha` is ρ.
    """

    learning_rate: float | Schedule = 0.01
    rho: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "learning_rate", "epsilon")
        _below_one(self, "rho", "momentum")
        _not_negative(self, "weight_decay")

    @property
    def rule(self) -> Rule:
        """One of four; with weight decay if there is any."""
        rule: Rule
        if self.centered:
            rule = rules.rmsprop_centered_momentum if self.momentum else rules.rmsprop_centered
        else:
            rule = rules.rmsprop_momentum if self.momentum else rules.rmsprop
        return coupled(rule) if self.weight_decay else rule

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """All zero: v, a if centered, b if there is momentum."""
        return tuple(xp.zeros_like(params) for _ in range(1 + bool(self.centered) + bool(self.momentum)))

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α, 1 - ρ, ε)``, then μ and λ if there are."""
        ball = (float(self.momentum),) if self.momentum else ()
        return rate, 1.0 - self.rho, float(self.epsilon), *ball, *_decay(self)


@_registry.register("adagrad")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Each gradient over the root of the sum of all its squares:  θ ← θ - α g / (√s + ε).

    Parameters
    ----------
    learning_rate : float or Schedule
        α > 0.
    epsilon : float
        ε > 0.
    initial : float
        What s begins with, ≥ 0.
    weight_decay : float
        λ ≥ 0: adds λ θ to the gradient.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: J. Duchi, E. Hazan, Y. Singer, JMLR 12, 2011; definition and defaults of ``torch.optim.Adagrad``, whose
    `lr_decay` is a schedule here: ``InverseScaling`` is one.
    """

    learning_rate: float | Schedule = 0.01
    epsilon: float = 1e-10
    initial: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "learning_rate", "epsilon")
        _not_negative(self, "initial", "weight_decay")

    @property
    def rule(self) -> Rule:
        """With weight decay if there is any."""
        return coupled(rules.adagrad) if self.weight_decay else rules.adagrad

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """S = `initial`."""
        return (xp.full_like(params, float(self.initial)),)

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α, ε)``, then λ."""
        return rate, float(self.epsilon), *_decay(self)


@_registry.register("adadelta")
@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Steps as large as those before were, in each element:  θ ← θ - α g √(u + ε) / √(v + ε).

    v and u are running means of the squares of the gradient and of the step.

    Parameters
    ----------
    learning_rate : float or Schedule
        α > 0.
    rho : float
        How much of v and u is kept at each step, 0 ≤ ρ < 1.
    epsilon : float
        ε > 0.
    weight_decay : float
        λ ≥ 0: adds λ θ to the gradient.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: arXiv:1212.5701; definition and defaults of ``torch.optim.Adadelta``.
    """

    learning_rate: float | Schedule = 1.0
    rho: float = 0.9
    epsilon: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "learning_rate", "epsilon")
        _below_one(self, "rho")
        _not_negative(self, "weight_decay")

    @property
    def rule(self) -> Rule:
        """With weight decay if there is any."""
        return coupled(rules.adadelta) if self.weight_decay else rules.adadelta

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """Both zero."""
        return xp.zeros_like(params), xp.zeros_like(params)

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α, 1 - ρ, ε)``, then λ."""
        return rate, 1.0 - self.rho, float(self.epsilon), *_decay(self)


@_registry.register("lion")
@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps of one size in each element, by the sign of a mean:  θ ← θ - α sign(β₁ m + (1 - β₁) g).

    Then  m ← β₂ m + (1 - β₂) g. Weight decay is decoupled.

    Parameters
    ----------
    learning_rate : float or Schedule
        α > 0; a third to a tenth of Adam's.
    beta_1, beta_2 : float
        0 ≤ β < 1.
    weight_decay : float
        λ ≥ 0:  θ ← (1 - α λ) θ  before each step.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: arXiv:2302.06675, algorithm 2. The sign of what lies within 1e-30 of 0 comes out between -1 and 1.
    """

    learning_rate: float | Schedule = 1e-4
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "learning_rate")
        _below_one(self, "beta_1", "beta_2")
        _not_negative(self, "weight_decay")

    @property
    def rule(self) -> Rule:
        """With decoupled weight decay if there is any."""
        return decoupled(rules.lion) if self.weight_decay else rules.lion

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """M = 0."""
        return (xp.zeros_like(params),)

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α, 1 - β₁, 1 - β₂, 1e-37)``, then 1 - α λ."""
        kept = (1.0 - rate * self.weight_decay,) if self.weight_decay else ()
        return rate, 1.0 - self.beta_1, 1.0 - self.beta_2, 1e-37, *kept


@_registry.register("lbfgs")
@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Limited-memory BFGS over all samples at once: curvature found from the last gradients, and line searches.

    For small data, where it comes closer to a minimum than gradient descent in less time. There is no learning rate;
    an epoch is an iteration, which may evaluate J several times. It is SciPy's (``pip install 'xpnn[scipy]'``), and
    keeps the parameters in float64 on the host; J and its gradient are computed where the data are.

    Parameters
    ----------
    memory : int
        How many of the last steps and gradients the curvature comes from, ≥ 1.
    gradient_tol : float
        The training ends when no element of the gradient is larger, ≥ 0.
    loss_tol : float
        The training ends when an iteration lowers J by no more than this share of it, ≥ 0.
    max_evaluations : int
        How often J may be evaluated, ≥ 1.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    Source: R. H. Byrd, P. Lu, J. Nocedal, C. Zhu, A limited memory algorithm for bound constrained optimization,
    1995, in ``scipy.optimize.minimize``, whose `maxcor`, `gtol`, `ftol` and `maxfun` these are.
    """

    memory: int = 10
    gradient_tol: float = 1e-5
    loss_tol: float = 1e7 * 2.0**-52  # SciPy's
    max_evaluations: int = 15_000

    def __post_init__(self) -> None:
        _whole(self, "memory", "max_evaluations")
        _not_negative(self, "gradient_tol", "loss_tol")

    @property
    def rule(self) -> Rule:
        """None: a line search is no rule for one step."""
        raise InputError("L-BFGS has no single step: it is for xpnn.fit, which gives it all samples at once.")

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """Nothing: what it remembers is SciPy's."""
        return ()


# hyperparameters


def _decay(optimizer: Optimizer) -> tuple[float, ...]:
    """``(λ,)``, or nothing if it is 0."""
    decay = float(optimizer.weight_decay)  # type: ignore[attr-defined]
    return (decay,) if decay else ()


def _number(value: object) -> float:
    """The value as a number, NaN if it is none: NaN fails every comparison."""
    return float(value) if isinstance(value, Real) else math.nan


def _positive(optimizer: Optimizer, *names: str) -> None:
    for name in names:
        value = getattr(optimizer, name)
        if name == "learning_rate" and isinstance(value, Schedule):
            continue
        _check(optimizer, name, "a number > 0", 0 < _number(value) < math.inf)


def _not_negative(optimizer: Optimizer, *names: str) -> None:
    for name in names:
        _check(optimizer, name, "a number >= 0", 0 <= _number(getattr(optimizer, name)) < math.inf)


def _whole(optimizer: Optimizer, *names: str) -> None:
    for name in names:
        value = getattr(optimizer, name)
        right = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
        _check(optimizer, name, "a whole number >= 1", right)


def _below_one(optimizer: Optimizer, *names: str) -> None:
    for name in names:
        _check(optimizer, name, "a number from 0 to below 1", 0 <= _number(getattr(optimizer, name)) < 1)


def _check(optimizer: Optimizer, name: str, expected: str, right: bool) -> None:
    if not right:
        raise InputError(f"{type(optimizer).__name__}: {name} must be {expected}, got {getattr(optimizer, name)!r}.")

"""JAX as it comes: without float64, and with two devices. The other tests switch float64 on for their gradients."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import importlib.util
import jax, jax.numpy as jnp, numpy as np, xpnn
assert not jax.config.jax_enable_x64
second = jax.devices()[1]
rng = np.random.default_rng(0)
X = jax.device_put(jnp.asarray(rng.normal(size=(30, 4))), second)
y = jax.device_put(jnp.asarray(np.arange(30) % 3), second)
assert X.dtype == jnp.float32 and y.dtype == jnp.int32
network = xpnn.mlp([4, 8, 3], output="softmax")
model = xpnn.fit(network, X, y, epochs=5, batch_size=7, validation_data=(X, y))
answers = [model.params, model.predict(X), model.predict_labels(X), model.to(dtype="float32").params]
answers.append(xpnn.fit(network, jax.device_put(jnp.ones((3, 4), dtype=int), second), y[:3], epochs=1).params)
for answer in answers:
    assert answer.devices() == {second}, answer.devices()
assert model.params.dtype == jnp.float32
assert repr(model).endswith("jax float32 on cpu:1)" if second.platform == "cpu" else ")"), repr(model)
host = model.to("numpy")
assert host.params.dtype == np.float32
assert host.to("jax", device="cpu:1").params.devices() == {second}
for wrong in ("cpu:7", "abacus"):
    try:
        host.to("jax", device=wrong)
    except xpnn.BackendError as error:
        assert "jax has no device" in str(error), error
    else:
        raise AssertionError(wrong)
try:
    xpnn.fit(network, X, jax.device_put(y, jax.devices()[0]), epochs=1)
except xpnn.ArrayError as error:
    assert "X is on device" in str(error) and "but y is on device" in str(error), error
else:
    raise AssertionError("two devices in one call")
if importlib.util.find_spec("sklearn"):  # labels that 32 bits would not hold are NumPy's
    labels = np.array([2**40, 2**40 + 1])[(np.asarray(X)[:, 0] > 0).astype(int)]
    mlp = xpnn.MLPClassifier((8,), learning_rate_init=0.05, max_iter=500, random_state=0).fit(X, labels)
    assert type(mlp.predict(X)) is np.ndarray
    assert mlp.score(X, labels) > 0.9
    assert type(mlp.fit(X, labels - 2**40).predict(X)) is type(X)
print("fine")
"""


def test_jax_in_its_default_configuration_on_its_second_device():
    pytest.importorskip("jax")
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_ENABLE_X64", None)
    done = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", PROGRAM],
                          capture_output=True, text=True, env=environment, check=False)  # fmt: skip
    assert done.stdout == "fine\n", done.stderr

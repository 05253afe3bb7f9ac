"""The same program on the GPU, with CuPy, if it can be used here, and on the CPU, with NumPy, otherwise."""

import numpy as np

import xpnn

gpus = [d for d in xpnn.devices() if d.library == "cupy" and d.usable]
if gpus:
    import cupy as xp

    print(f"training on {gpus[0].device} with CuPy {gpus[0].version}")
else:
    xp = np
    reason = next(d.reason for d in xpnn.devices() if d.library == "cupy")
    print(f"training on the CPU with NumPy (CuPy: {reason})")

# From here on nothing depends on where it runs. Two spirals, one class each, made on the host:
rng = np.random.default_rng(0)
turn = 2 * np.pi * np.sqrt(rng.uniform(size=(2000, 1)))
label = rng.integers(0, 2, size=(2000, 1))
angle = turn + np.pi * label
X = np.concatenate([turn * np.cos(angle), turn * np.sin(angle)], axis=1) + 0.1 * rng.normal(size=(2000, 2))
X = X / np.pi

X, y = xp.asarray(X, dtype=xp.float32), xp.asarray(label)
network = xpnn.mlp([2, 64, 64, 1], hidden="tanh", output="sigmoid")
model = xpnn.fit(network, X, y, optimizer=xpnn.SGD(0.3), epochs=200, batch_size=50)

print(f"loss {model.history['loss'][0]:.3f} → {model.history['loss'][-1]:.3f}")
print(f"accuracy {model.evaluate(X, y)['accuracy']:.1%}; predictions are {type(model.predict(X)).__module__} arrays")

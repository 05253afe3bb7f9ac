"""Checked by the type checker, not run: user code with each library's arrays must pass in strict mode."""

import numpy as np

import xpnn

network = xpnn.mlp([2, 3, 1], hidden=["tanh"], output=xpnn.Sigmoid())
X = np.zeros((4, 2), dtype=np.float32)
y = np.zeros((4, 1), dtype=np.float32)
model = xpnn.fit(network, X, y, optimizer=xpnn.SGD(0.5), loss="binary_crossentropy", tol=1e-4)
probability: float = float(model.predict(X)[0, 0])
last: float = model.history["loss"][-1]
params = network.init(0, like=X)
loss, gradient = xpnn.value_and_grad(network, xpnn.BinaryCrossentropy(reduction="sum"))(params, X, y)
weights: xpnn.Array = network.unflatten(gradient)[0]["W"]
scores: dict[str, float] = model.evaluate(X, y, metrics=["f1", xpnn.RocAuc()])

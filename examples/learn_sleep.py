"""Will they pass?  The 2-4-1 network of the course text on (Learn, Sleep) → Is_Pass.

The data (data/learn_sleep.csv) is SYNTHETIC: drawn by data/make_tables.py. The network is trained twice, with the
two losses that the text names: mean squared error and cross-entropy.
"""

from pathlib import Path

import numpy as np

import xpnn

table = np.loadtxt(Path(__file__).parent / "data" / "learn_sleep.csv", delimiter=",", skiprows=1)
X, y = table[:, :2], table[:, 2:]
mean, scale = X.mean(axis=0), X.std(axis=0)
X = (X - mean) / scale

network = xpnn.mlp([2, 4, 1], hidden="sigmoid", output="sigmoid")
network.summary()

for loss in ("mse", "binary_crossentropy"):
    model = xpnn.fit(network, X, y, loss=loss, optimizer=xpnn.SGD(2.0), epochs=2000, tol=0.08, seed=1)
    losses = model.history["loss"]
    scores = model.evaluate(X, y)
    print(f"\n{loss}: loss {losses[0]:.3f} → {losses[-1]:.3f} in {len(losses)} epochs")
    print(f"right on {scores['accuracy']:.1%} of the {len(X)} students")
    for learn, sleep in [(2, 5), (5, 7), (8, 8)]:
        student = (np.array([[learn, sleep]]) - mean) / scale
        print(
            f"{learn} h of learning, {sleep} h of sleep: passes with probability {model.predict(student)[0, 0]:.2f}"
        )

"""Handwritten digits, 8 × 8 pixels: a softmax network on the 1,797 images that scikit-learn ships."""

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import xpnn

X, y = load_digits(return_X_y=True)
X = (X / 8.0 - 1.0).astype(np.float32)  # pixels from 0 … 16 to -1 … 1
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)

network = xpnn.mlp([64, 256, 10], hidden="relu", output="softmax")
start = time.perf_counter()
model = xpnn.fit(network, X_train, y_train, optimizer=xpnn.SGD(0.3), epochs=60, batch_size=32, seed=0)
seconds = time.perf_counter() - start

print(f"trained 60 epochs in {seconds:.1f} s, loss {model.history['loss'][-1]:.4f}")
print(f"test accuracy {model.evaluate(X_test, y_test)['accuracy']:.1%}")
print("predicted", model.predict_labels(X_test[:10]).tolist())
print("true     ", y_test[:10].tolist())

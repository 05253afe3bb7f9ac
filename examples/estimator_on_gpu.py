"""The same estimator on CuPy arrays where there is a GPU, and on NumPy arrays otherwise."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import xpnn

warnings.simplefilter("ignore", ConvergenceWarning)  # a short training on purpose

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)

gpus = [d for d in xpnn.devices() if d.library == "cupy" and d.usable]
if gpus:
    import cupy as xp
else:
    xp = np
X, y = xp.asarray(images), xp.asarray(labels)

model = xpnn.MLPClassifier((100,), max_iter=30, random_state=0).fit(X, y)
predicted = model.predict(X)
where = gpus[0].device if gpus else "the CPU"
print(f"trained on {where}: weights and predictions are {type(predicted).__module__} arrays")
print(f"accuracy {model.score(X, y):.1%} after {model.n_iter_} epochs, loss {model.loss_:.4f}")

host = model.to("numpy")  # to save it, or to predict where there is no GPU
print(f"moved to NumPy: {np.mean(host.predict(images) == labels):.1%}")

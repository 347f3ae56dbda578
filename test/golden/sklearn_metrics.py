"""Goldens of trainer/src/metrics from scikit-learn 1.9 and numpy 2.4. Not needed to run the tests.

    python -m venv venv && venv/bin/pip install scikit-learn numpy
    venv/bin/python test/golden/sklearn_metrics.py > test/golden/sklearn_metrics.json
"""

import json

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve


def ece(y, p, bins=10):
    """Equal-width bins [k/10, (k+1)/10), the last one closed."""
    index = np.minimum((p * bins).astype(int), bins - 1)
    return sum(abs(p[index == b].sum() - y[index == b].sum()) for b in range(bins)) / len(y)


def case(name, y, p):
    precision, recall, _ = precision_recall_curve(y, p)
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    return {
        "name": name, "labels": y.tolist(), "scores": p.tolist(),
        "auroc": roc_auc_score(y, p), "auprc": average_precision_score(y, p),
        "minpse": float(np.minimum(precision, recall).max()), "f1": f1_score(y, p > 0.5, zero_division=0),
        "brier": brier_score_loss(y, p), "ece": float(ece(y, p)),
        "fpr": fpr.tolist(), "tpr": tpr.tolist(),
        "precision": precision[::-1].tolist(), "recall": recall[::-1].tolist(),
    }


rng = np.random.default_rng(13579)
cases = []
for name, n, decimals, prevalence, signal in [
    ("continuous", 60, 12, 0.5, 1.5), ("two decimals, as a model writes them", 80, 2, 0.4, 1.5),
    ("one decimal, heavy ties", 60, 1, 0.5, 1.0), ("rare positives", 70, 2, 0.08, 1.0), ("worse than chance", 40, 2, 0.5, -1.0),
]:
    y = (rng.random(n) < prevalence).astype(int)
    y[:2] = [0, 1]
    p = 1 / (1 + np.exp(-(signal * (2 * y - 1) + rng.normal(size=n))))
    cases.append(case(name, y, np.round(p, decimals)))
y = np.array([0, 1, 0, 1, 1])
cases.append(case("all scores equal", y, np.full(5, 0.5)))
cases.append(case("perfect", y, np.array([0.0, 1.0, 0.1, 0.9, 0.9])))
cases.append(case("never above one half", y, np.array([0.1, 0.2, 0.1, 0.5, 0.3])))
print(json.dumps(cases))

"""A density of states in closed form, for tests of the core that need one."""

import numpy as np
from scipy import stats


class GaussianDensity:
    """The Gaussian of some states, with percentiles among these states."""

    def __init__(self, states):
        rows = np.asarray(getattr(states, "hidden", states), np.float64)
        self.n_neurons = rows.shape[1]
        covariance = np.atleast_2d(np.cov(rows, rowvar=False, ddof=0))
        shrink = 1e-3 * np.trace(covariance) / self.n_neurons * np.eye(self.n_neurons)
        self._normal = stats.multivariate_normal(rows.mean(0), covariance + shrink)
        self._calibration = np.sort(self.log_prob(rows))

    def log_prob(self, states):
        """Compute the log-density of each state, in nats."""
        rows = np.asarray(getattr(states, "hidden", states), np.float64)
        return np.atleast_1d(self._normal.logpdf(rows))

    def percentile_of(self, log_prob):
        """Return the percentile of each log-density among the states, 0 to 100."""
        return 100 * np.searchsorted(self._calibration, log_prob) / len(self._calibration)

    def percentile(self, states):
        """Return the percentile of each state, 0 to 100."""
        return self.percentile_of(self.log_prob(states))

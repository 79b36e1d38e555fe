"""Planar and Sylvester maps: the identity plus a smooth push along a few directions."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dni_jax.lab.densities._linear import reflect

_MARGIN = 1e-4  # keeps slopes above 0 by this much, so that rounding cannot make a map fold


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Planar:
    """``y = x + u tanh(w . x + b)`` (Rezende & Mohamed 2015, equation 10).

    The map is invertible if and only if w . u > -1 (at -1 its slope is 0 where w . x = -b). As in their appendix A.1,
    the parameter `raw` is moved along w so that w . u = softplus(w . raw) - 1 + 1e-4, whatever its value. The inverse
    has no closed form; it is one root of an increasing function of one number (`tanh_root`).

    Attributes
    ----------
    w, raw
        ``(N,)``.
    b
        A number.
    """

    w: Float[Array, " N"]
    raw: Float[Array, " N"]
    b: Float[Array, ""]

    @classmethod
    def init(cls, key: Array, n_neurons: int) -> Planar:
        """Initialize close to the identity; float32."""
        first, second = jax.random.split(key)
        w = jax.random.normal(first, (n_neurons,), jnp.float32) / np.sqrt(n_neurons).astype(np.float32)
        near = 0.01 * jax.random.normal(second, (n_neurons,), jnp.float32)
        return cls.from_direction(w, near - w * (near @ w) / (w @ w), jnp.zeros((), jnp.float32))

    @classmethod
    def from_direction(cls, w: Float[Array, " N"], u: Float[Array, " N"], b: Float[Array, ""]) -> Planar:
        """Return the map with this u.

        Raises
        ------
        ValueError
            If w . u is not above -1 + 1e-4: the map folds space and has no inverse, or nearly so.

        Examples
        --------
        >>> Planar.from_direction(jnp.ones(2), jnp.full(2, 0.25), jnp.zeros(())).u.round(4).tolist()
        [0.25, 0.25]
        """
        along = w @ u
        if not isinstance(along, jax.core.Tracer) and not float(along) > _MARGIN - 1:
            raise ValueError(
                f"expected w . u above {_MARGIN - 1}, got {float(along):g}: at -1 and below, a planar map folds space "
                "and has no inverse"
            )
        size = w @ w
        move = jnp.where(size > 0, (_softplus_inverse(1 - _MARGIN + along) - along) / jnp.where(size > 0, size, 1), 0)
        return cls(w, u + move * w, b)

    @property
    def u(self) -> Float[Array, " N"]:
        """The direction of the push, with w . u above -1."""
        along, size = self.raw @ self.w, self.w @ self.w
        move = jnp.where(size > 0, (jax.nn.softplus(along) - 1 + _MARGIN - along) / jnp.where(size > 0, size, 1), 0)
        return self.raw + move * self.w

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``; O(N)."""
        u = self.u
        push = jnp.tanh(x @ self.w + self.b)
        # Matrix determinant lemma: det(I + u tanh' w') = 1 + tanh' w . u.
        return x + push[..., None] * u, jnp.log1p((1 - jnp.square(push)) * (u @ self.w))

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; O(N) and one root."""
        u = self.u
        along = u @ self.w
        # Projected on w, the equation has one unknown, a = w . x: a + (w . u) tanh(a + b) = w . y.
        root = tanh_root(y @ self.w, along, jnp.ones_like(along), self.b)
        push = jnp.tanh(root + self.b)
        return y - push[..., None] * u, -jnp.log1p((1 - jnp.square(push)) * along)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sylvester:
    """``y = x + Q R tanh(T Q' x + b)`` (van den Berg et al. 2018, section 3; Q from reflections, their H-SNF).

    A planar map of M directions at once. Q holds M orthonormal columns; R and T are upper triangular. By Sylvester's
    determinant identity the determinant is that of an M x M triangular matrix. The map is invertible if every
    r_ii t_ii > -1 (theorem 2). As in the authors' code the diagonals are hyperbolic tangents of the parameters (times
    .9999, against rounding), so that their products lie above -1. The inverse has no closed form; it is M roots of
    increasing functions of one number each, from the last direction to the first.

    Attributes
    ----------
    vectors
        ``(M, N)``: the reflections whose first M columns are Q.
    r, t
        ``(M, M)``: the upper triangles, with the diagonal before the tangent. The part below is not used.
    b
        ``(M,)``.
    """

    vectors: Float[Array, "M N"]
    r: Float[Array, "M M"]
    t: Float[Array, "M M"]
    b: Float[Array, " M"]

    @classmethod
    def init(cls, key: Array, n_neurons: int, directions: int) -> Sylvester:
        """Initialize close to the identity; float32.

        Raises
        ------
        ValueError
            For more directions than neurons.
        """
        if not 1 <= directions <= n_neurons:
            raise ValueError(f"expected 1 to {n_neurons} directions (the number of neurons), got {directions}")
        first, second, third = jax.random.split(key, 3)
        square = (directions, directions)
        return cls(
            jax.random.normal(first, (directions, n_neurons), jnp.float32),
            0.01 * jax.random.normal(second, square, jnp.float32),
            jnp.eye(directions, dtype=jnp.float32) + 0.01 * jax.random.normal(third, square, jnp.float32),
            jnp.zeros(directions, jnp.float32),
        )

    @property
    def columns(self) -> Float[Array, "M N"]:
        """The columns of Q, as rows."""
        m, n = self.vectors.shape
        return reflect(self.vectors, jnp.eye(m, n, dtype=self.vectors.dtype))

    @property
    def triangles(self) -> tuple[Float[Array, "M M"], Float[Array, "M M"]]:
        """R and T."""
        return _triangle(self.r), _triangle(self.t)

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``; O(N M)."""
        columns, (r, t) = self.columns, self.triangles
        push = jnp.tanh(x @ columns.T @ t.T + self.b)
        return x + push @ r.T @ columns, _log_det(push, r, t)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; O(N M + M^2) and M roots."""
        columns, (r, t) = self.columns, self.triangles
        along = y @ columns.T
        m = len(self.b)

        def solve(step: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
            # Back substitution: direction i depends only on those after it, which are already solved.
            roots, pushes = found
            i = m - 1 - step
            shift = roots @ t[i] + self.b[i]  # t and r are 0 below the diagonal, and roots[i] is still 0
            target = along[..., i] - pushes @ r[i]
            root = tanh_root(target, r[i, i], t[i, i], shift)
            push = jnp.tanh(t[i, i] * root + shift)
            return roots.at[..., i].set(root), pushes.at[..., i].set(push)

        _, pushes = jax.lax.fori_loop(0, m, solve, (jnp.zeros_like(along), jnp.zeros_like(along)))
        return y - pushes @ r.T @ columns, -_log_det(pushes, r, t)


def tanh_root(
    target: Float[Array, "*batch"],
    outer: Float[Array, "*#batch"],
    inner: Float[Array, "*#batch"],
    shift: Float[Array, "*#batch"],
) -> Float[Array, "*batch"]:
    """Solve ``a + outer * tanh(inner * a + shift) = target`` for a, where ``outer * inner > -1``.

    The left side then increases with a, and a lies within ``|outer|`` of the target. Bisection to the precision of the
    numbers cannot fail, where Newton's method alone may; one Newton step polishes the result. Gradients follow from
    the equation itself (implicit differentiation), not from the iterations.
    """

    def excess(a: Array) -> Array:
        return a + outer * jnp.tanh(inner * a + shift) - target

    def slope(a: Array) -> Array:
        return 1 + outer * inner * (1 - jnp.square(jnp.tanh(inner * a + shift)))

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = excess(middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    reach = jnp.abs(outer) + jnp.zeros_like(target)
    low, high = jax.lax.fori_loop(
        0, jnp.finfo(target.dtype).nmant + 2, halve, jax.lax.stop_gradient((target - reach, target + reach))
    )
    middle = 0.5 * (low + high)
    root = jax.lax.stop_gradient(jnp.clip(middle - excess(middle) / slope(middle), low, high))
    # The subtracted term is 0 in value; its gradient is -d(excess) / slope, the implicit function theorem's.
    return root - (excess(root) - jax.lax.stop_gradient(excess(root))) / jax.lax.stop_gradient(slope(root))


def _softplus_inverse(value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return x with ``log(1 + exp(x)) = value``, for value above 0."""
    return value + jnp.log(-jnp.expm1(-value))


def _triangle(raw: Array) -> Array:
    return jnp.triu(raw, 1) + jnp.diag((1 - _MARGIN) * jnp.tanh(jnp.diag(raw)))


def _log_det(push: Array, r: Array, t: Array) -> Array:
    return jnp.log1p((1 - jnp.square(push)) * (jnp.diag(r) * jnp.diag(t))).sum(-1)

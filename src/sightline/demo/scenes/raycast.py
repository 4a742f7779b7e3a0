"""Parallel rays against a handful of solids, in closed form: which point of a thing each sample sees.

The thing's frame: x to the right, y up, z towards the viewer, who looks down by `TILT`. Pictures are planar,
(3, rows, columns).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(rows, columns)"""
Picture = NDArray[np.float32]
"""(3, rows, columns)"""
Vector = NDArray[np.float32]
"""(3,)"""
Span = tuple[float, float]
"""(lower, upper)"""

TILT = math.radians(20)
_FAR = np.float32(1e6)


def vector(x: float, y: float, z: float) -> Vector:
    """Three numbers as a float32 vector."""
    return np.array((x, y, z), np.float32)


def unit(of: Vector) -> Vector:
    """The same direction with length one."""
    return (of / np.float32(math.sqrt(float(of @ of)))).astype(np.float32)


def yawed(of: Vector, yaw: float) -> Vector:
    """A world vector as an object sees it that has turned by `yaw` radians about its upright axis."""
    c, s = math.cos(yaw), math.sin(yaw)
    return vector(c * of[0] - s * of[2], of[1], s * of[0] + c * of[2])


@dataclass(frozen=True, slots=True)
class Rays:
    """One ray per sample: `origin` (3, rows, columns) on the screen, all going along `direction`."""

    origin: Picture
    direction: Vector

    def at(self, depth: Plane) -> Picture:
        """The points (3, rows, columns) at these depths."""
        return self.origin + self.direction[:, None, None] * depth


@dataclass(frozen=True, slots=True)
class Hit:
    """Where rays meet a solid: `depth` (1e6 where they miss), `point` and the outward unit `normal` there."""

    depth: Plane
    point: Picture
    normal: Picture


def look(across: Plane, upward: Plane, yaw: float) -> Rays:
    """Rays through screen places (rows, columns), in the frame of an object turned by `yaw` radians."""
    right = yawed(vector(1, 0, 0), yaw)
    up = yawed(vector(0, math.cos(TILT), -math.sin(TILT)), yaw)
    ahead = yawed(vector(0, -math.sin(TILT), -math.cos(TILT)), yaw)
    origin = right[:, None, None] * across + up[:, None, None] * upward
    return Rays(origin, ahead)


def _hit(rays: Rays, depth: Plane, normal: Picture) -> Hit:
    return Hit(depth, rays.at(depth), normal)


def ellipsoid(rays: Rays, centre: Vector, radii: Vector, lean: float = 0.0, floor: float = -9.0) -> Hit:
    """The near side of an ellipsoid that leans by `lean` radians in the x-y plane, cut off below `floor`."""
    c, s = math.cos(lean), math.sin(lean)
    turn = np.array(((c, s, 0), (-s, c, 0), (0, 0, 1)), np.float32)
    into = turn / radii[:, None]
    start = np.tensordot(into, rays.origin - centre[:, None, None], 1)
    along = into @ rays.direction
    a, b = float(along @ along), np.tensordot(along, start, 1)
    inside = b * b - a * (np.einsum("kij,kij->ij", start, start) - 1)
    depth = (-b - np.sqrt(np.maximum(inside, 0))) / np.float32(a)
    ball = start + along[:, None, None] * depth
    normal = np.tensordot(turn.T / radii, ball, 1)
    normal /= np.sqrt(np.einsum("kij,kij->ij", normal, normal)) + np.float32(1e-6)
    missed = inside <= 0
    if floor > -9.0:
        missed |= rays.origin[1] + rays.direction[1] * depth < floor
    return _hit(rays, np.where(missed, _FAR, depth), normal)


def frustum(rays: Rays, heights: Span, radii: Span, *, inner: bool = False) -> Hit:
    """The side of an upright cone between two heights, with the radii there; the far wall if `inner`."""
    (low, high), (below, above) = heights, radii
    slope = (above - below) / (high - low)
    ox, oy, oz = rays.origin
    dx, dy, dz = (float(part) for part in rays.direction)
    radius = below + slope * (oy - np.float32(low))
    a = dx * dx + dz * dz - (slope * dy) ** 2
    b = ox * dx + oz * dz - radius * np.float32(slope * dy)
    inside = b * b - np.float32(a) * (ox * ox + oz * oz - radius * radius)
    root = np.sqrt(np.maximum(inside, 0))
    depth = ((root if inner else -root) - b) / np.float32(a)
    point = rays.at(depth)
    flat = np.maximum(np.sqrt(point[0] ** 2 + point[2] ** 2), np.float32(1e-6))
    tall = np.full_like(flat, -slope)
    normal = np.stack((point[0] / flat, tall, point[2] / flat)) * np.float32(1 / math.hypot(1, slope))
    missed = (inside <= 0) | (point[1] < low) | (point[1] > high)
    return Hit(np.where(missed, _FAR, depth), point, -normal if inner else normal)


def disc(rays: Rays, height: float, radius: float, hole: float = 0.0) -> Hit:
    """A level disc, or a ring when it has a `hole`, seen from above."""
    depth = (np.float32(height) - rays.origin[1]) / rays.direction[1]
    point = rays.at(depth)
    flat = point[0] ** 2 + point[2] ** 2
    normal = np.zeros_like(point)
    normal[1] = 1
    return Hit(np.where((flat > radius**2) | (flat < hole**2), _FAR, depth), point, normal)


def box(rays: Rays, centre: Vector, half: Vector) -> Hit:
    """The near faces of an upright box."""
    start = rays.origin - centre[:, None, None]
    near = (-np.sign(rays.direction) * half)[:, None, None]
    enter = (near - start) / rays.direction[:, None, None]
    leave = (-near - start) / rays.direction[:, None, None]
    face = enter.argmax(0)
    depth = np.take_along_axis(enter, face[None], 0)[0]
    sides = np.arange(3)[:, None, None] == face[None]
    normal = (sides * -np.sign(rays.direction)[:, None, None]).astype(np.float32)
    return _hit(rays, np.where(depth >= leave.min(0), _FAR, depth), normal)


def ring(rays: Rays, centre: Vector, radius: float, tube: float) -> Hit:
    """A torus about the z axis: exact when seen along that axis, close enough for a handle at an angle."""
    dz = float(rays.direction[2])
    depth = (centre[2] - rays.origin[2]) / np.float32(dz)
    point = rays.at(depth)
    x, y = point[0] - centre[0], point[1] - centre[1]
    away = np.maximum(np.sqrt(x * x + y * y), np.float32(1e-6))
    off = (away - np.float32(radius)) / np.float32(tube)
    bulge = np.sqrt(np.maximum(1 - off * off, 0))
    normal = np.stack((off * x / away, off * y / away, bulge * np.float32(-math.copysign(1, dz))))
    return _hit(rays, np.where(np.abs(off) >= 1, _FAR, depth - bulge * np.float32(tube / abs(dz))), normal)

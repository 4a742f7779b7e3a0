"""Regions of a photo, in pixels of the upright photo, origin top left: `regions.Box(35, 5, 75, 45)`."""

from sightline.photos.regions import Box, GrabCut, Mask, Polygon, Region, Top

__all__ = ["Box", "GrabCut", "Mask", "Polygon", "Region", "Top"]

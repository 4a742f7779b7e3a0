"""What images are drawn with: `sl.canvases.Fourier()`, `Pixels()`, `Laplacian()`, `CPPN()`, `Phase()`, ..."""

from sightline.features.canvases import CPPN, Canvas, Fourier, Laplacian, Phase, Pixels, Transparent

__all__ = ["CPPN", "Canvas", "Fourier", "Laplacian", "Phase", "Pixels", "Transparent"]

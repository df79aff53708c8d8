"""What a camera makes of a scene: bloom, blur, uneven light and noise."""

import cv2
import numpy as np

from .scene import Scene


def expose(image: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Oversampled image to the camera's picture (H, W, 3), uint8."""
    image = cv2.resize(image, scene.view.size, interpolation=cv2.INTER_AREA)
    if scene.light.lamps:
        image = bloom(image)
    image = blur(image, rng)
    exposed = image * uneven_light(image.shape, rng)
    exposed += noise(image.shape, rng)
    return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)


def bloom(image: np.ndarray) -> np.ndarray:
    """Light that spills from what is almost white."""
    bright = np.where(image.max(2, keepdims=True) > 235, image, 0).astype(np.uint8)
    return cv2.add(image, cv2.GaussianBlur(bright, (0, 0), 4) // 2)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Image as sharp as some lens makes it."""
    sigma = rng.uniform(0, 1.0)
    return cv2.GaussianBlur(image, (5, 5), sigma) if sigma > 0.4 else image


def uneven_light(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Factors (H, W, 3) of exposure, white balance and smooth shading, float32."""
    shading = cv2.resize(rng.integers(205, 256, (3, 4), np.uint8), shape[1::-1])
    gain = rng.uniform(0.85, 1.12) * rng.uniform(0.95, 1.05, 3)
    return shading[..., None] * (gain / 240).astype(np.float32)


def noise(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise (H, W, 3), int8."""
    # Sums of integers stand in for normal noise: they are the same on every platform.
    spread = rng.integers(2, 7)
    first, second = rng.integers(-spread, spread + 1, (2, *shape), np.int8)
    return first + second

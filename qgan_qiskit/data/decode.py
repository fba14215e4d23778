"""One image file of any kind -> an RGB square of the wanted size."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from qgan_qiskit.data.files import UnreadableError

# The formats that are decoded inside this process. EPS and PDF would start another program on the user's file.
# Image.init() registers their decoders once, before threads would do it at the same time.
Image.init()
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM")
# Pillow warns beyond this many pixels (a decompression bomb); here it is an error.
MAX_PIXELS = 2**30 // 12
# EXIF orientation -> the turn that sets the picture upright.
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content: bytes, resolution: int) -> np.ndarray:
    """Decode one image file.

    The first frame is taken, turned upright as EXIF says, laid over black where it is transparent (as dermoscopes leave
    their surround black), cut to its central square and brought to ``resolution`` with Pillow's antialiased Lanczos
    filter. An image whose short side has that size already keeps its pixels.

    Args:
        content: the file's bytes.
        resolution: side of the result in pixels.

    Returns:
        uint8 of shape (resolution, resolution, 3), 0 to 255.

    Raises:
        UnreadableError: the bytes are no whole image of a known format.
    """
    if not content:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableError(f"{width:,} x {height:,} pixels, more than {MAX_PIXELS:,}: a decompression bomb")
            if image.format == "PNG":
                # Loading skips the checksums of the pixel chunks; verify() reads them all but spends its image.
                with Image.open(io.BytesIO(content), formats=("PNG",)) as check:
                    check.verify()
            # JPEG only: decode at 1/2, 1/4 or 1/8 when that leaves at least twice the wanted size to filter from.
            image.draft(None, (2 * resolution, 2 * resolution))
            image.load()
            turn = _turn(image)
            rgb = _to_rgb(image)
            return _square(rgb if turn is None else rgb.transpose(turn), resolution)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image of a known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableError("a decompression bomb") from error
    except (
        Exception
    ) as error:  # Pillow's decoders raise nearly anything on damaged bytes: struct.error, SyntaxError, ...
        raise UnreadableError(f"damaged: {' '.join(str(error).split()) or type(error).__name__}") from error


def square_pixels(pixels_HWC: np.ndarray, resolution: int) -> np.ndarray:
    """Bring uint8 RGB pixels of shape (H, W, 3) to (resolution, resolution, 3) as :func:`decode` does."""
    return _square(Image.fromarray(pixels_HWC), resolution)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that EXIF asks for; asked after loading, because Pillow turns TIFF images itself."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # A broken EXIF block raises nearly anything, and the pixels are good without it.
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; 16-bit grey is scaled by 255/65535, not cut off at 255."""
    if image.mode == "F":
        raise UnreadableError("floating-point pixels, whose range is not known")
    if image.mode.startswith("I"):
        values_HW = np.asarray(image).astype(np.int64)
        if values_HW.min() < 0 or values_HW.max() > 65535:
            raise UnreadableError("32-bit pixels outside 0 to 65535")
        return Image.fromarray(((values_HW + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def _square(rgb: Image.Image, resolution: int) -> np.ndarray:
    """Cut the central square out and resize it; a square of the right size keeps its pixels."""
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    cut = rgb.crop((left, top, left + side, top + side))
    if side != resolution:
        cut = cut.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(cut)

"""What a picture says of itself: that it is synthetic, and what made it.

The texts lie in the PNG's own text chunks, and once more as XMP in the words of the press (IPTC's digital source type), which
viewers and archives understand. They hold no date, so the same image has the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from io import BytesIO
from xml.sax.saxutils import quoteattr

from PIL import Image
from PIL.PngImagePlugin import PngInfo

DESCRIPTION = "Synthetic image made by a generative model; it shows no patient and is no basis for a diagnosis."
PREFIX = "qgan:"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}" xmp:CreatorTool={{}}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)

# What is known of the making of an image, such as model, class and seed.
About = Mapping[str, object]


def software() -> str:
    """Return the name and version of this library."""
    return f"qgan_qiskit {metadata.version('qgan_qiskit')}"


def texts(about: About) -> dict[str, str]:
    """Return the texts of a picture by keyword: ``Software``, ``Description`` and ``qgan:…``.

    Args:
        about: names and values; None is left out, lists become JSON.
    """
    found = {"Software": software(), "Description": DESCRIPTION, f"{PREFIX}synthetic": "true"}
    for name, value in about.items():
        if value is not None:
            found[PREFIX + name] = _readable(value if isinstance(value, str) else json.dumps(value))
    return found


def png(picture: Image.Image, about: About) -> bytes:
    """Return a picture as PNG that says it is synthetic.

    Args:
        picture: of one image, or a sheet of several.
        about: see :func:`texts`.
    """
    buffer = BytesIO()
    picture.save(buffer, format="PNG", pnginfo=png_info(about))
    return buffer.getvalue()


def png_info(about: About) -> PngInfo:
    """Return the text chunks of such a picture, for Pillow's ``save``."""
    info = PngInfo()
    for name, text in texts(about).items():
        info.add_itxt(name, text)
    info.add_itxt("XML:com.adobe.xmp", _XMP.format(quoteattr(software())))
    return info


def as_json(about: About) -> str:
    """Return the same texts as JSON, for files that are no pictures."""
    return json.dumps(texts(about), indent=1)


def _readable(text: str) -> str:
    # Names of folders may hold bytes that are no UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()

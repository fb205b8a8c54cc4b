"""Small data sets of images with objects, written as VOC and COCO have them."""

import json

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 20, 10


def write_image(path, *, width=WIDTH, height=HEIGHT, shade=100, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(np.full((height, width, 3), shade % 256, np.uint8)).save(path, exif=exif)


def voc_xml(objects, *, width=WIDTH, height=HEIGHT):
    """Returns an annotation of (name, (xmin, ymin, xmax, ymax), difficult)."""
    listed = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{box[0]}</xmin>"
        f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>\n"
        for name, box, difficult in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>other.jpg</filename>{size}\n{listed}</annotation>\n"


def write_voc(folder, lists, images):
    """Writes a year: lists maps a list to names, images a name to its objects."""
    for number, (name, objects) in enumerate(images.items()):
        write_image(folder / "JPEGImages" / f"{name}.jpg", shade=40 * number + len(folder.name))
        annotation = folder / "Annotations" / f"{name}.xml"
        annotation.parent.mkdir(exist_ok=True)
        annotation.write_text(voc_xml(objects))
    (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    for name, names in lists.items():
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{image}\n" for image in names))
    return folder


def coco(annotations, *, images=("a.jpg", "b.jpg"), categories=((7, "cat"), (3, "ant"))):
    """Returns the content of a COCO file; the images have the ids 10, 11, ..."""
    return {
        "info": {},
        "images": [
            {"id": 10 + place, "file_name": name, "width": WIDTH, "height": HEIGHT} for place, name in enumerate(images)
        ],
        "categories": [{"id": identity, "name": name, "supercategory": "x"} for identity, name in categories],
        "annotations": [{"id": place + 1, "iscrowd": 0, **entry} for place, entry in enumerate(annotations)],
    }


def thing(image, category, box, **more):
    return {"image_id": image, "category_id": category, "bbox": list(box), **more}


def write_coco(folder, content, *, split="train2017"):
    for number, image in enumerate(content["images"]):
        write_image(folder / split / image["file_name"], shade=70 * number + 9 * len(split))
    path = folder / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path

"""transformers: a hub folder, and its own preparation of images, from 8-bit pictures."""

import numpy as np
import torch
import transformers
from arrays import in_batches, main
from PIL import Image


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns features and logits."""
    prepare = transformers.AutoImageProcessor.from_pretrained(path)
    encoder = transformers.AutoModel.from_pretrained(path).eval()
    classifier = transformers.AutoModelForImageClassification.from_pretrained(path).eval()
    pictures = [Image.fromarray(view) for view in np.rint(views * 255.0).astype(np.uint8)]

    def run(part: np.ndarray) -> dict[str, np.ndarray]:
        images = prepare(images=[pictures[index] for index in part], return_tensors="pt")
        with torch.no_grad():
            return {"features": encoder(**images).pooler_output, "logits": classifier(**images).logits}

    return in_batches(run, np.arange(len(pictures)))


if __name__ == "__main__":
    main(outputs_of, transformers.__version__)

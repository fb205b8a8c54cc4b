"""timm: a hub folder by its path."""

import numpy as np
import timm
import torch
from arrays import in_batches, main, normalized_nchw


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns features and, with a classifier, logits."""
    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()

    def run(part: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            features = model.forward_head(model.forward_features(torch.from_numpy(part)), pre_logits=True)
            logits = model.get_classifier()(features)
        return {"features": features.numpy(), "logits": logits.numpy()}

    return in_batches(run, normalized_nchw(views, mean, std))


if __name__ == "__main__":
    main(outputs_of, timm.__version__)

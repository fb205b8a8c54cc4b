"""The five tables: everything that a loss, an encoder, a protocol, a format or a data source can be.

A new entry is one file and one line here; nothing else names it. `barlowtf.doors` tells how a user's own comes in.
"""

from typing import Any

from barlowtf.doors import Table

LOSSES: Table[Any] = Table(
    "loss",
    {
        "barlow_twins": ("barlowtf.losses.barlow_twins:BARLOW_TWINS", "redundancy reduction, the paper's loss"),
        "mixed_barlow_twins": (
            "barlowtf.losses.mixed_barlow_twins:MIXED_BARLOW_TWINS",
            "the paper's loss and a term of mixed images, against overfitting",
        ),
        "barlow_twins_variants": (
            "barlowtf.losses.barlow_twins_variants:BARLOW_TWINS_VARIANTS",
            "what the paper's Tables 5 and 6 compare its loss with",
        ),
        "vicreg": ("barlowtf.losses.vicreg:VICREG", "variance, invariance and covariance terms"),
        "simclr": ("barlowtf.losses.simclr:SIMCLR", "contrast with all other images of the batch"),
        "byol": ("barlowtf.losses.byol:BYOL", "prediction of a slowly moving copy's embeddings"),
        "simsiam": (
            "barlowtf.losses.simsiam:SIMSIAM",
            "prediction of the other view's embedding, without its gradient",
        ),
        "swav": ("barlowtf.losses.swav:SWAV", "prediction of the other views' assignments to prototypes"),
        "wmse": ("barlowtf.losses.wmse:WMSE", "agreement of whitened embeddings"),
        "lejepa": (
            "barlowtf.losses.lejepa:LEJEPA",
            "agreement, and SIGReg: embeddings distributed as standard normal ones",
        ),
        "frossl": ("barlowtf.losses.frossl:FROSSL", "agreement, and small Frobenius norms of the covariances"),
    },
)
ENCODERS: Table[Any] = Table(
    "encoder",
    {
        "resnet": ("barlowtf.models.resnet:RESNET", "resnet10 to resnet200; _w2 doubles every channel count"),
        "keras": (
            "barlowtf.models.keras_applications:KERAS_APPLICATIONS",
            "keras:NAME, a network of keras.applications such as keras:MobileNetV3Small",
        ),
        "vit": (
            "barlowtf.models.vision_transformer:VISION_TRANSFORMER",
            "vit_ti16, vit_s16 or vit_b16, a vision transformer; the number is the side of a patch, pixels",
        ),
    },
)
PROTOCOLS: Table[Any] = Table(
    "protocol",
    {
        "linear": ("barlowtf.evaluation.linear:LINEAR", "a linear classifier on the frozen encoder, trained on crops"),
        "linear-fast": (
            "barlowtf.evaluation.linear_fast:LINEAR_FAST",
            "logistic regression on features extracted once",
        ),
        "semi1": ("barlowtf.evaluation.semi:SEMI1", "the whole network, fine-tuned on 1 % of the labels"),
        "semi10": ("barlowtf.evaluation.semi:SEMI10", "the whole network, fine-tuned on 10 % of the labels"),
        "finetune": ("barlowtf.evaluation.finetune:FINETUNE", "the whole network, fine-tuned on all labels"),
        "knn": ("barlowtf.evaluation.knn:KNN", "weighted vote of the nearest neighbors"),
        "voc07": ("barlowtf.evaluation.voc07:VOC07", "linear support vector machines, for images of several labels"),
        "places205": ("barlowtf.evaluation.transfer:PLACES205", "linear transfer, 14 epochs"),
        "inat18": ("barlowtf.evaluation.transfer:INAT18", "linear transfer, 84 epochs"),
        "transfer": ("barlowtf.evaluation.transfer:TRANSFER", "linear transfer to any data"),
        "detection": ("barlowtf.evaluation.detection:DETECTION", "Faster R-CNN C4, fine-tuned on boxes"),
        "segmentation": (
            "barlowtf.evaluation.segmentation:SEGMENTATION",
            "Mask R-CNN C4, fine-tuned on boxes and masks",
        ),
    },
)
FORMATS: Table[Any] = Table(
    "format",
    {
        "saved-model": ("barlowtf.export.saved_model:SAVED_MODEL", "for TensorFlow Serving, preprocessing inside"),
        "tflite": (
            "barlowtf.export.litert:TFLITE",
            "for LiteRT: float32, float16, dynamic-range int8, full-integer int8",
        ),
        "keras": ("barlowtf.export.keras_file:KERAS", "one .keras file that loads without barlowtf"),
        "onnx": ("barlowtf.export.onnx:ONNX", "one .onnx file"),
        "torch": ("barlowtf.export.torch:TORCH", "a state dict with torchvision's names"),
        "hub": ("barlowtf.export.hub:HUB", "a folder for timm, transformers and KerasHub, with a model card"),
        "keras-hub": (
            "barlowtf.export.keras_hub:KERAS_HUB",
            "a preset folder of KerasHub, which its detectors and segmenters start from",
        ),
    },
)
# Each summary starts with the SPEC syntax, up to the first ", ".
SOURCES: Table[Any] = Table(
    "data source",
    {
        "digits": ("barlowtf.data.digits:DIGITS", "digits, 1,797 scanned digits of 8 x 8 pixels; no download"),
        "tfds": (
            "barlowtf.data.tfds:TFDS",
            "tfds:NAME[/CONFIG][:VERSION], a data set of TensorFlow Datasets",
        ),
        "tfrecord": ("barlowtf.data.tfrecord:TFRECORD", "tfrecord:GLOB, files of tf.train.Example"),
        "npy": ("barlowtf.data.npy:NPY", "npy:FILE, a stack of images, [N, H, W] or [N, H, W, C], in one .npy file"),
        "table": (
            "barlowtf.data.table:TABLE",
            "table:FILE, a CSV, TSV or JSON-lines file of image files and, where there are some, labels",
        ),
        "folder": ("barlowtf.data.folder:FOLDER", "FOLDER, a folder of images or of class folders"),
    },
)


def source_syntax() -> str:
    """Returns the forms of a data SPEC, for help texts and errors: "digits, tfds:NAME, FOLDER or FILE.py:NAME"."""
    forms = [summary.partition(", ")[0] for summary in SOURCES.summaries.values()]
    return f"{', '.join(forms)}, or your own FILE.py:NAME or PACKAGE.MODULE:NAME"

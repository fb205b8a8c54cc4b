"""What exported SavedModels hold, read back."""

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from barlowtf.export import warmup
from barlowtf.export.serving import Signature
from barlowtf.export.warmup import WARMUP_FILE


def signatures_of(loaded):
    """Returns the signatures of what `tf.saved_model.load` returned, by name."""
    return {
        name: Signature(function.structured_input_signature[1], function.structured_outputs)
        for name, function in loaded.signatures.items()
    }


def predict_request(model, signature, inputs):
    """Returns a request as the server's own message."""
    return predict_pb2.PredictRequest.FromString(warmup.predict_request(model, signature, inputs))


def read_warmup(version_folder):
    """Returns the requests of a version's warm-up file, in their order."""
    records = tf.data.TFRecordDataset(str(version_folder / WARMUP_FILE)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]

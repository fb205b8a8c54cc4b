"""The reasons for which published numbers are not comparable to a result."""

import pytest

from barlowtf.evaluation import PROTOCOLS
from barlowtf.models import make_encoder
from barlowtf.records import EncoderFacts, Subset
from tests.result_records import DRAWN, LISTED, make_encoder_facts


@pytest.fixture(scope="module")
def objection():
    parameters = make_encoder("resnet50", image_shape=(224, 224, 3)).count_params()

    def call(protocol="linear", source="tfds:imagenet2012", size=224, subset=None, **changes):
        facts = make_encoder_facts(image_shape=(size, size, 3), parameters=changes.pop("parameters", parameters))
        known = {"source": source, "variant": "paper", "changes": (), "test_images": 50_000, **changes}
        return PROTOCOLS[protocol].published.objection(
            encoder=EncoderFacts.model_validate(facts),
            subset=None if subset is None else Subset.model_validate(subset),
            **known,
        )

    return call


def test_reasons(objection):
    assert objection() is None
    assert objection(source="tfds:imagenet2012:5.1.0") is None
    assert objection("semi1") is None
    assert objection(source="imagenet2012") == "other data than tfds:imagenet2012"
    assert objection(changes=["epochs = 5"]) == "settings changed"
    assert objection(parameters=None) == objection(size=32) == "other encoder than a ResNet-50 at 224 pixels"
    assert objection("semi1", variant="small") == "other variant"
    assert objection(variant="small", changes=["epochs = 5"], size=32, source="digits").split(", ") == [
        "other data than tfds:imagenet2012",
        "other variant",
        "settings changed",
        "other encoder than a ResNet-50 at 224 pixels",
    ]
    assert objection("places205") == "the data cannot be checked to be those of the paper"
    assert PROTOCOLS["knn"].published is None


def test_lists_of_labels(objection):
    theirs = {**LISTED, "list_sha256": "71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17"}
    assert objection("semi1", subset=theirs) is None
    assert objection("semi1", subset=theirs, source="/data/imagenet") is None
    assert "other data" in objection("semi1", subset=theirs, source="/data/imagenet", test_images=500)
    for protocol, subset in (("semi1", LISTED), ("semi1", DRAWN), ("semi10", theirs), ("linear", LISTED)):
        assert objection(protocol, subset=subset) == "other labeled images than the published ones"

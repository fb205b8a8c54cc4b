"""Settings of the protocols: the published ones, overrides, and what is wrong with a wrong one."""

import pytest

from barlowtf.errors import ConfigError
from barlowtf.evaluation import PROTOCOLS, Protocol, choose_variant, choose_variants, open_labeled, open_protocol
from barlowtf.evaluation.variants import split_overrides


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_entry_of_the_table_opens(name):
    protocol = open_protocol(name)
    assert isinstance(protocol, Protocol)
    assert protocol.name == name
    assert protocol.measures
    if protocol.published is not None:
        assert set(protocol.published.scores) <= {measure.name for measure in protocol.measures}


def test_published_variants():
    _, name, linear, changes = choose_variant(PROTOCOLS["linear"], None, ())
    assert (name, changes) == ("repository", ())
    assert (linear.epochs, linear.batch_size, linear.learning_rate, linear.weight_decay) == (100, 256, 0.3, 1e-6)
    assert (linear.encoder_learning_rate, linear.schedule, linear.report) == (0.0, "cosine", "best")
    for name, rate, schedule, drops in (("repository", 0.005, "cosine", ()), ("paper", 0.002, "steps", (12, 16))):
        for protocol, fraction in (("semi1", 0.01), ("semi10", 0.1)):
            semi = PROTOCOLS[protocol].variants[name]
            assert PROTOCOLS[protocol].fraction == fraction
            assert (semi.epochs, semi.batch_size, semi.learning_rate, semi.weight_decay) == (20, 256, 0.5, 0.0)
            assert (semi.encoder_learning_rate, semi.schedule, semi.drop_epochs) == (rate, schedule, drops)
            assert PROTOCOLS[protocol].trains_encoder(semi)
    assert PROTOCOLS["semi1"].variants["paper"].drop_factor == 0.2
    for name, epochs, drops in (("places205", 14, (4, 8, 12)), ("inat18", 84, (24, 48, 72))):
        (transfer,) = PROTOCOLS[name].variants.values()
        assert (transfer.epochs, transfer.drop_epochs, transfer.drop_factor) == (epochs, drops, 0.1)
        assert (transfer.learning_rate, transfer.weight_decay) == (0.01, 5e-4)
        assert not PROTOCOLS[name].trains_encoder(transfer)


def test_imagenet_takes_the_published_subsets():
    def spec(name, source="tfds:imagenet2012"):
        return PROTOCOLS[name].training_spec(source)

    assert spec("semi1") == "tfds:imagenet2012_subset/1pct"
    assert spec("semi10", "tfds:imagenet2012:5.1.0") == "tfds:imagenet2012_subset/10pct"
    assert spec("linear") == "tfds:imagenet2012"
    assert spec("semi1", "digits") == "digits"


def test_overrides_go_where_they_belong_and_are_recorded():
    protocols = [PROTOCOLS[name] for name in ("linear", "semi1", "knn")]
    texts = split_overrides(["epochs=3", "semi1.flip=0.0", "neighbors=[5]"], protocols)
    assert texts == {"linear": ["epochs=3"], "semi1": ["epochs=3", "flip=0.0"], "knn": ["neighbors=[5]"]}
    chosen = choose_variant(PROTOCOLS["semi1"], "paper", texts["semi1"])
    assert (chosen.settings.epochs, chosen.settings.flip) == (3, 0.0)
    assert chosen.changes == ("epochs = 3 (variant: 20)", "flip = 0.0 (variant: 0.5)")
    assert choose_variant(PROTOCOLS["knn"], None, texts["knn"]).settings.neighbors == (5,)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epochs=0"], "Invalid epochs: received 0, expected a number greater than or equal to 1"),
        (["epoch=3"], "Unknown setting 'epoch'. Did you mean 'epochs'"),
        (["area=[0.5,0.2]"], "area is a range"),
        (["encoder_learning_rate=0.1"], 'report = "best" is for a frozen encoder'),
        (["epochs"], "expected section.key=value"),
    ],
)
def test_bad_settings(overrides, message):
    with pytest.raises(ConfigError, match=message):
        choose_variant(PROTOCOLS["linear"], None, overrides)


def test_a_key_that_no_protocol_has():
    with pytest.raises(ConfigError, match="received 'epochs', expected KEY=VALUE .* with a setting of knn"):
        choose_variants(["knn"], None, ["epochs=3"])


def test_a_variant_is_for_the_protocols_that_have_it():
    chosen = choose_variants(["linear", "semi1", "knn"], "paper", ["semi1.epochs=3"])
    assert [choice.variant for choice in chosen] == ["repository", "paper", "barlowtf"]
    assert chosen[1].settings.epochs == 3
    assert choose_variants(["semi10"], "small", ())[0].settings.flip == 0.0
    with pytest.raises(
        ConfigError, match="received 'paper', expected one of repository, small, tiny, barlowtf for linear"
    ):
        choose_variants(["linear", "knn"], "paper", ())


def test_a_protocol_that_does_not_exist():
    with pytest.raises(ConfigError, match="received 'lineal', expected one of linear, linear-fast"):
        open_protocol("lineal")


def test_an_own_protocol_that_is_none_or_has_a_name_of_the_package(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from barlowtf.evaluation.knn import KNN\nNUMBER = 3\n")
    with pytest.raises(ConfigError, match="received int, expected a barlowtf.evaluation.Protocol"):
        open_protocol(f"{file}:NUMBER")
    with pytest.raises(ConfigError, match="received 'knn', which is a protocol of the package"):
        open_protocol(f"{file}:KNN")


@pytest.mark.parametrize("changes", [{"name": "My protocol"}, {"variants": {}}, {"variants": {"../x": None}}])
def test_names_must_be_fit_for_files(changes):
    arguments = {"name": "mine", "variants": PROTOCOLS["knn"].variants, "open_data": open_labeled}
    with pytest.raises(ValueError, match="Invalid (name|variants)"):
        Protocol(**{**arguments, "measure": lambda task: None, "measures": (), **changes})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("short_sides=[1]", "Invalid short_sides: received 1, expected a number greater than or equal to 32."),
        ("anchor_sizes=[]", "Invalid anchor_sizes: received (), expected at least 1 value."),
        ("candidates=[5]", "Invalid candidates: received (5,), expected at least 2 values."),
        ("candidates=[5, 6, 7]", "Invalid candidates: received (5, 6, 7), expected at most 2 values."),
        ("short_sides=5", "Invalid short_sides: received 5, expected a list."),
    ],
)
def test_a_bad_list_is_one_fault(override, message):
    with pytest.raises(ConfigError) as caught:
        choose_variant(PROTOCOLS["detection"], None, [override])
    assert str(caught.value) == f"Invalid settings of protocol detection: {message}"


def test_an_unknown_setting_names_the_one_that_is_meant():
    with pytest.raises(ConfigError, match=r"Did you mean 'steps'\? docs/reference/protocols.md lists them"):
        choose_variants(["detection"], None, ["stepz=1"])

"""`barlowtf launch`: its workers are real processes; where the words matter, of a program that repeats them."""

import json
import os
import subprocess
import sys

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

REPEATS = """
import json, os, sys
place = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
print(json.dumps([place, sys.argv[1:]]), flush=True)
sys.exit(int(os.environ["STATUSES"].split()[place]))
"""


@pytest.fixture
def repeater(tmp_path, monkeypatch):
    """In place of the command line that the workers start: it says its place in the cluster and its arguments."""
    package = tmp_path / "barlowtf_cli"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(REPEATS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STATUSES", "0 0 0")


def launch(capfd, *words):
    """Exit status, and what each worker was given, {place: arguments}."""
    with pytest.raises(SystemExit) as leave:
        main(["launch", *words])
    out, err = capfd.readouterr()
    lines = [*out.splitlines(), *(line.partition(": ")[2] for line in err.splitlines() if line.endswith("]]"))]
    return leave.value.code, dict(map(json.loads, lines))


WORDS = ["--set", "data.source=a 'b' *", "--data", "--", "--run-dir", "runs/$HOME", "--dry-run"]


@pytest.mark.usefixtures("repeater")
def test_arguments_are_passed_on_and_the_strategy_is_added(capfd):
    expected = ["pretrain", "--strategy", "multiworker", *WORDS]
    assert launch(capfd, "--", "pretrain", *WORDS) == (0, {0: expected, 1: expected})
    assert launch(capfd, "--workers", "3", "pretrain", *WORDS) == (0, {0: expected, 1: expected, 2: expected})


@pytest.mark.usefixtures("repeater")
@pytest.mark.parametrize("words", [["--strategy", "multiworker"], ["--dry-run", "--strategy=multiworker"]])
def test_a_given_strategy_stays_as_it_is(capfd, words):
    assert launch(capfd, "--workers=1", "--", "pretrain", *words) == (0, {0: ["pretrain", *words]})


@pytest.mark.usefixtures("repeater")
def test_exit_status_is_that_of_the_workers(capfd, monkeypatch):
    monkeypatch.setenv("STATUSES", "0 7")
    assert launch(capfd, "--", "pretrain")[0] == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing argument"),
        (["--workers", "0", "--", "pretrain"], "x>=1"),
        (["--wokers", "2", "--", "pretrain"], "--wokers"),
        (["--", "data", "show"], "'data' cannot run on several machines"),
        (["--", "--config", "digits"], "'--config' cannot run on several machines"),
        (["--", "pretrain", "--strategy", "one"], "--strategy one is for one machine"),
        (["--", "pretrain", "--strategy=mirrored"], "--strategy mirrored is for one machine"),
        (["--", "pretrain", "--nothing"], "--nothing"),
    ],
)
def test_usage_errors_start_nothing(monkeypatch, words, message):
    monkeypatch.setattr("barlowtf.launching.run_workers", lambda commands: pytest.fail("started"))
    result = CliRunner().invoke(main, ["launch", *words])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stderr.count("Error:") == 1


def test_help_of_the_command_is_asked_once():
    result = CliRunner().invoke(main, ["launch", "--", "pretrain", "-h"])
    assert result.exit_code == 0
    assert result.stdout.count("Usage:") == 1
    assert "pretrain [OPTIONS]" in result.stdout


@pytest.mark.usefixtures("repeater")
def test_the_launcher_does_without_tensorflow():
    code = (
        "import os, sys\n"
        "path = os.environ.pop('PYTHONPATH')\n"
        "sys.path.remove(path)\n"
        "from barlowtf_cli.main import main\n"
        "os.environ['PYTHONPATH'] = path\n"
        "try:\n    main(['launch', '--', 'pretrain'])\n"
        "except SystemExit as leave:\n    sys.exit(leave.code or 9 * ('tensorflow' in sys.modules))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ)
    assert json.loads(ended.stdout)[0] == 0
    assert ended.stderr.startswith("worker 1: [1, ")


def test_real_workers_say_what_is_wrong(tmp_path):
    """No TensorFlow yet: the recipe is read before it starts."""
    command = [sys.executable, "-m", "barlowtf_cli.start", "launch", "--", "pretrain", "--config", "digit"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    errors = sorted(line for line in ended.stderr.splitlines() if "Did you mean 'digits'?" in line)
    assert [line.partition("Error:")[0] for line in errors] == ["", "worker 1: "]
    assert list(tmp_path.iterdir()) == []

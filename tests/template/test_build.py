"""What `sam build` makes is fit for Lambda: bytecode for every module, the right binaries, all that is imported."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sandbox.build import FUNCTIONS, ROOT, Architecture, build, check, host_architecture, size_of
from tests.template.cloudformation import load

OTHER: dict[Architecture, Architecture] = {"arm64": "x86_64", "x86_64": "arm64"}

# In Lambda both layers are below /opt, and nothing else is installed.
IMPORTS = """
import sys
from pathlib import Path
from zoneinfo import ZoneInfo
import aws_lambda_powertools, boto3, pydantic, simple_salesforce, stripe
import orderphase.settings
for name in ("aws_lambda_powertools", "boto3", "botocore", "cryptography", "lxml", "orderphase", "pydantic", "stripe"):
    location = Path(sys.modules[name].__file__)
    assert any(location.is_relative_to(folder) for folder in sys.argv[1:]), location
for service in ("dynamodb", "lambda", "secretsmanager", "sqs"):
    boto3.client(service, region_name="us-east-1")
boto3.resource("dynamodb", region_name="us-east-1")
for zone in ("UTC", "America/New_York"):
    ZoneInfo(zone)
"""


@pytest.fixture(scope="module", params=["arm64", "x86_64"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Architecture]:
    """A build for each architecture, as `sam build` makes it: folder and architecture."""
    folder = tmp_path_factory.mktemp(request.param)
    return build(folder, architecture=request.param, log=folder / "log").parent, request.param


def test_the_build_passes_for_its_own_architecture_only(built: tuple[Path, Architecture]) -> None:
    folder, architecture = built
    assert check(folder, architecture) == []
    wrong = check(folder, OTHER[architecture])
    assert any(f"is for {architecture}, not {OTHER[architecture]}" in problem for problem in wrong)


def test_the_template_says_what_it_was_built_for(built: tuple[Path, Architecture]) -> None:
    folder, architecture = built
    assert load(folder / "template.yaml")["Resources"]["DependenciesLayer"]["Metadata"]["BuildArchitecture"] == architecture


def test_licences_go_along_and_scripts_do_not(built: tuple[Path, Architecture]) -> None:
    layer = built[0] / "DependenciesLayer" / "python"
    assert len(list(layer.glob("*.dist-info"))) > 20
    assert list(layer.glob("stripe-*.dist-info/licenses/*"))
    assert not (layer / "bin").exists()


# The binaries of the other architecture do not load on this machine.
@pytest.mark.parametrize("built", [host_architecture()], indirect=True)
def test_everything_is_there_that_the_functions_import(built: tuple[Path, Architecture]) -> None:
    folder, _ = built
    layers = [str(folder / layer / "python") for layer in ("ConsolidationLayer", "DependenciesLayer")]
    # -S: without it this environment's own packages would stand in for missing ones.
    done = subprocess.run(
        [sys.executable, "-S", "-c", IMPORTS, *layers],
        # An empty PYTHONTZPATH hides this machine's time zones, which the runtime does not have.
        env={"PYTHONPATH": os.pathsep.join(layers), "PYTHONTZPATH": "", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Of the larger architecture, and a twentieth on top; our own code may grow by a seventh.
SIZES_MB = {"DependenciesLayer": (79.0, 27.4), "ConsolidationLayer": (2.4, 1.1)}
"""What each layer may come to in MB of 2**20 bytes: unzipped, and as Lambda is sent it."""
FUNCTION_MB = (0.01, 0.005)


def zipped_size_of(part: Path) -> int:
    """Bytes of a part as a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in part.rglob("*"):
            archive.write(path, path.relative_to(part))
    return len(buffer.getvalue())


def test_no_part_is_larger_than_its_budget(built: tuple[Path, Architecture]) -> None:
    folder, _ = built
    for name in (*FUNCTIONS, "ConsolidationLayer", "DependenciesLayer"):
        allowed = SIZES_MB.get(name, FUNCTION_MB)
        assert size_of(folder, name) / 2**20 <= allowed[0], name
        assert zipped_size_of(folder / name) / 2**20 <= allowed[1], name


def test_what_nobody_reads_at_run_time_stays_behind(built: tuple[Path, Architecture]) -> None:
    suffixes = {path.suffix for path in (built[0] / "DependenciesLayer").rglob("*") if path.is_file()}
    assert suffixes.isdisjoint({".pyi", ".pyx", ".pxd", ".pxi", ".h", ".css"})


class TestTheCheckItself:
    """A build with one fault is refused for that fault."""

    @pytest.fixture
    def sound(self, tmp_path: Path) -> Path:
        for name in (*FUNCTIONS, "ConsolidationLayer", "DependenciesLayer"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "module.py").write_text("x = 1\n")
            subprocess.run(
                [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", tmp_path / name], check=True
            )
        return tmp_path

    def test_nothing_wrong(self, sound: Path) -> None:
        assert check(sound, "arm64") == []

    def test_missing_part(self, sound: Path) -> None:
        shutil.rmtree(sound / "ConsolidationLayer")
        assert [problem.split(": ")[1] for problem in check(sound, "arm64")] == ["is missing"]

    def test_missing_bytecode(self, sound: Path) -> None:
        (sound / "DependenciesLayer" / "late.py").write_text("")
        assert [problem.split(": ")[1] for problem in check(sound, "arm64")] == ["has no bytecode"]

    def test_bytecode_of_another_python(self, sound: Path) -> None:
        compiled = Path(importlib.util.cache_from_source(str(sound / "DependenciesLayer" / "module.py")))
        compiled.write_bytes(b"\0\0\0\0" + compiled.read_bytes()[4:])
        assert [problem.split(": ")[1] for problem in check(sound, "arm64")] == ["is the bytecode of another Python"]

    def test_bytecode_that_is_compared_with_its_source(self, sound: Path) -> None:
        subprocess.run([sys.executable, "-m", "compileall", "-q", "-f", sound / "DependenciesLayer"], check=True)
        assert [problem.split(": ")[1] for problem in check(sound, "arm64")] == [
            "would be compared with its source at each import"
        ]

    def test_too_large(self, sound: Path) -> None:
        with (sound / "DependenciesLayer" / "data").open("wb") as file:
            file.truncate(260 * 2**20)
        assert {problem.split(": ")[1] for problem in check(sound, "arm64")} == {"is 260 MB with its layers, Lambda takes 250"}


def test_the_layer_is_made_of_the_pinned_requirements(built: tuple[Path, Architecture]) -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "layers" / "dependencies" / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    layer = built[0] / "DependenciesLayer" / "python"
    installed = {path.name.split("-")[0].lower().replace("_", "-") for path in layer.glob("*.dist-info")}
    assert installed == pinned

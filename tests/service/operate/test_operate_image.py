"""The container image: what it is made of, and its steps in a clean folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helm_program import REQUIRED, ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = re.compile(r"^COPY (?!--from)(?P<what>.+)$", re.MULTILINE)


def instructions(stage: int) -> list[tuple[str, str]]:
    """Return the instructions of one stage, each on one line."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    part = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[stage + 1]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in part.splitlines() if line.strip())]


def last(word: str) -> str:
    return [rest for each, rest in instructions(1) if each == word][-1]


def test_the_image_is_slim_and_runs_as_a_user_with_a_number_and_without_a_shell():
    assert last("FROM").endswith("-slim-bookworm")
    assert last("USER") == "10001:10001"  # a number: Kubernetes can tell that it is not root
    assert any("nologin" in rest for word, rest in instructions(1) if word == "RUN")


def test_no_build_tool_is_in_the_last_stage():
    assert not [rest for word, rest in instructions(1) if re.search(r"\b(pip|uv|apt-get|gcc|make)\b", rest)]
    assert [rest for word, rest in instructions(1) if word == "COPY"] == ["--from=build /opt/lakegate /opt/lakegate"]


def test_it_tells_whether_it_lives_and_what_it_is():
    assert "/livez" in last("HEALTHCHECK") or "/livez" in DOCKERFILE
    for label in ("title", "description", "licenses", "source", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last("LABEL")
    assert last("ENTRYPOINT") == '["lakegate"]'
    assert last("STOPSIGNAL") == "SIGTERM"


def test_what_is_written_is_on_volumes_so_that_the_root_may_be_read_only():
    assert json.loads(last("VOLUME")) == ["/var/lib/lakegate", "/tmp"]
    assert "PYTHONDONTWRITEBYTECODE=1" in last("ENV")


def test_nothing_but_what_is_copied_gets_into_the_build():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for found in COPIED.finditer(DOCKERFILE) for name in found["what"].split()[:-1]}
    assert copied == allowed


def test_every_dependency_is_at_the_version_of_the_lock_file():
    installs = [rest for word, rest in instructions(0) if "uv pip install" in rest and "--no-deps" not in rest]
    assert installs
    assert all("--constraints constraints.txt" in each for each in installs)


def test_the_bill_of_materials_names_every_package_once_and_the_same_each_time():
    command = [sys.executable, "image/sbom.py"]
    first, again = (subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout for _ in range(2))
    assert first == again
    told = json.loads(first)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["metadata"]["component"]["name"] == "lakegate"
    purls = [each["purl"] for each in told["components"]]
    assert len(set(purls)) == len(purls)
    assert any(purl.startswith("pkg:pypi/aiohttp@") for purl in purls)


@pytest.mark.service
@pytest.mark.skipif(not REQUIRED, reason="installs everything anew: LAKEGATE_REQUIRE=helm runs it")
def test_the_steps_of_the_build_run_in_a_clean_folder_and_give_a_gateway(tmp_path: Path):
    source, opt = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    opt.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    for word, rest in instructions(0):
        if word == "COPY":
            *what, where = rest.split()
            for name in what:
                target = source / where if len(what) == 1 and where != "./" else source / where / name
                copy(ROOT / name, target)
        elif word == "RUN":
            step = rest.replace("/opt/", f"{opt}/").replace("python -m", f"{sys.executable} -m")
            done = subprocess.run(
                ["/bin/sh", "-ec", step], cwd=source, env=environment, capture_output=True, text=True, check=False
            )
            assert not done.returncode, f"{rest}\n{done.stdout}\n{done.stderr}"
    assert json.loads((opt / "lakegate" / "sbom.cdx.json").read_text())["components"]
    schema = [str(opt / "lakegate" / "bin" / "lakegate"), "config", "schema"]
    told = subprocess.run(schema, cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(told.stdout)["title"] == "Lakegate configuration"
    assert not (opt / "lakegate" / "bin" / "pip").exists()


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)

"""The checks of this project: `nox -l` lists them, CONTRIBUTING.md explains them."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "typing", "tests", "docs"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
OLDEST = PYTHONS[0]
EXTRAS = (
    "lite", "cli", "onnx", "text", "hub", "heif", "patterns", "arrow", "pandas", "plots", "remote",
    "watch", "video", "otel", "serve", "mcp",
)  # fmt: skip

FRAMEWORKS = ("langchain", "llamaindex", "haystack", "sklearn")


def group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, name)


@nox.session(python=PYTHONS, tags=["tests"])
def tests(session: nox.Session) -> None:
    """The fast suite, and every code block of the documentation."""
    session.install("-e", ".[all]", *group("tests"))
    # By file, because the code blocks of a page depend on each other.
    # Tests wait for disks and processes a third of the time: three workers fill two cores.
    session.run("pytest", "-n", "3", "--dist", "loadfile", *session.posargs)


@nox.session(python=OLDEST)
def integration(session: nox.Session) -> None:
    """Real servers, killed processes."""
    session.install("-e", ".[all]", *group("tests"), *group("servers"))
    # By file, so that the tests of one share its server.
    session.run("pytest", "-m", "integration", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(python=OLDEST)
def ray(session: nox.Session) -> None:
    """Actors of Ray, on real servers; Ray takes 300 MB and is not among the other extras."""
    session.install("-e", ".[all,ray]", *group("tests"), *group("servers"))
    session.run("pytest", "-m", "integration", "tests/integrations/test_ray.py", *session.posargs)


@nox.session(python=OLDEST)
def slow(session: nox.Session) -> None:
    """All of the real photos in ../shared, and long searches for defects."""
    session.install("-e", ".[all]", *group("tests"), *group("servers"))
    session.run(
        "pytest", "-m", "slow", "--timeout", "7200", *session.posargs,
        env={"HYPOTHESIS_PROFILE": "thorough"},
    )  # fmt: skip


@nox.session(python=OLDEST)
@nox.parametrize("family", ["keras", "torch"])
def parity(session: nox.Session, family: str) -> None:
    """Preprocessing against the libraries that define it, bit for bit; they are large."""
    session.install("-r", f"tools/requirements/golden-{family}.txt")
    if family == "torch":
        session.install(
            "--no-deps", "torchvision==0.28.0", "timm==1.0.31", "open_clip_torch==3.3.0"
        )
    session.install("--no-deps", "-e", ".")
    session.run("python", "-m", "tools.golden", family, *session.posargs)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Style, likely bugs, spelling, and the direction of imports."""
    session.install(*group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "src"})
    session.run("codespell")


@nox.session(python=OLDEST)
def typing(session: nox.Session) -> None:
    """Both type checkers, over the package and over a program that uses it."""
    session.install("-e", ".[all]", *group("typing"))
    session.run("mypy")
    session.run("pyright")


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors, then its links and its search."""
    shutil.rmtree("docs/_build", ignore_errors=True)
    session.install("-e", ".[all]", *group("docs"))
    session.run(
        "sphinx-build", "--fail-on-warning", "--keep-going", "--nitpicky", "--fresh-env", "--quiet",
        "docs", "docs/_build/html", *session.posargs,
    )  # fmt: skip
    session.run(
        "pytest", "-m", "integration", "tests/docs/test_site.py",
        env={"ONNXSEARCH_TEST_SITE": "docs/_build/html"},
    )  # fmt: skip


@nox.session(python=OLDEST)
@nox.parametrize(
    "extras",
    [
        nox.param(chosen, id="+".join(chosen) or "none")
        for chosen in ((), *((extra,) for extra in EXTRAS), EXTRAS)
    ],
)
def extras(session: nox.Session, extras: tuple[str, ...]) -> None:
    """Without extras, with each one alone and with all, it works or says what is missing."""
    session.install("-e", f".[{','.join(extras)}]")
    session.run("python", "tests/smoke.py", *extras)


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """The wheel, built from the sdist and installed into an environment of its own."""
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install("build[uv]")
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(dist))
    (built,) = dist.glob("*.whl")
    session.install(f"{built}[all]")
    # A reused environment may contain an earlier build of the same version.
    session.install("--force-reinstall", "--no-deps", str(built))
    session.run("python", "tests/smoke.py", *EXTRAS)
    session.run("python", "tests/distributions.py", str(dist))


@nox.session(python=OLDEST)
def frameworks(session: nox.Session) -> None:
    """The adapters to frameworks: the frameworks' own tests, ours, the types and the guide."""
    session.install(
        "-e", f".[{','.join(FRAMEWORKS)}]", *group("tests"), *group("frameworks"), "mypy>=2,<3"
    )
    # No framework reports the run to anybody.
    quiet = {"HAYSTACK_TELEMETRY_ENABLED": "false", "LANGSMITH_TRACING": "false"}
    session.run("mypy", "src/onnxsearch/integrations")
    session.run(
        "pytest", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function",
        "tests/integrations", "docs/how-to/frameworks.md", *session.posargs, env=quiet,
    )  # fmt: skip


@nox.session(python=OLDEST)
def mutation(session: nox.Session) -> None:
    """Whether the tests notice small defects made on purpose (an hour or more)."""
    session.install("-e", ".[all]", *group("mutation"))
    session.run("python", "-m", "tools.mutation", *session.posargs)


@nox.session(python=OLDEST)
def export(session: nox.Session) -> None:
    """Vectors of Keras models exported to ONNX, compared with Keras; installs TensorFlow."""
    session.install("-e", ".", "-r", "tools/requirements/keras.txt")
    session.run("python", "tools/export_keras.py", "--verify")


@nox.session(python=OLDEST)
def benchmarks(session: nox.Session) -> None:
    """The speed on this machine, beside others; they bring PyTorch, which takes 4 GB."""
    session.install("-e", ".[all]", *group("benchmarks"), *group("servers"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=OLDEST)
def service(session: nox.Session) -> None:
    """The service against its OpenAPI document: requests of all kinds, by schemathesis."""
    session.install("-e", ".[serve]", "schemathesis>=4.32,<5")
    session.run("python", "tools/check_service.py", *session.posargs)

